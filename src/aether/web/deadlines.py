"""Deadlines that move with every request and almost never pass.

Knows: who is due when.
Never: a clock, a task; its owner tells the time and sleeps.
Holds: to move a deadline later costs a store and a comparison; one that moves earlier than all others is said to wake
       the sleeper. Of each timer few entries are queued, those that were each earlier than the one before.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Final

import attrs

NEVER: Final = math.inf


class Timer:
    """One deadline that moves, and what happens when it passes."""

    __slots__ = ("deadline_s", "passed", "queued_s")

    def __init__(self, passed: Callable[[float], None]) -> None:
        self.passed: Callable[[float], None] | None = passed
        """Told the time. May set another deadline."""
        self.deadline_s: float = NEVER
        self.queued_s: list[float] = []
        """Times of its entries in the queue of `Deadlines`, the earliest last."""

    def end(self) -> None:
        """Never pass again, and let go of the owner: an entry in the queue may outlive it by a minute."""
        self.passed = None
        self.deadline_s = NEVER


class Deadlines:
    """A queue of timers, in which a deadline that moved later is found out only when its old time has come."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._queue)

    def set(self, timer: Timer, deadline_s: float) -> bool:
        """Give `timer` this deadline instead of the one before. True when it is now the first of all to look at."""
        timer.deadline_s = deadline_s
        queued = timer.queued_s
        if deadline_s == NEVER or (queued and queued[-1] <= deadline_s):
            return False
        queued.append(deadline_s)
        heapq.heappush(self._queue, (deadline_s, next(self._numbers), timer))
        return self._queue[0][2] is timer

    def next_s(self) -> float:
        """When to look again."""
        return self._queue[0][0] if self._queue else NEVER

    def due(self, now_s: float) -> list[Timer]:
        """Timers whose deadline has passed, which have none from now on."""
        found: list[Timer] = []
        while self._queue and self._queue[0][0] <= now_s:
            timer = heapq.heappop(self._queue)[2]
            timer.queued_s.pop()
            if timer.deadline_s <= now_s:
                timer.deadline_s = NEVER
                found.append(timer)
            else:
                self.set(timer, timer.deadline_s)
        return found


@attrs.define
class Pace:
    """How long a peer may keep us waiting: `grace_s`, and a second more for each `bytes_per_s_min` that it has moved.

    Only waiting counts: what a handler takes for itself is not the client's fault.
    """

    grace_s: float
    bytes_per_s_min: int
    moved: int = 0
    waited_s: float = 0.0
    since_s: float = NEVER
    """Since when we wait now; NEVER while we do not."""

    def begin(self, now_s: float) -> float:
        """We wait from now on; until when, when nothing moves."""
        self.since_s = now_s
        return now_s + self.left_s(now_s)

    def end(self, now_s: float, moved: int) -> None:
        """The wait is over: `moved` bytes came or went."""
        self.waited_s += now_s - self.since_s
        self.since_s = NEVER
        self.moved += moved

    def left_s(self, now_s: float) -> float:
        """What is left of its time at `now_s`, in the middle of a wait."""
        return self.grace_s + self.moved / self.bytes_per_s_min - self.waited_s - (now_s - self.since_s)
