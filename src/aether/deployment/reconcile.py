"""One step from what runs towards what is wanted.

Knows: desired rows, instance rows, members and what each can load, back-off of failures.
Never: time, randomness (both are passed in), how orders are written.
Holds: the same view and ids give the same orders on whichever node leads; obeying them converges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs

from aether.deployment.placement import Placement, spread
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, MemberRow, UnsatisfiedRow


@attrs.frozen
class Assign:
    """Write this new row, in LOAD."""

    row: InstanceRow


@attrs.frozen
class Move:
    """Write `row` with state `to`, which the lifecycle table allows."""

    row: InstanceRow
    to: SliceState


@attrs.frozen
class Forget:
    """Delete the row: its node, or that incarnation of it, is lost."""

    row: InstanceRow


@attrs.frozen
class DropRoutes:
    """Delete the routes row: nobody wants the artifact and no instance remains."""

    artifact: ArtifactBase


@attrs.frozen
class Unsatisfied:
    """Not an order but a report: what could not be placed, and why. The reason has no times in it."""

    row: UnsatisfiedRow


Order = Assign | Move | Forget | DropRoutes | Unsatisfied


@attrs.frozen(kw_only=True)
class View:
    """Everything a decision depends on.

    members  the rows of members that are not lost; rows of other nodes, or of another incarnation, are lost
    suspect  members that do not answer right now: they keep what they have and get nothing new
    routes   artifacts that have a routes row
    now      wall-clock seconds, compared with `since` of FAILED rows
    """

    desired: Mapping[ArtifactBase, DesiredRow]
    instances: tuple[InstanceRow, ...]
    members: Mapping[NodeId, MemberRow]
    suspect: frozenset[NodeId] = frozenset()
    routes: frozenset[ArtifactBase] = frozenset()
    now: float = 0.0


def reconcile(
    view: View, new_id: Callable[[], InstanceId], placement: Placement = spread
) -> Iterator[tuple[Order, ...]]:
    """The orders, one tuple per artifact (some empty), so that a long decision can yield to others in between."""
    raise NotImplementedError
