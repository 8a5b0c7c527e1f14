"""How one slice is doing, at one moment and over a while.

Knows: the signals by name, their units, when they were taken.
Never: where they come from, what they mean for a count.
Holds: every figure is finite and not negative; a window is in order of time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

CPU: Final = "cpu"
SHARE: Final = "share"
RATE: Final = "rate"
IN_FLIGHT: Final = "in_flight"
QUEUED: Final = "queued"
P95: Final = "p95_s"
LOOP_LAG: Final = "loop_lag_s"
FAILURE_RATE: Final = "failure_rate"

SIGNALS: Final[Mapping[str, str]] = {
    CPU: "mean of cpu.usage of the nodes that host it, 0 to 1",
    SHARE: "its part of the calls under way on those nodes, 0 to 1",
    RATE: "calls a second, of all instances",
    IN_FLIGHT: "calls under way, of all instances",
    QUEUED: "calls that wait for a slot, of all instances",
    P95: "of a call, seconds; the worst of its methods",
    LOOP_LAG: "the worst of the nodes that host it, seconds",
    FAILURE_RATE: "failed calls of all calls, 0 to 1",
}


def _figure(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{attribute.name}: {value!r} is no figure; give a finite number, 0 or more")


@attrs.frozen(kw_only=True)
class SliceFigures:
    """Of one slice at `at`, in wall-clock seconds; see SIGNALS.

    active  instances that were ACTIVE then: figures of all of them are shared by so many
    age_s   of the oldest figure that went into it, without the time that it waited for its turn in a large cluster
    """

    at: float
    active: int
    cpu: float = attrs.field(default=0.0, validator=_figure)
    share: float = attrs.field(default=1.0, validator=_figure)
    rate: float = attrs.field(default=0.0, validator=_figure)
    in_flight: float = attrs.field(default=0.0, validator=_figure)
    queued: float = attrs.field(default=0.0, validator=_figure)
    p95_s: float = attrs.field(default=0.0, validator=_figure)
    loop_lag_s: float = attrs.field(default=0.0, validator=_figure)
    failure_rate: float = attrs.field(default=0.0, validator=_figure)
    age_s: float = attrs.field(default=0.0, validator=_figure)

    def signals(self) -> dict[str, float]:
        """By name, as the journal keeps them."""
        return {name: float(getattr(self, name)) for name in SIGNALS}


def newest(window: Sequence[SliceFigures], now: float, span_s: float) -> tuple[SliceFigures, ...]:
    """Those of the last `span_s`, oldest first."""
    return tuple(each for each in window if now - span_s <= each.at <= now)


def covered_s(window: Sequence[SliceFigures]) -> float:
    """From the oldest to the newest."""
    return window[-1].at - window[0].at if window else 0.0


def widest_gap_s(window: Sequence[SliceFigures]) -> float:
    """The longest time between two of them that follow each other."""
    return max((after.at - before.at for before, after in itertools.pairwise(window)), default=0.0)
