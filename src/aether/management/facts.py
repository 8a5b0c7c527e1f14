"""What a query of the admin API may look at, and the slices of the cluster made of it.

Knows: the rows, this node's consensus and process; the state of a slice from those of its instances.
Never: the shape of an answer, waiting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final

import attrs

from aether.management.view import ClusterView, ConsensusFacts, LocalNode
from aether.model.artifact import Artifact
from aether.model.duty import Duty, duties_of
from aether.model.ids import NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, UnsatisfiedRow
from aether.model.scale import IDLE

Answer = dict[str, object]
PROGRESS: Final = (  # which state of many speaks for a slice that is not ACTIVE: the furthest on its way
    SliceState.ACTIVATING,
    SliceState.ACTIVATE,
    SliceState.LOADED,
    SliceState.LOADING,
    SliceState.LOAD,
    SliceState.DEACTIVATING,
    SliceState.DEACTIVATE,
    SliceState.UNLOADING,
    SliceState.UNLOAD,
    SliceState.FAILED,
)


@attrs.frozen
class Facts:
    """Everything a query may look at, at one moment. `peers` are connected; this node is not among them.

    measured  of how many nodes there are figures
    """

    view: ClusterView
    consensus: ConsensusFacts
    peers: frozenset[NodeId]
    local: LocalNode
    measured: Callable[[], int]

    @property
    def reachable(self) -> list[NodeId]:
        return sorted({*self.peers, self.local.node})

    @property
    def leader(self) -> str:
        return self.consensus.leader or ""

    def duties(self) -> dict[NodeId, Duty]:
        """Where each member stands."""
        return duties_of(self.view.members(), self.view.duties())


@attrs.frozen
class SliceFacts:
    """One exact slice, cluster-wide. `instances` are the rows of living node processes; `lost` those of dead ones."""

    artifact: Artifact
    desired: DesiredRow | None
    instances: tuple[InstanceRow, ...]
    lost: tuple[InstanceRow, ...]
    unsatisfied: UnsatisfiedRow | None

    @property
    def active(self) -> int:
        return sum(row.state is SliceState.ACTIVE for row in self.instances)

    @property
    def wanted(self) -> int:
        return self.desired.instances if self.desired is not None else 0

    @property
    def state(self) -> str:
        """ACTIVE: as many as wanted; DEGRADED: some; else the furthest state; without an instance PENDING, IDLE (it
        sleeps until a call wakes it) or AT_REST.
        """
        if self.active:
            return "ACTIVE" if self.active >= self.wanted else "DEGRADED"
        states = {row.state for row in self.instances}
        resting = IDLE if self.desired is not None and self.desired.instances_min == 0 else "AT_REST"
        return next((state.value for state in PROGRESS if state in states), "PENDING" if self.wanted else resting)


def slice_facts(view: ClusterView) -> list[SliceFacts]:
    """Every slice that is wanted or has instances, by artifact."""
    incarnations = {row.node: row.incarnation for row in view.members()}
    desired = {row.artifact: row for row in view.desired()}
    living: dict[Artifact, list[InstanceRow]] = defaultdict(list)
    lost: dict[Artifact, list[InstanceRow]] = defaultdict(list)
    for row in view.instances():
        alive = incarnations.get(row.node) == row.incarnation
        (living if alive else lost)[row.artifact].append(row)
    short = {row.artifact: row for row in view.unsatisfied()}
    return [
        SliceFacts(
            artifact,
            desired.get(artifact),
            tuple(living.get(artifact, ())),
            tuple(lost.get(artifact, ())),
            short.get(artifact.base) if artifact in desired else None,
        )
        for artifact in sorted(desired.keys() | living.keys() | lost.keys())
    ]


def said(reason: str) -> str:
    """`reason`, never the one word that scripts of the original look for."""
    return "the reason given was the word error" if reason == "error" else reason
