"""The line in front of one instance: who runs, who waits, who is refused, who is sent away.

Knows: how long calls ran lately, when each waiting one must be answered, its priority; times passed in.
Never: tasks, clocks, what a call does.
Holds: running <= concurrency; waiting <= queue. Higher priority first, then first come first served. A call that cannot
       be answered in its time is refused when it comes, or sent away before it runs. While more calls come than end,
       for longer than a burst, nobody waits much longer than `patience_s`: the queue that was given is for bursts, and
       a long queue that never empties only makes every call late.
Paper: Nichols, Jacobson, "Controlling Queue Delay" (2012), a queue is bad when it does not empty; Maurer, "Fail at
       Scale" (2015), a short limit on waiting while it does not. Here a call that would wait longer is refused when it
       comes, so that its caller can ask elsewhere at once. benchmarks/overload_lines.py compares it with others.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, Generic, TypeVar

import attrs

from aether.invocation.reply import FULL, LATE

T = TypeVar("T")

MEAN_WEIGHT: Final = 0.05  # of the newest call in the moving average of running times
MEDIAN_STEP: Final = 1.05  # a running time moves the estimate of the median by this factor, up or down
DOUBT: Final = 0.98  # each call sent away as late lowers what is thought of the running time: it may be wrong
PERIOD_S: Final = 0.01  # least; as long as so many calls need if that is longer: of fewer, chance decides
PERIOD_CALLS: Final = 8
PERIODS: Final = 3  # in a row in which more calls came than ended, and the queue never emptied: fewer are a burst
MORE: Final = 1.05
OVERDUE: Final = 1.5  # times `patience_s`, after which a call that waits under overload is sent away
OVERLOAD_HELD_S: Final = 0.5  # after it was last seen
PATIENCE: Final = 0.4  # running times that a call may wait under overload; so its latency stays below 2 of them
PATIENCE_S_MIN: Final = 0.002
RETRY_AFTER_S_MIN: Final = 0.05
GOLDEN: Final = 0.6180339887498949  # fractions of its multiples are spread evenly: jitter without randomness
LEVELS: Final = {"low": 0, "normal": 1, "high": 2}


@attrs.define(eq=False)
class Waiting(Generic[T]):
    """A call in the queue. `who` is what its owner knows it by."""

    who: T
    level: int
    since: float
    must_end: float
    method: str


@attrs.frozen
class Refused:
    """The call does not run. reason  FULL or LATE"""

    reason: str
    retry_after_s: float


class Line(Generic[T]):
    """Counts of one instance."""

    def __init__(self, concurrency: int, queue: int) -> None:
        self.concurrency: int = concurrency
        self.queue: int = queue
        self.running: int = 0
        self.waiting: int = 0
        self.mean_s: float = 0.0
        """Moving average of how long calls ran; 0.0 until one ended."""
        self._medians: dict[str, float] = {}
        self._queues: tuple[deque[Waiting[T]], ...] = tuple(deque() for _ in LEVELS)
        self._refusals = 0
        self._period_began = -math.inf
        self._came = 0
        self._ended = 0
        self._emptied = True
        self._growing = 0  # periods in a row
        self._overloaded_until = -math.inf

    def overloaded(self, now: float) -> bool:
        """Whether more calls come than end, for longer than a burst."""
        return now < self._overloaded_until

    @property
    def patience_s(self) -> float:
        """How long a call may wait under overload: never too short for one to wait behind the running ones."""
        return max(PATIENCE_S_MIN, PATIENCE * self.mean_s, self.mean_s / self.concurrency)

    def try_run(self) -> bool:
        """Run at once if a slot is free. Then nobody waits."""
        if self.running < self.concurrency:
            self.running += 1
            self._came += 1
            return True
        return False

    def try_brief(self, method: str, brief_s: float) -> bool:
        """The same, for a method whose calls run for `brief_s` at most, as a rule; one that never ended is believed."""
        return self._medians.get(method, 0.0) <= brief_s and self.try_run()

    def wait(
        self, who: T, now: float, *, must_end: float = math.inf, level: int = LEVELS["normal"], method: str = ""
    ) -> tuple[Waiting[T] | Refused, list[tuple[T, Refused]]]:
        """All slots are taken: wait for one, or be refused. Second: those sent away to make room."""
        self._look(now, waits=True)
        self._came += 1
        expected_s = self._expected_s(level)
        if now + expected_s + self._medians.get(method, 0.0) > must_end:
            self._doubt(method)
            return self._refused(LATE), []
        if self.overloaded(now) and (level == LEVELS["low"] or expected_s > self.patience_s):
            return self._refused(FULL), []
        sent: list[tuple[T, Refused]] = []
        if self.waiting >= self.queue:
            less_urgent = self._least_urgent(level)
            if less_urgent is None:
                return self._refused(FULL), []
            self.leave(less_urgent)
            sent.append((less_urgent.who, self._refused(FULL)))
        call = Waiting(who, level, now, must_end, method)
        self._queues[level].append(call)
        self.waiting += 1
        return call, sent

    def leave(self, call: Waiting[T]) -> None:
        """It waits no more: cancelled, or sent away."""
        self._queues[call.level].remove(call)
        self._one_less()

    def ended(self, method: str, held_s: float | None) -> None:
        """A call gave its slot back after `held_s` seconds. None: that says nothing of how long calls run."""
        self._ended += 1
        if held_s is None:
            return
        self.mean_s += (held_s - self.mean_s) * (MEAN_WEIGHT if self.mean_s else 1.0)
        median = self._medians.get(method)
        if median is None:
            self._medians[method] = held_s
        elif held_s > 0:
            self._medians[method] = median * MEDIAN_STEP if held_s > median else median / MEDIAN_STEP

    def free(self, now: float) -> bool:
        """Nobody waits for the slot that is free now; False when somebody does: then `next`."""
        if self.waiting:
            return False
        if now - self._period_began >= PERIOD_S:
            self._look(now)
        self.running -= 1
        return True

    def next(self, now: float) -> tuple[Waiting[T] | None, list[tuple[T, Refused]]]:
        """A slot is free: who gets it, None = nobody waits and it stays free. Second: those sent away."""
        self._look(now)
        sent: list[tuple[T, Refused]] = []
        for waiting in reversed(self._queues):
            while waiting:
                call = waiting.popleft()
                self._one_less()
                reason = self._hopeless(call, now)
                if not reason:
                    return call, sent
                sent.append((call.who, self._refused(reason)))
        self.running -= 1
        return None, sent

    def clear(self) -> list[T]:
        """Everybody who waits, sent away."""
        everybody = [call.who for waiting in self._queues for call in waiting]
        for waiting in self._queues:
            waiting.clear()
        self.waiting, self._emptied = 0, True
        return everybody

    def retry_after_s(self) -> float:
        """When there may be room: the time that the line in front takes, spread over as much again."""
        self._refusals += 1
        jitter = self._refusals * GOLDEN % 1.0
        return max(RETRY_AFTER_S_MIN, (self.waiting + 1) * self.mean_s / self.concurrency) * (1.0 + jitter)

    # --- overload -----------------------------------------------------------------------------------------------------

    def _look(self, now: float, *, waits: bool = False) -> None:
        """Decide once per period whether more calls come than end."""
        if now - self._period_began < max(PERIOD_S, PERIOD_CALLS * self.mean_s / self.concurrency):
            return
        more = self._came > MORE * self._ended
        self._growing = self._growing + 1 if more and not self._emptied else 0
        if self._growing >= PERIODS or (more and self.overloaded(now)):
            self._overloaded_until = now + OVERLOAD_HELD_S
        self._period_began, self._came, self._ended = now, 0, 0
        self._emptied = not (self.waiting or waits)

    def _one_less(self) -> None:
        self.waiting -= 1
        if not self.waiting:
            self._emptied = True

    # --- one call -----------------------------------------------------------------------------------------------------

    def _expected_s(self, level: int) -> float:
        ahead = sum(len(self._queues[higher]) for higher in range(level, len(self._queues)))
        return (ahead + 1) * self.mean_s / self.concurrency

    def _hopeless(self, call: Waiting[T], now: float) -> str:
        if now + self._medians.get(call.method, 0.0) > call.must_end:
            self._doubt(call.method)
            return LATE
        return FULL if self.overloaded(now) and now - call.since > OVERDUE * self.patience_s else ""

    def _doubt(self, method: str) -> None:
        if method in self._medians:
            self._medians[method] *= DOUBT

    def _least_urgent(self, level: int) -> Waiting[T] | None:
        """The newest of the lowest class below `level`."""
        return next((waiting[-1] for waiting in self._queues[:level] if waiting), None)

    def _refused(self, reason: str) -> Refused:
        return Refused(reason, self.retry_after_s())
