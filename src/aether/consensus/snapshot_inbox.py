"""Collects the chunks of one snapshot from the leader.

Knows: which bytes have arrived, in order, of which snapshot.
Never: what is in them, when they are installed.
Holds: at most one snapshot, at most `bytes_max` of it. Chunks of another leader, term or index start anew.
Paper: Raft 7, figure 13.
"""

from __future__ import annotations

from aether.consensus.messages import SnapshotChunk
from aether.consensus.values import Snapshot, SnapshotMeta
from aether.model.ids import LogIndex, NodeId


class SnapshotInbox:
    """Bytes of the snapshot that is arriving."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._which: tuple[object, ...] = ()
        self._index = LogIndex(0)
        self._collected = bytearray()

    def clear(self) -> None:
        """Forget what has arrived."""
        self._which = ()
        self._collected = bytearray()

    def forget_until(self, index: LogIndex) -> None:
        """What is committed here up to `index` needs no snapshot any more: give its memory back."""
        if self._index <= index and self._collected:
            self.clear()

    def add(self, sender: NodeId, chunk: SnapshotChunk) -> Snapshot | int | None:
        """The whole snapshot when `chunk` completes it, else the byte wanted next; None when it is too long to take."""
        if chunk.total_bytes > self._bytes_max:
            return None
        which = (sender, chunk.term, chunk.index, chunk.snapshot_term, chunk.total_bytes)
        if which != self._which:
            self._which, self._index, self._collected = which, chunk.index, bytearray()
        if chunk.offset == len(self._collected):
            self._collected += chunk.chunk
        if len(self._collected) < chunk.total_bytes:
            return len(self._collected)
        data = bytes(self._collected)
        self.clear()
        return Snapshot(_meta(chunk), data)


def _meta(chunk: SnapshotChunk) -> SnapshotMeta:
    return SnapshotMeta(chunk.index, chunk.snapshot_term, chunk.configuration, chunk.configuration_index)
