"""How many instances of a slice there may be, as bounds.

Knows: which bounds make sense; that a lower one of 0 lets a slice sleep.
Never: how many there are, who decides it.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.limits import IDLE_S, INSTANCES_MAX

IDLE: Final = "IDLE"
"""State of a slice that has no instance because nobody calls it, and gets one with the next call."""


@attrs.frozen
class Scale:
    """From `min` to `max` instances, for `@aether.slice(instances=aether.Scale(0, 20))`; it starts with `min`, or 1.

    With a `min` of 0 the slice sleeps when no instance has served anything for `idle_s` seconds, and the next call
    wakes it. Raises BadInput.
    """

    min: int
    max: int
    idle_s: float = IDLE_S

    def __attrs_post_init__(self) -> None:
        """Raise BadInput that lists everything that makes no sense."""
        problems = [
            f"{name}={value!r}: give a whole number, {low} to {INSTANCES_MAX}"
            for name, value, low in (("min", self.min, 0), ("max", self.max, 1))
            if type(value) is not int or not low <= value <= INSTANCES_MAX
        ]
        if not problems and self.min > self.max:
            problems.append(f"min={self.min} is above max={self.max}")
        problem = idle_problem(self.idle_s)
        if problem:
            problems.append(f"idle_s={self.idle_s!r}: {problem}")
        if problems:
            raise BadInput("aether.Scale does not fit", problems)

    @property
    def start(self) -> int:
        """How many are wanted at first: one at least, so that a deployment has shown that it can start."""
        return max(1, self.min)


def idle_problem(idle_s: object) -> str:
    """What is wrong with `idle_s`, "" = nothing."""
    if isinstance(idle_s, int | float) and not isinstance(idle_s, bool) and 0 < idle_s < math.inf:
        return ""
    return "give seconds above 0"
