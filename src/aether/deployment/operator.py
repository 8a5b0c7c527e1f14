"""The mutations an operator can ask for, from any node.

Knows: how blueprints, deploy, scale and undeploy become one compare-and-set batch of wishes.
Never: instances; reconcile turns wishes into those.
Holds: each decision is made on a state at least as new as the request, and written only if it still holds;
       asking for what is already so writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

import attrs

from aether.deployment.blueprint_operator import BlueprintApplied, BlueprintOperator
from aether.deployment.known_contracts import Own
from aether.deployment.standing import Decision, Standing, no_contract
from aether.deployment.wishes import (
    check_instances,
    decide_deploy,
    decide_implicit,
    decide_scale,
    decide_undeploy,
)
from aether.deployment.writing import TRIES_MAX, WishRows, busy
from aether.errors import BadInput
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint import APP
from aether.model.blueprint_toml import parse_target
from aether.model.ids import NodeId
from aether.model.owner import OPERATOR
from aether.model.rows import Applied, DesiredRow, OverrideRow
from aether.model.version import Version

if TYPE_CHECKING:
    from aether.slice_api.contract import Contract

__all__ = ["BlueprintApplied", "Operator", "Wished"]


@attrs.frozen
class Wished(Applied):
    """The wish in force for one `group:artifact`: row None when nothing is wanted.

    changed   False: it was so before, and nothing was written
    override  what holds against the blueprint's count
    """

    artifact: ArtifactBase
    row: DesiredRow | None
    changed: bool = True
    override: OverrideRow | None = None


class Operator:
    """Mutations of the desired state. Each answers once this node has applied it. `blueprints` for those of texts.

    wall       wall-clock seconds, stamped into rows; new_id  names of updates
    contracts  of versions whose code this process has; those of others are read from their rows
    voters     of the group; None = every member counts as one

    All raise NoQuorum, NotLeader or OutcomeUnknown as the store does, and Conflict when others keep changing the same
    rows. Cancelled, a mutation may or may not happen.
    """

    def __init__(
        self,
        kv: KvService,
        wall: Callable[[], float],
        contracts: Own = no_contract,
        new_id: Callable[[], str] | None = None,
        voters: Callable[[], Collection[NodeId]] | None = None,
    ) -> None:
        self._kv = kv
        self._wall = wall
        self._rows = WishRows(kv, wall, contracts, new_id, voters)
        self.blueprints: BlueprintOperator = BlueprintOperator(self._rows)

    async def apply(self, text: str, applied_by: str = "", default_id: str = APP) -> BlueprintApplied:
        """As `blueprints.apply`, without its conditions."""
        return await self.blueprints.apply(text, applied_by, default_id)

    async def deploy(self, artifact: str, instances: int | None = None) -> Wished:
        """Want `group:artifact:version` (or a range), owned by blueprint `adhoc`. Raises BadInput, Conflict.

        instances  None keeps the count in force, or takes the slice's own default
        """
        base, versions = parse_target(artifact)
        if instances is not None:
            check_instances(instances)
        return await self._one(base, lambda standing: decide_deploy(base, versions, instances, standing))

    async def scale(
        self,
        artifact: str,
        instances: int,
        *,
        by: str = "",
        for_s: float = 0.0,
        until: float = 0.0,
        reason: str = "",
    ) -> Wished:
        """Want `instances` of `group:artifact[:version]`, against the blueprint's count, until an apply names one.

        With a version, what is not wanted yet is created.
        for_s, until  seconds from now, or the wall-clock second, after which the blueprint's count holds again;
                      0 = it does not end by itself
        Raises BadInput, NotFound, Conflict (another version is in force, or an update under way).
        """
        base, version = _named(artifact)
        check_instances(instances)
        now = self._wall()
        if for_s and until:
            raise BadInput("a scale has one end", ("give `for` or `until`, not both",))
        if until and until <= now:
            raise BadInput("until: that time has passed", ("give a time to come, or none",))
        override = OverrideRow(
            artifact=base,
            instances=instances,
            owner=OPERATOR,
            reason=reason,
            by=by,
            at=now,
            until=now + for_s if for_s else until,
        )
        return await self._one(base, lambda standing: decide_scale(base, version, override, standing))

    async def undeploy(self, artifact: str) -> Wished:
        """Want none of `group:artifact[:version]` any more. What is not wanted, or in another version, is no error."""
        base, version = _named(artifact)

        return await self._one(base, lambda standing: decide_undeploy(base, version, standing))

    async def implicit(self, contracts: Iterable[Contract]) -> Applied:
        """Want the slices of an opening process, as blueprint `app`, where nobody wants them yet: first writer wins."""
        wanted = {c.artifact: c.options for c in contracts if c.artifact is not None}
        await self._kv.barrier()
        for _ in range(TRIES_MAX):
            revision = await self._rows.write(decide_implicit(wanted, self._rows.standing().desired))
            if revision is not None:
                return Applied(revision)
        raise busy("the slices of this process")

    # --- reading and writing --------------------------------------------------------------------------------------

    async def _one(self, base: ArtifactBase, decide: Callable[[Standing], Decision]) -> Wished:
        await self._kv.barrier()
        for _ in range(TRIES_MAX):
            standing = self._rows.standing()
            decision = decide(standing)
            revision = await self._rows.write(decision)
            if revision is not None:
                row = decision.desired[base]
                override = decision.overrides.get(base, standing.overrides.get(base))
                changed = row != standing.desired.get(base) or bool(decision.overrides)
                return Wished(revision, base, row, changed, override)
        raise busy(str(base))


def _named(text: str) -> tuple[ArtifactBase, Version | None]:
    """Read `group:artifact` or `group:artifact:version`."""
    if text.count(":") < 2:
        return ArtifactBase.parse(text), None
    artifact = Artifact.parse(text)
    return artifact.base, artifact.version
