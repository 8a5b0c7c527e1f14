"""How far a count goes at once, and how soon again.

Knows: steps, cool-downs, the journal of a slice.
Never: why it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aether.control.settings import ControllerSettings
from aether.model.decision import DecisionRow

AHEAD_S_MAX: Final = 60.0
"""What lies further ahead, an entry or the moment since when an instance serves, is of a clock that was wrong: it holds
nobody back."""


def step_up(count: int, s: ControllerSettings) -> int:
    """The most instances that are added to `count` at once."""
    return max(1, min(s.step_up, int(count * s.step_up_ratio)))


def step_down(count: int, s: ControllerSettings) -> int:
    """The most that are taken from it."""
    return max(1, min(s.step_down, int(count * s.step_down_ratio)))


def since_last_s(decisions: Sequence[DecisionRow], now: float) -> float:
    """Since the newest change of the journal; infinite when there is none."""
    ages = [now - row.at for row in decisions if row.at <= now + AHEAD_S_MAX]
    return max(0.0, min(ages)) if ages else float("inf")
