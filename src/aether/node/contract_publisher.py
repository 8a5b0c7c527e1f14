"""Writes down the contract of each slice that runs here, or could, so that other nodes, versions and repositories can
read it: whoever decides about a slice on a node without its code decides as if the code were there.

Knows: rows of contracts, of instances, of desired slices; this process's classes.
Never: what a contract means, which instances should run.
Holds: one row per version, at most CONTRACTS_KEPT of one slice, that in force besides; they go when nobody wants or
       offers the slice any more. A contract that cannot be written now is tried again, soon or at the next change;
       one that cannot be loaded keeps none of the others from being written.
"""

from __future__ import annotations

import json
import logging
import math
from typing import Final, NoReturn

import trio

from aether.deployment.reasons import first_line
from aether.deployment.slice_store import SliceStore
from aether.errors import AetherError, NotFound
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.commands import Batch, Change, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.lifecycle import SliceState
from aether.model.limits import CONTRACT_BYTES_MAX, CONTRACTS_KEPT, CONTRACTS_OFFERED_MAX, RECONCILE_FLOOR_S
from aether.model.rows import ContractRow
from aether.slice_api.described import description_of, slice_of

_log = logging.getLogger("aether.node")

CANDIDATES_MAX: Final = CONTRACTS_KEPT // 2
_GATHER_S: Final = 0.05
_VERSIONS_PER_BATCH: Final = 20
_BATCH_BYTES_MAX: Final = 64 * 1024  # of texts; a longer one has a batch of its own


class ContractPublisher:
    """Of one node process. store  where its classes are"""

    def __init__(self, node: NodeId, incarnation: Incarnation, kv: KvService, store: SliceStore) -> None:
        self._node = node
        self._incarnation = incarnation
        self._kv = kv
        self._store = store
        self._instances = CachedRows(kv, keys.INSTANCES)
        self._published: set[Artifact] = set()
        self._unloadable: dict[Artifact, str] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Until cancelled."""
        async with self._kv.watch(keys.INSTANCES, keys.DESIRED, keys.CONTRACTS, keys.MEMBERS) as watch:
            task_status.started()
            while True:
                pause_s = math.inf
                try:
                    await self._publish()
                    await self._forget_unwanted()
                except AetherError as error:
                    _log.info("contracts are not written yet: %s", error)
                    pause_s = RECONCILE_FLOOR_S
                with trio.move_on_after(pause_s):
                    await watch.changed()
                await trio.sleep(_GATHER_S)  # a storm of changes is one look

    async def _publish(self) -> None:
        """The contract of each version that has become ACTIVE here since it was last looked, or may come into force."""
        active = {
            row.artifact
            for row in self._instances.look()
            if row.node == self._node and row.incarnation == self._incarnation and row.state is SliceState.ACTIVE
        }
        told = dict.fromkeys([*sorted(active), *self._candidates()])
        self._published &= told.keys()
        self._unloadable = {artifact: why for artifact, why in self._unloadable.items() if artifact in told}
        batch: dict[Artifact, tuple[Change, ...]] = {}
        for artifact in [each for each in told if each not in self._published]:
            if _is_full(batch) or any(artifact.base == each.base for each in batch):
                await self._write(batch)
            try:
                batch[artifact] = await self._changes(artifact)
            except NotFound as error:  # its tree has gone, and its instances stay
                _log.info("the contract of %s stays unwritten: %s", artifact, error)
                self._published.add(artifact)
            except Exception as error:  # noqa: BLE001 - a store of slices is code of a third party, which loads others'
                self._tell_unloadable(artifact, first_line(error))
        await self._write(batch)

    def _tell_unloadable(self, artifact: Artifact, why: str) -> None:
        """Once for each reason; it is tried again at the next change."""
        if self._unloadable.get(artifact) != why:
            self._unloadable[artifact] = why
            _log.warning("the contract of %s stays unwritten, as it cannot be loaded: %s", artifact, why)

    def _candidates(self) -> list[Artifact]:
        """The newest versions that this node can run of each slice, wanted ones first: whoever deploys one looks at
        what it says of itself, and an update to it is judged before it begins, by what it breaks.
        """
        wanted = {row.artifact.base for row in self._kv.rows(keys.DESIRED)}
        versions: dict[ArtifactBase, list[Artifact]] = {}
        for artifact in self._store.available():  # sorted
            versions.setdefault(artifact.base, []).append(artifact)
        first = sorted(versions, key=lambda base: (base not in wanted, base))
        told = [base for base in first if base in wanted]
        told = first[: max(len(told), CONTRACTS_OFFERED_MAX)]
        return [artifact for base in told for artifact in versions[base][-CANDIDATES_MAX:]]

    async def _write(self, batch: dict[Artifact, tuple[Change, ...]]) -> None:
        """Write what is in `batch`, and empty it."""
        changes = tuple(change for each in batch.values() for change in each)
        if changes:
            await self._kv.propose(Batch((), changes))
        self._published.update(batch)
        batch.clear()

    async def _changes(self, artifact: Artifact) -> tuple[Change, ...]:
        """What makes the rows tell the contract of `artifact`; () when they do."""
        description = description_of(slice_of(await self._store.load(artifact)))
        text = json.dumps(description.to_plain(), separators=(",", ":"), ensure_ascii=False)
        key = keys.contract(artifact)
        known = self._kv.get(key)
        if known is not None and known.text == text:
            return ()
        if len(text.encode()) > CONTRACT_BYTES_MAX:
            _log.warning("the contract of %s has more than %d bytes and stays unwritten", artifact, CONTRACT_BYTES_MAX)
            return ()
        others = {row.artifact for row in self._kv.rows(keys.contracts_of(artifact.base))} - {artifact}
        in_force = self._kv.get(keys.desired(artifact.base))
        others -= set() if in_force is None else {in_force.artifact}
        oldest = sorted(others)[: max(0, len(others) + 1 - CONTRACTS_KEPT)]
        row = ContractRow(artifact=artifact, text=text)
        return (Put(key, row), *(Delete(keys.contract(each)) for each in oldest))

    async def _forget_unwanted(self) -> None:
        """The leader's task: contracts of slices that nobody wants or offers and that run nowhere."""
        if self._kv.leadership is None:
            return
        used = {row.artifact.base for row in self._instances.look()}
        used |= {row.artifact.base for row in self._kv.rows(keys.DESIRED)}
        unused = [row.artifact for row in self._kv.rows(keys.CONTRACTS) if row.artifact.base not in used]
        if unused:
            used |= {artifact.base for member in self._kv.rows(keys.MEMBERS) for artifact in member.available}
        for artifact in unused:
            if artifact.base not in used:
                unwanted = Compare(keys.desired(artifact.base), Revision(0))
                await self._kv.propose(Batch((unwanted,), (Delete(keys.contract(artifact)),)))


def _is_full(batch: dict[Artifact, tuple[Change, ...]]) -> bool:
    written = [change.value for changes in batch.values() for change in changes if isinstance(change, Put)]
    return len(batch) >= _VERSIONS_PER_BATCH or sum(len(row.text) for row in written) >= _BATCH_BYTES_MAX
