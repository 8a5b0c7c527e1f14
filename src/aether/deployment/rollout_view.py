"""The facts of one update, read from the store of this node.

Knows: which rows and members they come from.
Never: decides, writes, waits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import attrs

from aether.deployment.budget import needed
from aether.deployment.duties import duties_of
from aether.deployment.merging import merged_count
from aether.deployment.rollout_facts import RolloutFacts, VersionStanding
from aether.deployment.rollout_health import NOBODY_ASKED, Judgement
from aether.deployment.rollout_writes import RolloutRows
from aether.deployment.room import fleet_of, learners_of, room_for
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.rollout import RolloutRow
from aether.model.rows import DesiredRow, MemberRow
from aether.model.version import Version


@attrs.frozen
class RolloutView:
    """Reads for updates.

    live  the members that answer; members  their rows as this node has applied them
    voters  of the group; None = every member counts as one
    """

    kv: KvService
    live: Callable[[], Mapping[NodeId, Incarnation]]
    members: Callable[[], Collection[MemberRow]]
    voters: Callable[[], Collection[NodeId]] | None = None

    def facts(
        self,
        row: RolloutRow,
        at: RolloutRows,
        told: Iterable[NodeId],
        now: float,
        judgement: Judgement = NOBODY_ASKED,
        lasted_s: float = 0.0,
    ) -> RolloutFacts:
        """told  the nodes that have to know the rows; now  wall-clock seconds; lasted_s  since `row` stands so"""
        desired = at.desired
        wanted = 0 if desired is None else merged_count(desired, at.override, now)
        return RolloutFacts(
            desired=desired,
            traffic=at.traffic,
            old=self.standing(row.artifact, row.old),
            new=self.standing(row.artifact, row.new),
            wanted=wanted,
            is_applied=not self.kv.behind(told, self._newest(row.artifact)),
            places=None if desired is None else self._places(desired, row.new),
            needed=0 if desired is None else needed(desired.min_available, wanted),
            bad=judgement.bad,
            too_few=judgement.too_few,
            health=judgement.words,
            lasted_s=lasted_s,
        )

    def standing(self, base: ArtifactBase, version: Version) -> VersionStanding:
        """The instances of one version."""
        return VersionStanding.of(version, self.kv.rows(keys.instances_of(base)), self.live())

    def offered(self) -> frozenset[Artifact]:
        """What members can load."""
        return frozenset(artifact for member in self.members() for artifact in member.available)

    def _places(self, desired: DesiredRow, new: Version) -> int | None:
        members = self.members()
        duties = duties_of(members, self.kv.rows(keys.DUTIES))
        fleet = fleet_of(members, duties, learners_of(members, self.voters))
        return room_for(desired, fleet, desired.artifact.base.at(new))

    def _newest(self, base: ArtifactBase) -> Revision:
        """The revision of the last change of what callers of `base` go by."""
        versions = [version for _, _, version in self.kv.scan(keys.instances_of(base))]
        return max(self.kv.version(keys.desired(base)), self.kv.version(keys.traffic(base)), *versions, Revision(1))
