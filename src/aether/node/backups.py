"""Backups of a running node: its store held fast at one revision, as the bytes of a file.

Knows: where state, term and name of the cluster come from; how many backups may be held at once.
Never: who may have one (room management), the file (room storage).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from typing import Final

import trio

from aether.consensus.service import ConsensusService
from aether.errors import Overloaded
from aether.kv import keys
from aether.kv.service import KvService
from aether.management.backup_source import OpenBackup
from aether.model.ids import ClusterUuid, Revision
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
        """Each part is made when it is sent. Raises Overloaded when BACKUPS_MAX are held: downloads not ended yet."""
        await trio.lowlevel.checkpoint()
        if self._held >= BACKUPS_MAX:
            raise Overloaded("the backups of this node", BACKUPS_MAX, retry_after_s=10.0)
        revision, pieces = self._kv.freeze()
        header = self._header(revision)
        parts = self._parts(header, pieces)
        next(parts)  # begun: however it ends, it ends in its `finally`
        return OpenBackup(revision, parts)

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

    def _parts(self, header: BackupHeader, pieces: Iterator[bytes]) -> Iterator[bytes]:
        self._held += 1
        try:
            yield b""
            yield from encode_backup(header, pieces)
        finally:
            self._held -= 1


def _release() -> str:
    try:
        return importlib.metadata.version("aether-runtime")
    except importlib.metadata.PackageNotFoundError:
        return ""
