"""Rules and thresholds of the controller, and what makes sense of them.

Knows: every setting with its default; which values contradict each other.
Never: how a source spells them (spelling.py), what a rule does with them.
Holds: a ControllerSettings makes sense; nothing that does not is ever in force.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase

Own = Mapping[str, Any]
"""Settings of one slice, by name; checked when they were read."""


@attrs.frozen(kw_only=True)
class ControllerSettings:
    """enabled     False: nothing is decided, and what was holds until its time is over
    shadow      decisions are made and journalled, and nothing is changed
    controller  who decides: `decision_tree`, or what a distribution registers
    interval_s  between two looks
    cpu_up, cpu_down          of the nodes that host the slice, 0 to 1
    call_rate_up, call_rate_down  calls a second of one instance
    in_flight_up, in_flight_down  part of the slots of its instances that are taken, 0 to 1
    queue_up    calls that wait for one instance
    p95_up_s    of its slowest method, while its instances are busy
    loop_lag_up_s  of the worst node that hosts it
    errors_block  part of failed calls from which on nothing is changed
    up_window_s, down_window_s      for which all of it must speak for more, or for fewer
    cool_down_up_s, cool_down_down_s  after any change, before the next one up, or down
    warm_up_s   after a leader has begun; instance_warm_up_s  after an instance has become ACTIVE
    step_up, step_down              instances at a time
    step_up_ratio, step_down_ratio  of those that there are; one at least
    trend_horizon_s  how far a clear trend is followed ahead; 0 = not
    stale_s     figures older than that say nothing
    override_s  after which a count of the controller is void unless it says it again
    slices      artifact -> settings of its own, by name
    """

    enabled: bool = True
    shadow: bool = False
    controller: str = "decision_tree"
    interval_s: float = 5.0
    cpu_up: float = 0.8
    cpu_down: float = 0.2
    call_rate_up: float = 1000.0
    call_rate_down: float = 200.0
    in_flight_up: float = 0.8
    in_flight_down: float = 0.2
    queue_up: float = 1.0
    p95_up_s: float = 1.0
    loop_lag_up_s: float = 0.1
    errors_block: float = 0.1
    up_window_s: float = 15.0
    down_window_s: float = 300.0
    cool_down_up_s: float = 30.0
    cool_down_down_s: float = 300.0
    warm_up_s: float = 30.0
    instance_warm_up_s: float = 10.0
    step_up: int = 4
    step_up_ratio: float = 1.0
    step_down: int = 2
    step_down_ratio: float = 0.5
    trend_horizon_s: float = 30.0
    stale_s: float = 10.0
    override_s: float = 3600.0
    slices: Mapping[ArtifactBase, Own] = attrs.field(factory=dict[ArtifactBase, Own])

    def of(self, base: ArtifactBase) -> ControllerSettings:
        """As they hold for one slice."""
        own = self.slices.get(base)
        return self if not own else attrs.evolve(self, **own)

    def check(self) -> None:
        """Raise BadInput that lists every contradiction, those of single slices included."""
        problems = [*_contradictions(self)]
        for base in self.slices:
            problems += [f"slices.{base}: {problem}" for problem in _contradictions(self.of(base))]
        if problems:
            raise BadInput("the settings of the controller do not fit", tuple(problems))


def _contradictions(s: ControllerSettings) -> Iterator[str]:
    pairs = (("cpu", s.cpu_down, s.cpu_up), ("call_rate", s.call_rate_down, s.call_rate_up))
    for name, down, up in (*pairs, ("in_flight", s.in_flight_down, s.in_flight_up)):
        if down >= up:
            yield f"{name}_down = {down:g} is not below {name}_up = {up:g}; the count would go up and down without end"
    if s.up_window_s > s.down_window_s:
        yield f"up_window_s = {s.up_window_s:g} is above down_window_s = {s.down_window_s:g}; up is fast, down is slow"
    if s.cool_down_up_s > s.cool_down_down_s:
        yield f"cool_down_up_s = {s.cool_down_up_s:g} is above cool_down_down_s = {s.cool_down_down_s:g}"
    if s.interval_s > s.up_window_s:
        yield f"interval_s = {s.interval_s:g} is above up_window_s = {s.up_window_s:g}; a window needs two looks"
    if s.override_s < 2 * s.interval_s:
        yield f"override_s = {s.override_s:g} is less than two looks; a count would end before it is said again"
