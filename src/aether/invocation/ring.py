"""Which instance calls with the same key go to: consistent hashing with a bound on the load.

Knows: a ring of hashed points of each instance; loads are passed in.
Never: clocks, randomness: every caller finds the same order for a key.
Holds: a new instance only takes keys over, and one that leaves only gives its own away; nobody gets more than its
       bound.
Paper: Karger et al., "Consistent Hashing and Random Trees" (1997); Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing
       with Bounded Loads" (2016).
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from aether.invocation.call_key import hash_of
from aether.model.ids import InstanceId

POINTS: Final = 64  # of each instance: shares of keys differ by some 12 %
LOAD_FACTOR: Final = 1.25
"""No instance has more calls in flight than so much of the average."""


class Ring:
    """The instances in the order in which each key asks them."""

    def __init__(self, instances: Iterable[InstanceId]) -> None:
        placed = sorted((point, instance) for instance in set(instances) for point in _points(instance))
        self._points = [point for point, _ in placed]
        self._instances = [instance for _, instance in placed]
        self._count = len(placed) // POINTS

    def walk(self, key: str) -> Iterator[InstanceId]:
        """Each instance once, the key's own first."""
        start = bisect.bisect(self._points, hash_of(key))
        seen: set[InstanceId] = set()
        for step in range(len(self._points)):
            instance = self._instances[(start + step) % len(self._points)]
            if instance not in seen:
                seen.add(instance)
                yield instance
                if len(seen) == self._count:
                    return


def bound(in_flight: int, count: int, least: int) -> int:
    """How many calls one of `count` instances may have, when `in_flight` are under way to all and one more comes.

    least  a bound that is never too much: while loads are small, keys keep their instance
    """
    average = -(-(in_flight + 1) * LOAD_FACTOR // count)  # rounded up
    return max(least, int(average))


def owner(walk: Iterator[InstanceId], in_flight: Callable[[InstanceId], int], bound: int) -> InstanceId:
    """The first on the way that is below its bound. There is one while `bound` is that of their loads."""
    first = next(walk)
    instance: InstanceId | None = first
    while instance is not None:
        if in_flight(instance) < bound:
            return instance
        instance = next(walk, None)
    return first


@functools.lru_cache(maxsize=4_096)
def _points(instance: InstanceId) -> tuple[int, ...]:
    return tuple(hash_of(f"{instance}/{number}") for number in range(POINTS))
