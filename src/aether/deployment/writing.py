"""Decisions about wishes: the rows that they are made on, and the batch that writes them.

Knows: which rows a decision depends on, their versions.
Never: decides; repeats what lost a race.
Holds: a decision is written whole or not at all, and only while every row that it looked at stands as it did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from aether.deployment.duties import duties_of
from aether.deployment.known_contracts import KnownContracts, Own
from aether.deployment.rollout_writes import begun
from aether.deployment.room import learners_of
from aether.deployment.standing import Decision, Standing, newest_rollouts, no_contract
from aether.errors import Conflict
from aether.kv import keys
from aether.kv.commands import Batch, Change, Compare, Delete, Put
from aether.kv.key_kinds import Key
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import NodeId, Revision
from aether.model.lifecycle import SliceState
from aether.model.rows import LeadershipRow
from aether.slice_api.description import ContractDescription

TRIES_MAX: Final = 8
NOTHING: Final = Batch()


class WishRows:
    """Of one node.

    wall      wall-clock seconds; new_id  names of updates
    contracts of the versions whose code this process has; those of others are read from their rows
    voters    of the group; None = every member counts as one
    """

    def __init__(
        self,
        kv: KvService,
        wall: Callable[[], float],
        contracts: Own = no_contract,
        new_id: Callable[[], str] | None = None,
        voters: Callable[[], Collection[NodeId]] | None = None,
    ) -> None:
        self.kv: KvService = kv
        self.wall: Callable[[], float] = wall
        self._contracts = KnownContracts(kv, contracts)
        self._new_id = new_id
        self._voters = voters

    def standing(self) -> Standing:
        """What stands now."""
        kv = self.kv
        members = tuple(kv.rows(keys.MEMBERS))
        return Standing(
            desired={row.artifact.base: row for row in kv.rows(keys.DESIRED)},
            overrides={row.artifact: row for row in kv.rows(keys.OVERRIDES)},
            members=members,
            duties=duties_of(members, kv.rows(keys.DUTIES)),
            learners=learners_of(members, self._voters),
            running=frozenset(r.artifact for r in kv.rows(keys.INSTANCES) if r.state is SliceState.ACTIVE),
            rollouts=newest_rollouts(kv.rows(keys.ROLLOUTS)),
            contracts=_Remembered(self._contracts.of),
            breaks=self._contracts.breaks,
            new_id=self._update_id,
            now=self.wall(),
        )

    async def write(
        self, decision: Decision, extra: Batch = NOTHING, fence: LeadershipRow | None = None
    ) -> Revision | None:
        """The revision at which `decision` and `extra` hold, or None when somebody was faster.

        Raises what a proposal raises.
        """
        kv = self.kv
        compares: list[Compare[Any]] = list(extra.compares)
        writes: list[Change] = list(extra.changes)
        beginning = {row.artifact for row in decision.rollouts}
        for base, row in sorted(decision.desired.items()):
            key = keys.desired(base)
            compares.append(self._compare(key))
            if row != kv.get(key) or base in beginning:
                writes.append(Delete(key) if row is None else Put(key, row))
        for base, override in sorted(decision.overrides.items()):
            override_key = keys.override(base)
            compares.append(self._compare(override_key))
            writes.append(Delete(override_key) if override is None else Put(override_key, override))
        for rollout in decision.rollouts:
            compares.append(self._compare(keys.traffic(rollout.artifact)))
            writes += begun(rollout)
        writes += self._watched(decision)
        if not writes:
            return kv.revision
        batch = Batch(tuple(compares), tuple(writes))
        result = await (kv.propose(batch) if fence is None else kv.propose(batch, fence=fence))
        return result.revision if result.applied else None

    def _compare(self, key: Key[Any]) -> Compare[Any]:
        return Compare(key, self.kv.version(key))

    def _watched(self, decision: Decision) -> list[Change]:
        if decision.watch is not None:
            return [Put(keys.atomic_apply(decision.watch.id), decision.watch)]
        if decision.unwatch and self.kv.get(keys.atomic_apply(decision.unwatch)) is not None:
            return [Delete(keys.atomic_apply(decision.unwatch))]
        return []

    def _update_id(self, base: ArtifactBase) -> str:
        return f"{base.name}-{int(self.wall())}" if self._new_id is None else self._new_id()


class _Remembered:
    """Each contract is read once for one decision."""

    def __init__(self, read: Own) -> None:
        self._read = read
        self._known: dict[Artifact, ContractDescription | None] = {}

    def __call__(self, artifact: Artifact) -> ContractDescription | None:
        if artifact not in self._known:
            self._known[artifact] = self._read(artifact)
        return self._known[artifact]


def busy(what: str) -> Conflict:
    """Others were faster again and again."""
    return Conflict(what, f"others changed it {TRIES_MAX} times meanwhile; look at it, then repeat")
