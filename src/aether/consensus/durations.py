"""How long something took: how often, in all, and at worst since somebody looked.

Knows: seconds.
Never: clocks, what took so long.
"""

from __future__ import annotations


class Durations:
    """count  so far;  seconds  of all of them"""

    __slots__ = ("_worst_s", "count", "seconds")

    def __init__(self) -> None:
        self.count: int = 0
        self.seconds: float = 0.0
        self._worst_s = 0.0

    def note(self, took_s: float) -> None:
        """One more."""
        self.count += 1
        self.seconds += took_s
        if took_s > self._worst_s:
            self._worst_s = took_s

    def take_worst_s(self) -> float:
        """The longest since the last look; 0.0 without any. For one who looks again and again."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s
