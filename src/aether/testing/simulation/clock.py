"""The clock of one simulated node: it runs at its own rate and may jump.

Knows: its rate, how far it is off.
Never: what anybody uses it for.
"""

from __future__ import annotations


class Clock:
    """rate  local microseconds per real one; `step_us` added at once by a jump."""

    def __init__(self, rate: float) -> None:
        self.rate: float = rate
        self._offset_us = 0

    def local_us(self, now_us: int) -> int:
        """What it shows at `now_us` of the simulation."""
        return round(now_us * self.rate) + self._offset_us

    def step(self, by_us: int) -> None:
        """Jump forward, or back."""
        self._offset_us += by_us

    def until_us(self, due_local_us: int, now_us: int) -> int:
        """How long the simulation waits until this clock shows `due_local_us`; 1 when it does already."""
        return max(1, round((due_local_us - self.local_us(now_us)) / self.rate))
