"""When a process cannot keep up with its requests: how many of those that wait may begin, tick by tick.

Knows: how late the loop ran, how many requests wait; numbers passed in.
Never: clocks, sockets; who carries it out is `pressure_service`.
Holds: the loop's lateness is the queue that no limit sees: every task that is ready waits behind all others, and a
       process that begins whatever comes ends nothing in time. While the gate is closed, what may begin grows by steps
       and shrinks by halves, so that the loop is late by some LAG_LOW_S to LAG_HIGH_S, and busy all the time.
Paper: Chiu, Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance" (1989), for steps and
       halves; Welsh, Culler, "Adaptive Overload Control for Busy Internet Servers" (2003), for holding up what comes.
"""

from __future__ import annotations

from typing import Final

WATCH_S: Final = 0.1  # between looks at the loop while the gate is open
TICK_S: Final = 0.01  # while it is closed
LAG_CLOSE_S: Final = 0.05
LAG_HIGH_S: Final = 0.02
LAG_LOW_S: Final = 0.01
FIRST: Final = 8.0  # requests in the first tick
GROWTH: Final = 1.25
CALM_TICKS: Final = 20  # with nobody waiting and the loop in time, then the gate opens


def own_lag_s(lag_s: float, took_s: float, worked_s: float) -> float:
    """The part of the lateness that is the loop's own work, when in `took_s` seconds it worked for `worked_s`."""
    return max(0.0, lag_s) * min(1.0, worked_s / took_s) if took_s > 0 else 0.0


class Pressure:
    """The state of one gate."""

    def __init__(self) -> None:
        self.closed: bool = False
        self._share = FIRST
        self._calm = 0

    @property
    def look_s(self) -> float:
        """When to look again."""
        return TICK_S if self.closed else WATCH_S

    def observe(self, lag_s: float, waiting: int) -> int:
        """One look at the loop: how many requests may begin until the next; of no meaning while not `closed`."""
        if not self.closed:
            if lag_s > LAG_CLOSE_S:
                self.closed, self._share, self._calm = True, FIRST, 0
            return int(self._share)
        if lag_s > LAG_HIGH_S:
            self._share = max(1.0, self._share / 2)
        elif lag_s < LAG_LOW_S and waiting:  # what nobody uses does not grow
            self._share = self._share * GROWTH + 1
        self._calm = self._calm + 1 if not waiting and lag_s < LAG_HIGH_S else 0
        if self._calm >= CALM_TICKS:
            self.closed = False
        return int(self._share)
