"""Whether the load of a slice goes up so clearly that one waits for nothing.

Knows: which signals are followed, how far ahead.
Never: decides: a trend is one more wish for a count.
Holds: only a new high of the long window counts: what comes back every minute is no trend.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from aether.control.context import SliceView
from aether.control.figures import CPU, IN_FLIGHT, RATE, SliceFigures, newest
from aether.control.rules import most, opinions
from aether.control.trend import trend_of
from aether.model.decision import Reason

LINE_WINDOWS: Final = 4
"""The line is drawn through so many short windows."""

_HIGH: Final = 0.98
_FOLLOWED: Final = (CPU, RATE, IN_FLIGHT)


def rising(view: SliceView, now: float) -> Reason | None:
    """The count that the steepest clear rise asks for `trend_horizon_s` from now; None when nothing rises."""
    return max(_rises(view, now), key=lambda reason: reason.count, default=None)


def _rises(view: SliceView, now: float) -> Iterator[Reason]:
    s = view.settings
    seen = newest(view.window, now, LINE_WINDOWS * s.up_window_s)
    if not s.trend_horizon_s or not seen or seen[-1].active < 1:
        return
    all_of_it = newest(view.window, now, s.down_window_s)
    for signal in _FOLLOWED:
        line = trend_of([(each.at, _value(each, signal)) for each in seen])
        last = _value(seen[-1], signal)
        if not line.is_clear or line.slope <= 0 or last < _HIGH * max(_value(each, signal) for each in all_of_it):
            continue
        ahead = line.ahead(s.trend_horizon_s)
        there: dict[str, Any] = {signal: min(1.0, ahead) if signal == CPU else ahead}
        count = most(
            reason
            for reason in opinions(attrs.evolve(seen[-1], **there), s, view.concurrency)
            if reason.signal == signal
        )
        if count is not None:
            text = f"{signal} rises by {line.slope * 60:.3g} a minute, to {ahead:.3g} in {s.trend_horizon_s:g} s"
            yield Reason(
                rule="trend",
                signal=signal,
                value=ahead,
                threshold=last,
                window_s=LINE_WINDOWS * s.up_window_s,
                count=count,
                text=text,
            )


def _value(figures: SliceFigures, signal: str) -> float:
    """Calls that wait for a slot count as under way: new instances that take them in are no rise."""
    waiting = figures.queued if signal == IN_FLIGHT else 0.0
    return float(getattr(figures, signal)) + waiting
