"""How calls to one version of a slice, or to one method of it, went: counts that add up.

Knows: sums and differences of counts.
Never: who counts, what is done about it.
Holds: counts of one process only grow; a difference that would be negative is a new beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import attrs

from aether.errors import BadInput
from aether.model.sketch import COUNT_MAX, NO_LATENCIES, Sketch

SECONDS_MAX: Final = 1e15
"""Together, of all calls: thirty million years. Any number of such sums is finite."""


@attrs.frozen(kw_only=True)
class CallCounts:
    """requests  calls that ended, errors included; latencies  of those that were answered; seconds  their sum"""

    requests: int = 0
    errors: int = 0
    seconds: float = 0.0
    latencies: Sketch = NO_LATENCIES

    def __attrs_post_init__(self) -> None:
        """Raise BadInput for what nobody can have counted: such counts come from other nodes."""
        if not 0 <= self.errors <= self.requests <= COUNT_MAX or not 0 <= self.seconds <= SECONDS_MAX:
            raise BadInput(f"{self.requests} calls with {self.errors} errors in {self.seconds} s are no counts")

    def __add__(self, other: CallCounts) -> CallCounts:
        return CallCounts.total((self, other))

    @classmethod
    def total(cls, counts: Iterable[CallCounts]) -> CallCounts:
        """All of them added up."""
        given = tuple(counts)
        return cls(
            requests=min(sum(each.requests for each in given), COUNT_MAX),
            errors=min(sum(each.errors for each in given), COUNT_MAX),
            seconds=min(sum(each.seconds for each in given), SECONDS_MAX),
            latencies=Sketch.total(each.latencies for each in given),
        )

    def since(self, earlier: CallCounts | None) -> CallCounts:
        """What was counted after `earlier`; all of it when it was counted anew since then."""
        if earlier is None or not self._covers(earlier):
            return self
        return CallCounts(
            requests=self.requests - earlier.requests,
            errors=self.errors - earlier.errors,
            seconds=max(0.0, self.seconds - earlier.seconds),
            latencies=self.latencies.since(earlier.latencies),
        )

    def _covers(self, earlier: CallCounts) -> bool:
        errors, successes = self.errors - earlier.errors, self.requests - earlier.requests
        return 0 <= errors <= successes and self.latencies.covers(earlier.latencies)

    def to_plain(self) -> list[object]:
        """For msgpack."""
        return [self.requests, self.errors, self.seconds, self.latencies.to_plain()]

    @classmethod
    def from_plain(cls, plain: object) -> CallCounts:
        """Inverse of to_plain. Raises BadInput for anything else."""
        parts = list(cast("Sequence[Any]", plain)) if isinstance(plain, list | tuple) else []
        if [type(part) for part in parts[:3]] != [int, int, float] or len(parts) != 4:
            raise BadInput(f"{plain!r:.80} are no counts of calls")
        requests, errors, seconds, latencies = parts
        return cls(requests=requests, errors=errors, seconds=seconds, latencies=Sketch.from_plain(latencies))


NO_CALLS: Final = CallCounts()
