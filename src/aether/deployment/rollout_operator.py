"""What people ask of updates, from any node.

Knows: how each wish becomes one compare-and-set batch; how an update is named.
Never: moves an update on by itself (rollout_manager does).
Holds: each decision is made on a state at least as new as the request, and written only if it still holds: of two
       operators at once one is told whose change won.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import attrs

from aether.deployment.defaults import defaults_of, made_once
from aether.deployment.health_source import HealthSource
from aether.deployment.known_contracts import KnownContracts, Own
from aether.deployment.rollout import new_rollout
from aether.deployment.rollout_facts import NO_INSTANCES, RolloutChanges, RolloutFacts, VersionStanding
from aether.deployment.rollout_guards import check_none_open, check_plan, check_room, check_version, open_rollout
from aether.deployment.rollout_view import RolloutView
from aether.deployment.rollout_wishes import (
    approve,
    complete,
    pause,
    resume,
    route,
    take_back,
    waits_for,
    waits_for_a_person,
)
from aether.deployment.rollout_writes import RolloutRows, write_changes, write_start
from aether.deployment.standing import no_contract
from aether.deployment.writing import TRIES_MAX, busy
from aether.errors import BadInput, Conflict, NotFound
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.health import Health
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.rollout import TERMINAL, RolloutPlan, RolloutRow
from aether.model.rows import Applied
from aether.model.version import Version

CURRENT: Final = "current"
"""Names the one update under way, or the one that ended last."""

ROLLING: Final = RolloutPlan()


@attrs.frozen
class RolloutApplied(Applied):
    """The update as it stands after a wish; `changed` is False when it was so before.

    old, new  the instances of both versions
    missing   what it does by itself until it is over or waits for a person; [] when nothing
    waits_for what a person has to do before it goes on; "" when nothing
    """

    row: RolloutRow
    changed: bool = True
    old: VersionStanding = NO_INSTANCES
    new: VersionStanding = NO_INSTANCES
    missing: Callable[[], list[str]] = list
    waits_for: str = ""


class RolloutOperator:
    """Each wish answers once this node has applied it.

    All raise NoQuorum or OutcomeUnknown as the store does, NotFound for an update that nobody knows, and Conflict when
    the update stands where the wish does not fit, or others keep changing it. Cancelled, a wish may or may not happen.
    An update is named by its id, by its artifact (the one under way, else the last), or by `current`.

    voters  of the group; None = every member counts as one; contracts  of versions whose code this process has
    """

    def __init__(
        self,
        kv: KvService,
        live: Callable[[], Mapping[NodeId, Incarnation]],
        *,
        wall: Callable[[], float],
        new_id: Callable[[], str],
        health: HealthSource | None = None,
        voters: Callable[[], Collection[NodeId]] | None = None,
        contracts: Own = no_contract,
    ) -> None:
        self._kv = kv
        self._wall = wall
        self._new_id = new_id
        self._health = health
        self._view = RolloutView(kv, live, lambda: tuple(kv.rows(keys.MEMBERS)), voters)
        self._contracts = KnownContracts(kv, contracts)

    async def start(
        self, artifact: str, version: str = "", plan: RolloutPlan = ROLLING, by: str = ""
    ) -> RolloutApplied:
        """Begin to update `group:artifact` to `version`; or `group:artifact:version` alone.

        Raises NotFound (nothing deployed), BadInput (a plan or version that does not fit), Conflict (another update is
        under way, the version is in force, there is no room, callers would break).
        """
        base, new = _target(artifact, version)
        check_plan(plan)
        await self._kv.barrier()
        for _ in range(TRIES_MAX):
            desired = self._kv.get(keys.desired(base))
            check_none_open(base, self._kv.rows(keys.rollouts_of(base)))
            check_version(base, desired, new, self._view.offered())
            assert desired is not None
            begun = made_once(desired, defaults_of(self._contracts.of(base.at(new))))
            once = begun is not desired
            row = new_rollout(self._new_id(), desired, new, plan, by, self._wall(), once=once)
            at = RolloutRows(self._kv, row)
            at.desired = begun
            self._check(row, self._view.facts(row, at, (), self._wall()))
            result = await write_start(self._kv, at, row)
            if result.applied:
                return self._shown(row, result.revision)
        raise busy(str(base))

    async def known(self) -> list[RolloutApplied]:
        """All that are kept, the newest first."""
        rows = sorted(self._kv.rows(keys.ROLLOUTS), key=lambda row: (-row.created_at, row.id))
        return [self._shown(row, self._kv.revision) for row in rows]

    async def get(self, name: str) -> RolloutApplied:
        """One update. Raises NotFound."""
        return self._shown(self._find(name), self._kv.revision)

    async def health(self, name: str) -> tuple[RolloutApplied, Health]:
        """How the calls to both versions went, over all nodes, since these started."""
        row = self._find(name)
        if self._health is None:
            return self._shown(row, self._kv.revision), Health()
        answer = await self._health.health(row.artifact)
        return self._shown(row, self._kv.revision), answer.of(row.old, row.new)

    async def route(self, name: str, new: int, old: int) -> RolloutApplied:
        """Share the traffic as new:old parts. Raises BadInput for shares that make no sense."""
        return await self._change(name, lambda row, facts, now: route(row, facts, new, old, now))

    async def approve(self, name: str) -> RolloutApplied:
        """Let the step that waits go on."""
        return await self._change(name, lambda row, facts, now: approve(row, now))

    async def complete(self, name: str) -> RolloutApplied:
        """Put the new version in force for good."""
        return await self._change(name, lambda row, facts, now: complete(row, now))

    async def rollback(self, name: str, by: str = "") -> RolloutApplied:
        """Take the update back. One that is taken back already answers as it is."""
        reason = f"rolled back by {by}" if by else "rolled back"
        return await self._change(name, lambda row, facts, now: take_back(row, facts, reason, now))

    async def pause(self, name: str) -> RolloutApplied:
        """Let it stand still until `resume`."""
        return await self._change(name, lambda row, facts, now: pause(row, now))

    async def resume(self, name: str) -> RolloutApplied:
        """Let it go on."""
        return await self._change(name, lambda row, facts, now: resume(row, now))

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _change(
        self, name: str, decide: Callable[[RolloutRow, RolloutFacts, float], RolloutChanges | None]
    ) -> RolloutApplied:
        await self._kv.barrier()
        identity = ""
        for _ in range(TRIES_MAX):
            row = self._find(identity or name)
            identity, now = row.id, self._wall()  # `current` stays the same one while others write
            at = RolloutRows(self._kv, row)
            changes = decide(row, self._view.facts(row, at, (), now), now)
            if changes is None:
                return self._shown(row, self._kv.revision, changed=False)
            result = await write_changes(self._kv, at, changes, (), None, now)
            if result.applied:
                return self._shown(changes.row, result.revision)
        raise busy(f"update {identity}")

    def _find(self, name: str) -> RolloutRow:
        rows = sorted(self._kv.rows(keys.ROLLOUTS), key=lambda row: (row.updated_at, row.id))
        if name == CURRENT:
            under_way = [row for row in rows if row.state not in TERMINAL]
            if len(under_way) > 1:
                listed = ", ".join(f"{row.id} of {row.artifact}" for row in under_way[:10])
                raise Conflict(CURRENT, f"{len(under_way)} updates are under way; name one: {listed}")
            found = under_way or rows[-1:]
        elif ":" in name:
            ours = [row for row in rows if str(row.artifact) == name]
            one = open_rollout(ours)
            found = [one] if one is not None else ours[-1:]
        else:
            found = [row for row in rows if row.id == name]
        if not found and name == CURRENT:
            raise NotFound("update", name, "none is known yet; aether rollout start ARTIFACT VERSION begins one")
        if not found:
            raise NotFound("update", name[:80], "aether rollout list shows those that are known")
        return found[0]

    def _check(self, row: RolloutRow, facts: RolloutFacts) -> None:
        once = facts.desired is not None and facts.desired.singleton
        check_room(row.artifact, row.plan, facts.wanted, facts.needed, facts.places, once=once)
        if row.plan.force:
            return
        broken = self._contracts.breaks(row.artifact.at(row.old), row.artifact.at(row.new))
        if broken:
            raise Conflict(
                str(row.artifact), f"{row.new} breaks its callers: {'; '.join(broken)}; --force updates all the same"
            )

    def _shown(self, row: RolloutRow, revision: Revision, *, changed: bool = True) -> RolloutApplied:
        old, new = (self._view.standing(row.artifact, version) for version in (row.old, row.new))
        return RolloutApplied(revision, row, changed, old, new, lambda: self._missing(row), waits_for(row))

    def _missing(self, of: RolloutRow) -> list[str]:
        row = self._kv.get(keys.rollout(of.artifact, of.id))
        if row is None or waits_for_a_person(row):
            return []
        return [f"update {row.id} of {row.artifact} is {row.state}, at {row.weight_new}:{row.weight_old}"]


def _target(artifact: str, version: str) -> tuple[ArtifactBase, Version]:
    """Raises BadInput for what is no artifact or no version."""
    if artifact.count(":") == 2:
        named = Artifact.parse(artifact)
        if version and Version.parse(version) != named.version:
            raise BadInput("two versions", (f"version: {artifact} names another one than {version}; give one",))
        return named.base, named.version
    if not version:
        fix = f"version: name the one that {artifact[:80]} is to be updated to, as in {artifact[:80]}:1.2.0"
        raise BadInput("no version is given", (fix,))
    return ArtifactBase.parse(artifact), Version.parse(version)
