"""Backups of a running node: its store held fast at one revision, as the bytes of a file.

Knows: where state, term and name of the cluster come from; how many backups may be held at once.
Never: who may have one (room management), the file (room storage).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator
from typing import Final

from aether.consensus.service import ConsensusService
from aether.errors import Overloaded
from aether.kv import keys
from aether.kv.service import KvService
from aether.management.backup_source import OpenBackup
from aether.model.ids import ClusterUuid, Revision
from aether.model.limits import SNAPSHOT_CHUNK_BYTES
from aether.node.config import NodeConfig
from aether.node.seams import Seams
from aether.storage.backup import BackupHeader, encode_backup

BACKUPS_MAX: Final = 2


class NodeBackups:
    """A BackupSource over the store of one node."""

    def __init__(self, config: NodeConfig, kv: KvService, consensus: ConsensusService, seams: Seams) -> None:
        self._config = config
        self._kv = kv
        self._consensus = consensus
        self._seams = seams
        self._held = 0

    async def open(self) -> OpenBackup:
        """Encoded beside the loop. Raises Overloaded when BACKUPS_MAX are held: downloads that have not ended."""
        if self._held >= BACKUPS_MAX:
            raise Overloaded("the backups of this node", BACKUPS_MAX, retry_after_s=10.0)
        self._held += 1
        try:
            revision, encode = self._kv.freeze()
            header = self._header(revision)
            state = await self._seams.work.run(encode)
        except BaseException:
            self._held -= 1
            raise
        parts = self._parts(header, state)
        next(parts)  # begun: however it ends, it ends in its `finally`
        return OpenBackup(header.revision, parts)

    def _header(self, revision: Revision) -> BackupHeader:
        row = self._kv.get(keys.cluster)
        return BackupHeader(
            cluster=self._config.cluster,
            uuid=row.uuid if row is not None else ClusterUuid(""),
            revision=revision,
            term=self._consensus.status.term,
            node=self._config.node,
            taken_at=self._seams.wall(),
            release=_release(),
        )

    def _parts(self, header: BackupHeader, state: bytes) -> Iterator[bytes]:
        try:
            yield b""
            yield from encode_backup(header, _cut(state))
        finally:
            self._held -= 1


def _cut(state: bytes) -> Iterable[bytes]:
    return (state[at : at + SNAPSHOT_CHUNK_BYTES] for at in range(0, len(state), SNAPSHOT_CHUNK_BYTES))


def _release() -> str:
    try:
        return importlib.metadata.version("aether-runtime")
    except importlib.metadata.PackageNotFoundError:
        return ""
