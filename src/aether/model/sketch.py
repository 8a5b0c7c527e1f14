"""How long many calls took, in little room: a mergeable sketch whose quantiles are at most 1 % off.

Knows: buckets whose bounds grow by 2 % each; sums and differences of counts; the latency below which a share stayed.
Never: who counts, clocks.
Holds: a quantile of what lies between LATENCY_MIN_S and LATENCY_MAX_S is within ERROR_MAX of the exact one, however
       many sketches were added up, and in whatever order; there are never more than BUCKETS counts.
Paper: Masson, Rim, Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees" (2019).
       Latencies have a floor and a ceiling, so that buckets are bounded by their range and none is ever collapsed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Final, cast

import attrs

from aether.errors import BadInput

ERROR_MAX: Final = 0.01
"""Of a quantile, relative to the exact one."""
PER_OCTAVE: Final = 35
"""Buckets between a latency and twice as much: the fewest whose middle is within ERROR_MAX of both ends."""
BUCKETS: Final = 30 * PER_OCTAVE
"""From one microsecond to eighteen minutes; what lies outside counts in the first and the last."""
LATENCY_MIN_S: Final = 1e-6
LATENCY_MAX_S: Final = LATENCY_MIN_S * 2**30
COUNT_MAX: Final = 2**63 - 1

_GROWTH: Final = 2 ** (1 / PER_OCTAVE)
_MIDDLE: Final = 2 * _GROWTH / (_GROWTH + 1)  # of a bucket, over its lower bound: as far off at both ends
assert (_GROWTH - 1) / (_GROWTH + 1) <= ERROR_MAX


def bucket_of(latency_s: float) -> int:
    """The bucket of a latency."""
    if not latency_s > LATENCY_MIN_S:
        return 0
    return int(min(BUCKETS - 1.0, math.log2(latency_s / LATENCY_MIN_S) * PER_OCTAVE))


def latency_s(bucket: int) -> float:
    """What stands for all latencies of a bucket."""
    return LATENCY_MIN_S * _MIDDLE * float(2 ** (bucket / PER_OCTAVE))


@attrs.frozen
class Sketch:
    """Counts by bucket (`bucket_of`), none of them 0. Adding two is exact, whatever the order.

    Raises BadInput for what nobody can have counted: sketches come from other nodes.
    """

    buckets: Mapping[int, int] = attrs.field(factory=dict[int, int])

    def __attrs_post_init__(self) -> None:
        counts = self.buckets.values()
        if counts and not 0 < min(counts) <= max(counts) <= COUNT_MAX:
            raise BadInput(f"counts of a sketch lie between 1 and {COUNT_MAX}")
        if counts and not 0 <= min(self.buckets) <= max(self.buckets) < BUCKETS:
            raise BadInput(f"a sketch has {BUCKETS} buckets, from 0", tuple(map(str, self.buckets))[:3])

    @property
    def count(self) -> int:
        """Of all latencies."""
        return sum(self.buckets.values())

    def __add__(self, other: Sketch) -> Sketch:
        return Sketch.total((self, other))

    @classmethod
    def total(cls, sketches: Iterable[Sketch]) -> Sketch:
        """All of them added up: cheaper than one by one."""
        given = sorted((sketch.buckets for sketch in sketches if sketch.buckets), key=len)
        if len(given) < 2:
            return cls(given[0]) if given else NO_LATENCIES
        buckets = dict(given.pop())
        count_of = buckets.get
        for each in given:
            for index, count in each.items():
                buckets[index] = min(count_of(index, 0) + count, COUNT_MAX)
        return cls(buckets)

    def covers(self, earlier: Sketch) -> bool:
        """Whether this one may be `earlier` with more counted."""
        mine = self.buckets
        return all(mine.get(index, 0) >= count for index, count in earlier.buckets.items())

    def since(self, earlier: Sketch) -> Sketch:
        """What was counted after `earlier`, which this one covers."""
        was = earlier.buckets
        if not was:
            return self
        more = ((index, count - was.get(index, 0)) for index, count in self.buckets.items())
        return Sketch({index: count for index, count in more if count})

    def quantile_s(self, share: float) -> float:
        """The latency that `share` (0 to 1) of them do not exceed: nearest rank, within ERROR_MAX; 0.0 of none."""
        return self.quantiles_s((share,))[0]

    def quantiles_s(self, shares: Sequence[float]) -> list[float]:
        """The same for several shares that grow, in one pass."""
        ordered = sorted(self.buckets)
        if not ordered:
            return [0.0] * len(shares)
        below = list(accumulate(self.buckets[index] for index in ordered))
        found: list[float] = []
        at = 0
        for share in shares:
            wanted = max(1, math.ceil(share * below[-1]))
            while below[at] < wanted:
                at += 1
            found.append(latency_s(ordered[at]))
        return found

    def below(self, bound_s: float) -> int:
        """How many did not exceed `bound_s`; those within ERROR_MAX of it may stand on either side."""
        return self.counts_below((bound_s,))[0]

    def counts_below(self, bounds_s: Sequence[float]) -> list[int]:
        """The same for several bounds that grow, in one pass."""
        ordered = sorted(self.buckets)
        below: list[int] = []
        at = count = 0
        for bound_s in bounds_s:
            while at < len(ordered) and latency_s(ordered[at]) <= bound_s:
                count += self.buckets[ordered[at]]
                at += 1
            below.append(count)
        return below

    def to_plain(self) -> list[int]:
        """How far each bucket is from the one before, and its count, in turn: small numbers, for msgpack."""
        ordered = sorted(self.buckets)
        gaps = (after - before for before, after in pairwise((0, *ordered)))
        return list(chain.from_iterable((gap, self.buckets[index]) for gap, index in zip(gaps, ordered, strict=True)))

    @classmethod
    def from_plain(cls, plain: object) -> Sketch:
        """Inverse of to_plain. Raises BadInput for anything else."""
        if not isinstance(plain, list | tuple):
            raise BadInput(f"{plain!r:.80} is no sketch of latencies")
        parts = cast("Sequence[object]", plain)
        if len(parts) % 2 or len(parts) > 2 * BUCKETS or not {int}.issuperset(map(type, parts)):
            raise BadInput(f"{plain!r:.80} is no sketch of latencies")
        numbers = cast("Sequence[int]", parts)
        gaps = numbers[::2]
        if gaps and (gaps[0] < 0 or min(gaps[1:], default=1) < 1):
            raise BadInput("buckets of a sketch come in order, each once")
        return cls(dict(zip(accumulate(gaps), numbers[1::2], strict=True)))


NO_LATENCIES: Final = Sketch()
