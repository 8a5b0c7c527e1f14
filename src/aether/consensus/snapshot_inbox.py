"""Follows one snapshot as it arrives from the leader, piece by piece.

Knows: of which snapshot how many bytes have arrived, and their checksum.
Never: the bytes: each piece goes to storage at once; what is in them, when they are installed.
Holds: at most one snapshot. It is recognised by what it covers, its length and its checksum, whoever sends it, so that
       a transfer goes on where it stopped after a lost connection, a new leader or a restart of this node. One whose
       bytes do not match its checksum starts anew.
Paper: Raft 7, figure 13.
"""

from __future__ import annotations

import zlib

from aether.consensus.messages import SnapshotChunk
from aether.consensus.values import PartialSnapshot, SnapshotMeta, SnapshotPart, StoredSnapshot
from aether.model.ids import LogIndex


class SnapshotInbox:
    """partial  what storage holds already of one, at start."""

    def __init__(self, bytes_max: int, partial: PartialSnapshot | None) -> None:
        self._bytes_max = bytes_max
        self._snapshot = partial.snapshot if partial is not None else None
        self._arrived = partial.arrived_bytes if partial is not None else 0
        self._checksum = partial.checksum if partial is not None else 0
        self._parts: list[SnapshotPart] = []
        self._gap_at = -1

    def found_gap(self, chunk: SnapshotChunk) -> bool:
        """Whether `chunk`, which was just added, came before its predecessor; True once for each byte that is wanted.

        Networks that keep the order only lose: then the missing chunk is sent again at once, and not after a while.
        """
        gap = chunk.offset > self._arrived and self._gap_at != self._arrived and self._snapshot is not None
        if gap:
            self._gap_at = self._arrived
        return gap

    @property
    def has_parts(self) -> bool:
        """Whether bytes have arrived that no write holds yet."""
        return bool(self._parts)

    def take_parts(self) -> tuple[SnapshotPart, ...]:
        """Those bytes, for a write."""
        parts = tuple(self._parts)
        self._parts.clear()
        return parts

    @property
    def arriving(self) -> StoredSnapshot | None:
        """The one that is on its way, not all of it here."""
        return self._snapshot

    def forget_until(self, index: LogIndex) -> None:
        """What is committed here up to `index` needs no snapshot any more."""
        if self._snapshot is not None and self._snapshot.meta.index <= index:
            self._forget()
            self._parts.clear()

    def _forget(self) -> None:
        self._snapshot, self._arrived, self._checksum = None, 0, 0
        self._gap_at = -1

    def add(self, chunk: SnapshotChunk) -> StoredSnapshot | int | None:
        """The snapshot when `chunk` completes it, else the byte wanted next; None when it is too long to take."""
        if chunk.total_bytes > self._bytes_max:
            return None
        offered = _offered(chunk)
        if offered != self._snapshot:
            self._forget()
            self._snapshot = offered
            self._parts.clear()
        if chunk.offset == self._arrived and (chunk.chunk or not chunk.total_bytes):
            self._parts.append(SnapshotPart(offered, chunk.offset, chunk.chunk))
            self._arrived += len(chunk.chunk)
            self._checksum = zlib.crc32(chunk.chunk, self._checksum)
        if self._arrived < chunk.total_bytes:
            return self._arrived
        matches = self._checksum == chunk.checksum
        self._forget()
        return offered if matches else 0


def _offered(chunk: SnapshotChunk) -> StoredSnapshot:
    meta = SnapshotMeta(chunk.index, chunk.snapshot_term, chunk.configuration, chunk.configuration_index)
    return StoredSnapshot(meta, chunk.total_bytes, chunk.checksum)
