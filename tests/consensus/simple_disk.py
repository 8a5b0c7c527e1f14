"""A disk of whole writes: what is durable, and what a crash may lose.

Knows: writes in order, the durable hard state, log and snapshot.
Never: time (the world says when a sync ends), the core.
Holds: writes become durable in order; a crash keeps a prefix of those under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from aether.consensus.entry import Entry
from aether.consensus.values import (
    HardState,
    PartialSnapshot,
    Persisted,
    SnapshotMeta,
    StorageWrite,
    StoredSnapshot,
)
from aether.model.ids import LogIndex


def stored(meta: SnapshotMeta, content: bytes) -> StoredSnapshot:
    """The name of a snapshot with this content."""
    return StoredSnapshot(meta, len(content), crc32(content))


class LocalSnapshot(NamedTuple):
    """A snapshot that a node takes itself: entries before `keep_from` go when it is durable."""

    snapshot: StoredSnapshot
    content: bytes
    keep_from: LogIndex


Job = StorageWrite | LocalSnapshot


class Disk:
    """What is durable, and in `queue` what is not yet. contents  of the snapshots it holds."""

    def __init__(self) -> None:
        self.hard: HardState = HardState()
        self.snapshot: StoredSnapshot | None = None
        self.contents: dict[StoredSnapshot, bytes] = {}
        self.arriving: tuple[StoredSnapshot, bytes] | None = None
        self.queue: deque[Job] = deque()
        self._entries: list[Entry] = []

    @property
    def snapshot_index(self) -> LogIndex:
        return self.snapshot.meta.index if self.snapshot else LogIndex(0)

    @property
    def last_index(self) -> LogIndex:
        return self._entries[-1].index if self._entries else self.snapshot_index

    def persist(self, count: int) -> list[Job]:
        """The first `count` jobs are durable now."""
        done = [self.queue.popleft() for _ in range(min(count, len(self.queue)))]
        for job in done:
            if isinstance(job, LocalSnapshot):
                self._keep(job)
            else:
                self._write(job)
        return done

    def _write(self, write: StorageWrite) -> None:
        for part in write.parts:
            if part.offset == 0:
                self.arriving = (part.snapshot, b"")
            assert self.arriving is not None
            snapshot, arrived = self.arriving
            assert (snapshot, len(arrived)) == (part.snapshot, part.offset), f"byte {part.offset} out of order"
            self.arriving = (snapshot, arrived + part.chunk)
        if write.snapshot is not None:
            assert self.arriving is not None
            snapshot, arrived = self.arriving
            assert (snapshot, snapshot.total_bytes, snapshot.checksum) == (
                write.snapshot,
                len(arrived),
                crc32(arrived),
            ), "another snapshot than was announced"
            self.contents[snapshot], self.arriving = arrived, None
            self.snapshot, self._entries = write.snapshot, []
        self._append(write.entries)
        if write.hard_state is not None:
            self.hard = write.hard_state

    def _append(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        first = entries[0].index
        assert first <= self.last_index + 1, f"the write starts at {first}, the disk ends at {self.last_index}"
        if self._entries:
            del self._entries[max(0, first - self._entries[0].index) :]
        self._entries += entries

    def _keep(self, job: LocalSnapshot) -> None:
        if job.snapshot.meta.index <= self.snapshot_index:
            return
        self.contents[job.snapshot] = job.content
        self.snapshot = job.snapshot
        keep_from = min(job.keep_from, LogIndex(job.snapshot.meta.index + 1))
        self._entries = [entry for entry in self._entries if entry.index >= keep_from]

    def crash(self, kept: int) -> None:
        """Power fails: the first `kept` jobs under way made it, the others are lost."""
        self.persist(kept)
        self.queue.clear()

    def load(self) -> Persisted:
        """What a restart finds."""
        partial = None
        if self.arriving is not None:
            snapshot, arrived = self.arriving
            partial = PartialSnapshot(snapshot, len(arrived), crc32(arrived))
        return Persisted(self.hard, self.snapshot, tuple(self._entries), partial)
