"""What reconcile sees, and what it says.

Knows: the view of one decision; the kinds of order.
Never: how either is computed, read or written.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from aether.model.artifact import ArtifactBase
from aether.model.duty import Duty
from aether.model.ids import InstanceId, NodeId, Revision
from aether.model.lifecycle import SliceState, advance
from aether.model.rows import DesiredRow, InstanceRow, MemberRow, SingletonRow, UnsatisfiedRow


@attrs.frozen(kw_only=True)
class View:
    """Everything a decision depends on.

    members  the rows of members that are not lost; rows of other nodes, or of another incarnation, are lost
    suspect  members that do not answer right now: they keep what they have and get nothing new
    routes   artifacts that have a routes row
    duties   of members that are not simply ON_DUTY; forced  those of them whose drain waits for nothing
    learners members that have no vote
    resting  members that came a moment ago: nothing moves there for the sake of balance yet
    singletons  what outlives the instances of singletons; leased  silent nodes that may still run one
    desired_at, failed_at  revisions of desired rows and of rows of FAILED instances: a wish that is newer than the
             failure is tried at once
    now      wall-clock seconds, compared with `since` of FAILED rows
    """

    desired: Mapping[ArtifactBase, DesiredRow]
    instances: tuple[InstanceRow, ...]
    members: Mapping[NodeId, MemberRow]
    suspect: frozenset[NodeId] = frozenset()
    routes: frozenset[ArtifactBase] = frozenset()
    duties: Mapping[NodeId, Duty] = attrs.field(factory=dict[NodeId, Duty])
    forced: frozenset[NodeId] = frozenset()
    learners: frozenset[NodeId] = frozenset()
    resting: frozenset[NodeId] = frozenset()
    singletons: Mapping[ArtifactBase, SingletonRow] = attrs.field(factory=dict[ArtifactBase, SingletonRow])
    leased: frozenset[NodeId] = frozenset()
    desired_at: Mapping[ArtifactBase, Revision] = attrs.field(factory=dict[ArtifactBase, Revision])
    failed_at: Mapping[InstanceId, Revision] = attrs.field(factory=dict[InstanceId, Revision])
    now: float = 0.0


@attrs.frozen
class Assign:
    """Write this new row, in LOAD; of a singleton with what outlives it, or not at all."""

    row: InstanceRow
    singleton: SingletonRow | None = None

    def __str__(self) -> str:
        again = f", attempt {self.row.attempt + 1}" if self.row.attempt else ""
        instead = f", in place of {self.row.replaces}" if self.row.replaces else ""
        return f"assign {self.row.artifact} {self.row.instance} to {self.row.node}{instead}{again}"


@attrs.frozen
class Move:
    """Write `row` with state `to`. Raises IllegalTransition at construction when the table forbids it."""

    row: InstanceRow
    to: SliceState
    singleton: SingletonRow | None = None

    def __attrs_post_init__(self) -> None:
        advance(self.row.state, self.to)

    def __str__(self) -> str:
        return f"move {self.row.artifact} {self.row.instance} on {self.row.node}: {self.row.state} to {self.to}"


@attrs.frozen
class Forget:
    """Delete the row: its node, or that incarnation of it, is lost."""

    row: InstanceRow

    def __str__(self) -> str:
        return f"forget {self.row.artifact} {self.row.instance}: {self.row.node} is lost or was started anew"


@attrs.frozen
class DropRoutes:
    """Delete the routes row: nobody wants the artifact and no instance remains."""

    artifact: ArtifactBase

    def __str__(self) -> str:
        return f"drop the routes of {self.artifact}"


@attrs.frozen
class Unsatisfied:
    """Not an order but a report: what could not be placed, and why. The reason has no times in it."""

    row: UnsatisfiedRow

    def __str__(self) -> str:
        return f"{self.row.missing} of {self.row.artifact} cannot be placed: {self.row.reason}"


Order = Assign | Move | Forget | DropRoutes | Unsatisfied
