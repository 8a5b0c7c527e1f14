"""What a controller sees: figures, windows, wishes, topology, events, at one instant.

Knows: frozen values alone.
Never: how they were gathered.
Holds: a controller that looks at nothing else decides the same again whenever it is asked.
"""

from __future__ import annotations

import attrs

from aether.control.figures import SliceFigures
from aether.control.settings import ControllerSettings
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.decision import DecisionRow
from aether.model.ids import NodeId
from aether.model.rows import OverrideRow


@attrs.frozen(kw_only=True)
class NodeView:
    """One member. live  it answers the leader; duty  as an operator said; age_s  of its newest figures"""

    node: NodeId
    live: bool = True
    duty: str = "ON_DUTY"
    zone: str = ""
    cpu: float = 0.0
    loop_lag_s: float = 0.0
    age_s: float = 0.0


@attrs.frozen(kw_only=True)
class RecentEvent:
    """Something that happened lately, of whoever tells events. at  wall-clock seconds"""

    at: float
    type: str
    subject: str
    summary: str


@attrs.frozen(kw_only=True)
class SliceView:
    """One slice with a range, as it is wanted and as it runs.

    instances     wanted now; wished  by the blueprint; low, high  its range
    active, moving, failed  instances in these states; moving  on their way to or from ACTIVE
    youngest_s    since the newest ACTIVE instance became so
    concurrency   slots of one instance
    capacity      how many instances the members can hold; None = nothing limits it
    override      what holds against the blueprint's count
    update        id of the update under way, "" = none
    missing, unsatisfied  how many instances find no place, and why
    settings      as they hold for it
    window        figures, oldest first
    decisions     of its journal, oldest first
    """

    artifact: Artifact
    instances: int
    wished: int
    low: int
    high: int
    active: int
    settings: ControllerSettings
    moving: int = 0
    failed: int = 0
    youngest_s: float = 1e9
    concurrency: int = 1
    capacity: int | None = None
    override: OverrideRow | None = None
    update: str = ""
    missing: int = 0
    unsatisfied: str = ""
    window: tuple[SliceFigures, ...] = ()
    decisions: tuple[DecisionRow, ...] = ()

    @property
    def base(self) -> ArtifactBase:
        return self.artifact.base

    @property
    def floor(self) -> int:
        """The fewest that a controller may ask for: only the sleep of a slice ends at none."""
        return max(1, self.low)

    @property
    def ceiling(self) -> int:
        """The most that its range and the members allow."""
        return self.high if self.capacity is None else max(self.floor, min(self.high, self.capacity))


@attrs.frozen(kw_only=True)
class ControlContext:
    """now  wall-clock seconds; leader_since  when this leader began

    nodes   every member; slices  those with a range, by artifact; events  the newest last
    """

    now: float
    leader: NodeId
    leader_since: float
    slices: tuple[SliceView, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    events: tuple[RecentEvent, ...] = ()

    def slice(self, base: ArtifactBase) -> SliceView | None:
        """The one of that name."""
        return next((each for each in self.slices if each.base == base), None)
