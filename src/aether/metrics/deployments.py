"""How long instances took from the order to start them until they served.

Knows: rows of instances, one after the other; the stamps and the names of the original.
Never: clocks: each stamp is what was written with a row, by the node that wrote it.
Holds: the last DEPLOYMENTS_KEPT of each slice on each of FIGURE_NODES_MAX nodes, of at most DEPLOYED_MAX slices; a
       state that nobody saw counts as reached with the next one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import DEPLOYED_MAX, DEPLOYMENTS_KEPT, FIGURE_NODES_MAX
from aether.model.rows import InstanceRow

STAGES: Final = (SliceState.LOAD, SliceState.LOADING, SliceState.LOADED, SliceState.ACTIVATE, SliceState.ACTIVE)
"""The order to start, then what the original calls load, loaded, activate and active."""
STAGE_NAMES: Final = ("START", "LOAD", "LOADED", "ACTIVATE", "ACTIVE")
_REACHED: Final = {state: place for place, state in enumerate(STAGES)} | {SliceState.ACTIVATING: 3}
_LOADED: Final = STAGES.index(SliceState.LOADED)


class DeploymentStatus(enum.StrEnum):
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    FAILED_LOADING = "FAILED_LOADING"
    FAILED_ACTIVATING = "FAILED_ACTIVATING"


@attrs.frozen
class Deployment:
    """One instance on its way. stamps  seconds since 1970 for each of STAGES, None where it has not come to, or unseen

    failed  it came no further
    """

    instance: InstanceId
    artifact: Artifact
    node: NodeId
    incarnation: Incarnation
    stamps: tuple[float | None, ...] = (None,) * len(STAGES)
    failed: bool = False

    @property
    def status(self) -> DeploymentStatus:
        if self.stamps[-1] is not None:
            return DeploymentStatus.SUCCESS
        if not self.failed:
            return DeploymentStatus.IN_PROGRESS
        is_loaded = self.stamps[_LOADED] is not None
        return DeploymentStatus.FAILED_ACTIVATING if is_loaded else DeploymentStatus.FAILED_LOADING

    @property
    def full_s(self) -> float | None:
        """From the order to serving."""
        return _between(self.stamps[0], self.stamps[-1])

    @property
    def net_s(self) -> float | None:
        """From loaded to serving."""
        return _between(self.stamps[_LOADED], self.stamps[-1])

    @property
    def transitions_s(self) -> Mapping[str, float]:
        """By names such as LOAD_TO_LOADED; those that are not over, or were not seen, are left out."""
        pairs = zip(STAGE_NAMES, STAGE_NAMES[1:], self.stamps, self.stamps[1:], strict=False)
        found = ((f"{a}_TO_{b}", _between(begin, end)) for a, b, begin, end in pairs)
        return {name: took_s for name, took_s in found if took_s is not None}

    def reached(self, place: int, at_s: float) -> Deployment:
        """The stage at `place`; those between the last one seen and it went by unseen."""
        first = next((n for n, stamp in enumerate(self.stamps) if stamp is not None), place)
        stamps = [
            at_s if n == place or (first < n < place and stamp is None) else stamp
            for n, stamp in enumerate(self.stamps)
        ]
        return attrs.evolve(self, stamps=tuple(stamps))


def _between(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else max(0.0, end - begin)  # two nodes wrote them by two clocks


class Deployments:
    """What one node saw of all instances."""

    def __init__(self) -> None:
        self._now: dict[InstanceId, tuple[InstanceRow, Deployment | None]] = {}
        self._kept: dict[Artifact, dict[NodeId, list[Deployment]]] = {}

    def see(self, rows: Iterable[InstanceRow]) -> None:
        """All rows, as they are now."""
        seen: dict[InstanceId, tuple[InstanceRow, Deployment | None]] = {}
        for row in rows:
            before = self._now.get(row.instance)
            if before is not None and before[0] is row:
                seen[row.instance] = before
            else:
                seen[row.instance] = (row, self._followed(before and before[1], row))
        self._now = seen

    def of(self, artifact: Artifact) -> Sequence[Deployment]:
        """The last of each node, oldest first."""
        nodes = self._kept.get(artifact, {})
        return [deployment for _, kept in sorted(nodes.items()) for deployment in kept]

    def artifacts(self) -> Sequence[Artifact]:
        """Those of which something is kept."""
        return sorted(self._kept)

    def _followed(self, before: Deployment | None, row: InstanceRow) -> Deployment | None:
        place = _REACHED.get(row.state)
        if place is None and not (row.state is SliceState.FAILED and before is not None):
            return before
        is_same = before is not None and before.incarnation == row.incarnation and before.node == row.node
        if before is None or not is_same or (place is not None and self._begins_anew(before, place)):
            before = None
        if place is None:
            return before and self._keep(before, attrs.evolve(before, failed=before.stamps[-1] is None))
        known = before or Deployment(row.instance, row.artifact, row.node, row.incarnation)
        return self._keep(before, known.reached(place, row.since))

    @staticmethod
    def _begins_anew(before: Deployment, place: int) -> bool:
        return before.failed or any(stamp is not None for stamp in before.stamps[place + 1 :])

    def _keep(self, before: Deployment | None, now: Deployment) -> Deployment:
        if now.artifact not in self._kept and len(self._kept) >= DEPLOYED_MAX:
            del self._kept[next(iter(self._kept))]
        nodes = self._kept.setdefault(now.artifact, {})
        if now.node not in nodes and len(nodes) >= FIGURE_NODES_MAX:
            del nodes[next(iter(nodes))]
        kept = nodes.setdefault(now.node, [])
        if before is not None and before in kept:
            kept[kept.index(before)] = now
        else:
            kept.append(now)
            del kept[:-DEPLOYMENTS_KEPT]
        return now
