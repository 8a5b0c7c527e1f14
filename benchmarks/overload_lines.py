"""Which discipline keeps an instance useful under too many calls: a simulation, without a loop or a clock.

    python -m benchmarks.overload_lines

Knows: arrivals at random (open loop: nobody waits for an answer before the next call comes), deadlines.
Never: real time; the same figures come out on every machine.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import attrs

from aether.hosting.line import PATIENCE, Line

SLOTS = 16
SERVICE_S = 0.02
QUEUE = 256
DEADLINE_S = 1.0
SECONDS = 20.0


@attrs.define(eq=False)
class Call:
    """One simulated call."""

    came: float
    must_end: float


class Discipline(Protocol):
    """`came` and `ended` return the calls that begin to run now."""

    def came(self, call: Call, now: float) -> list[Call]: ...
    def ended(self, call: Call, began: float, now: float) -> list[Call]: ...


class Ours:
    """aether.hosting.line."""

    def __init__(self) -> None:
        self._line: Line[Call] = Line(SLOTS, QUEUE)

    def came(self, call: Call, now: float) -> list[Call]:
        if self._line.try_run():
            return [call]
        self._line.wait(call, now, must_end=call.must_end)
        return []

    def ended(self, call: Call, began: float, now: float) -> list[Call]:
        self._line.ended("", now - began)
        waiting, _ = self._line.next(now)
        return [] if waiting is None else [waiting.who]


class Queued:
    """A queue with a limit; `newest_first` takes from its end, `patience_s` drops whoever waited longer."""

    def __init__(
        self, *, newest_first: bool = False, patience_s: Callable[[bool], float] = lambda _: DEADLINE_S
    ) -> None:
        self._newest_first = newest_first
        self._patience_s = patience_s
        self._waiting: deque[Call] = deque()
        self._running = 0
        self._empty_at = 0.0

    def came(self, call: Call, now: float) -> list[Call]:
        if self._running < SLOTS:
            self._running += 1
            return [call]
        if not self._waiting:
            self._empty_at = now
        if len(self._waiting) < QUEUE:
            self._waiting.append(call)
        return []

    def ended(self, call: Call, began: float, now: float) -> list[Call]:
        standing = now - self._empty_at > 0.1
        while self._waiting:
            call = self._waiting.pop() if self._newest_first and standing else self._waiting.popleft()
            if not self._waiting:
                self._empty_at = now
            if now - call.came <= self._patience_s(standing):
                return [call]
        self._running -= 1
        return []


def arrivals(rate: float, rng: random.Random) -> Iterator[float]:
    now = 0.0
    while (now := now + rng.expovariate(rate)) < SECONDS:
        yield now


def simulate(discipline: Discipline, load: float, seed: int = 1) -> tuple[float, float, float]:
    """(goodput as a share of capacity, p50 and p99 of accepted calls as multiples of the running time)."""
    coming = arrivals(load * SLOTS / SERVICE_S, random.Random(seed))
    ends: list[tuple[float, int, float, Call]] = []
    took: list[float] = []
    number, next_at = 0, next(coming, None)
    while ends or next_at is not None:
        if next_at is not None and (not ends or next_at <= ends[0][0]):
            now = next_at
            began = discipline.came(Call(now, now + DEADLINE_S), now)
            next_at = next(coming, None)
        else:
            now, _, since, call = heapq.heappop(ends)
            if now <= call.must_end:
                took.append(now - call.came)
            began = discipline.ended(call, since, now)
        for call in began:
            number += 1
            heapq.heappush(ends, (now + SERVICE_S, number, now, call))
    took.sort()
    goodput = len(took) * SERVICE_S / SLOTS / SECONDS
    return goodput, took[len(took) // 2] / SERVICE_S, took[int(len(took) * 0.99)] / SERVICE_S


def _codel(standing: bool) -> float:
    return 0.005 if standing else 0.1


DISCIPLINES: dict[str, Callable[[], Discipline]] = {
    "queue alone": Queued,
    "newest first under overload": lambda: Queued(newest_first=True),
    "5 ms of patience under overload": lambda: Queued(patience_s=_codel),
    "both": lambda: Queued(newest_first=True, patience_s=_codel),
    f"refuse who would wait over {PATIENCE:g} running times (ours)": Ours,
}


def main() -> None:
    print(f"{SLOTS} slots x {SERVICE_S * 1e3:.0f} ms, queue {QUEUE}, deadline {DEADLINE_S:g} s, {SECONDS:.0f} s")
    print(
        f"{'discipline':<52} {'load':>5} {'goodput':>8} {'p50':>6} {'p99':>6}   (latency of accepted, in running times)"
    )
    for name, make in DISCIPLINES.items():
        for load in (0.9, 1.2, 3.0):
            goodput, p50, p99 = simulate(make(), load)
            print(f"{name:<52} {load:>5.1f} {goodput:>8.2f} {p50:>6.2f} {p99:>6.2f}")


if __name__ == "__main__":
    main()
