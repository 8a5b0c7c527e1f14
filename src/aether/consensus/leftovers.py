"""What a log dropped, given back to the memory a little at a time.

Knows: lists that nobody reads any more.
Never: what is in them, clocks.
Holds: one step frees a bounded part: all at once, a hundred thousand entries held the loop for 40 ms. What waits
       becomes less by a sixteenth in each step, so it is bounded however fast it comes.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

T = TypeVar("T")

FREED_MIN: Final = 4_096
"""Values that one step frees at least: about a millisecond, when nothing of them is in the caches."""
_SHARE: Final = 16


class Leftovers:
    """Values on their way out, the last ones first."""

    def __init__(self) -> None:
        self._lists: list[list[Any]] = []

    def __len__(self) -> int:
        return sum(map(len, self._lists))

    def without_front(self, values: list[T], count: int) -> list[T]:
        """`values` without the first `count`: to be used instead of it from now on."""
        if count <= FREED_MIN:
            del values[:count]
            return values
        kept = values[count:]
        del values[count:]  # frees none of them: `kept` holds them too
        self._lists.append(values)
        return kept

    def free(self) -> None:
        """One step."""
        left = max(FREED_MIN, len(self) // _SHARE)
        while left > 0 and self._lists:
            values = self._lists[-1]
            count = min(left, len(values))
            del values[len(values) - count :]
            left -= count
            if not values:
                self._lists.pop()
