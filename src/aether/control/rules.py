"""The rules: each looks at one signal, and says how many instances it asks for.

Knows: thresholds, how one figure of all instances becomes a count.
Never: windows, cool-downs, steps, bounds: one moment alone.
Holds: of all rules the one that asks for most is heard, so that fewer is only said when each of them says so; what is
       said costs its words only where somebody reads it: a window is hundreds of moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from aether.control.figures import CPU, IN_FLIGHT, LOOP_LAG, P95, QUEUED, RATE, SliceFigures
from aether.control.settings import ControllerSettings
from aether.model.decision import Reason

SHARE_MIN: Final = 0.1
"""A slice with less of the calls of its nodes is not what keeps them busy: more of it would not help them."""

NO_COUNT: Final = -1


class Opinion(NamedTuple):
    """What one rule says of one moment. words  with {value} and {threshold}; wanted  NO_COUNT: it asks for none"""

    rule: str
    signal: str
    value: float
    threshold: float
    wanted: int
    words: str

    def reason(self, window_s: float = 0.0) -> Reason:
        """In words, as the journal keeps it."""
        return Reason(
            rule=self.rule,
            signal=self.signal,
            value=self.value,
            threshold=self.threshold,
            window_s=window_s,
            count=self.wanted,
            text=self.words.format(value=self.value, threshold=self.threshold),
        )


Rule = Callable[[SliceFigures, ControllerSettings, int], Opinion | None]


def _for(load: float, target: float) -> int:
    """Instances that carry `load` at `target` each, one at least."""
    return max(1, math.ceil(load / target - 1e-9))


def _banded(rule: str, signal: str, each: float, active: int, down: float, up: float, words: str) -> Opinion:
    """A figure of each instance that shall stay between `down` and `up`; aims at the middle, far from both."""
    if each > up:
        count = max(active + 1, _for(each * active, (down + up) / 2))
        return Opinion(rule, signal, each, up, count, words + " is above {threshold:g}")
    if each < down:
        count = min(active, _for(each * active, (down + up) / 2))
        return Opinion(rule, signal, each, down, count, words + " is below {threshold:g}")
    return Opinion(rule, signal, each, up, active, words + " is in its band below {threshold:g}")


def cpu(f: SliceFigures, s: ControllerSettings, slots: int) -> Opinion | None:
    """Of the nodes that host it, as far as its own calls are what keeps them busy."""
    if f.cpu <= s.cpu_up:
        own = f.cpu * min(1.0, f.share)
        return _banded("cpu", CPU, own, f.active, s.cpu_down, s.cpu_up, "its part of its nodes' CPU, {value:.2f},")
    if f.share >= SHARE_MIN:
        return _banded("cpu", CPU, f.cpu, f.active, s.cpu_down, s.cpu_up, "CPU of its nodes {value:.2f}")
    words = "CPU of its nodes is {value:.2f}, above {threshold:g}, by calls of others: more of it would not help"
    return Opinion("cpu", CPU, f.cpu, s.cpu_up, NO_COUNT, words)


def call_rate(f: SliceFigures, s: ControllerSettings, slots: int) -> Opinion | None:
    words = "{value:.1f} calls a second of one instance"
    return _banded("call-rate", RATE, f.rate / f.active, f.active, s.call_rate_down, s.call_rate_up, words)


def in_flight(f: SliceFigures, s: ControllerSettings, slots: int) -> Opinion | None:
    words = "{value:.0%} of its slots taken"
    taken = f.in_flight / (f.active * slots)
    return _banded("in-flight", IN_FLIGHT, taken, f.active, s.in_flight_down, s.in_flight_up, words)


def queue(f: SliceFigures, s: ControllerSettings, slots: int) -> Opinion | None:
    """Asks for as many as the waiting calls would fill."""
    each = f.queued / f.active
    if each > s.queue_up:
        count = f.active + max(1, math.ceil(f.queued / slots))
        return Opinion("queue", QUEUED, each, s.queue_up, count, "{value:.1f} calls wait for one instance")
    if each > 0:
        return Opinion("queue", QUEUED, each, s.queue_up, f.active, "{value:.1f} calls wait: not fewer now")
    return None


def p95(f: SliceFigures, s: ControllerSettings, slots: int) -> Opinion | None:
    """Slow calls of busy instances ask for one more; those of idle ones are slow for another reason."""
    if f.p95_s <= s.p95_up_s / 2:
        return None
    if f.p95_s <= s.p95_up_s:
        words = "p95 {value:.3g} s is above half of {threshold:g} s: not fewer now"
        return Opinion("p95", P95, f.p95_s, s.p95_up_s, f.active, words)
    if f.in_flight / (f.active * slots) < s.in_flight_down:
        words = "p95 {value:.3g} s is above {threshold:g} s, but slots are free: more would not be faster"
        return Opinion("p95", P95, f.p95_s, s.p95_up_s, f.active, words)
    return Opinion("p95", P95, f.p95_s, s.p95_up_s, f.active + 1, "p95 {value:.3g} s is above {threshold:g} s")


def loop_lag(f: SliceFigures, s: ControllerSettings, slots: int) -> Opinion | None:
    """A loop that is late is short of CPU whatever the machine says, since one thread runs it."""
    if f.loop_lag_s <= s.loop_lag_up_s / 2 or f.share < SHARE_MIN:
        return None
    if f.loop_lag_s > s.loop_lag_up_s:
        words = "the loop of a node is {value:.3g} s late, above {threshold:g} s"
        return Opinion("loop-lag", LOOP_LAG, f.loop_lag_s, s.loop_lag_up_s, f.active + 1, words)
    words = "the loop of a node is {value:.3g} s late, above half of {threshold:g} s: not fewer now"
    return Opinion("loop-lag", LOOP_LAG, f.loop_lag_s, s.loop_lag_up_s, f.active, words)


RULES: Final[tuple[Rule, ...]] = (cpu, call_rate, in_flight, queue, p95, loop_lag)


def opinions(f: SliceFigures, s: ControllerSettings, slots: int) -> list[Opinion]:
    """What every rule says of one moment; [] while nothing is ACTIVE. slots  of one instance"""
    if f.active < 1:
        return []
    said = [rule(f, s, max(1, slots)) for rule in RULES]
    return [each for each in said if each is not None]


def most(said: Iterable[Opinion]) -> int | None:
    """The count that the rules ask for together; None when none asks for any."""
    return max((each.wanted for each in said if each.wanted != NO_COUNT), default=None)
