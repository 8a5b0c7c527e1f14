"""A disk of whole writes: what is durable, and what a crash may lose.

Knows: writes in order, the durable hard state, log and snapshot.
Never: time (the world says when a sync ends), the core.
Holds: writes become durable in order; a crash keeps a prefix of those under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from aether.consensus.entry import Entry
from aether.consensus.values import HardState, Persisted, Snapshot, StorageWrite
from aether.model.ids import LogIndex, Term


class LocalSnapshot:
    """A snapshot that the node took itself: entries before `keep_from` go when it is durable."""

    def __init__(self, snapshot: Snapshot, keep_from: LogIndex) -> None:
        self.snapshot = snapshot
        self.keep_from = keep_from


Job = StorageWrite | LocalSnapshot


class Disk:
    """Durable state plus the queue of what is not durable yet."""

    def __init__(self) -> None:
        self.hard: HardState = HardState()
        self.snapshot: Snapshot | None = None
        self.queue: deque[Job] = deque()
        self._entries: list[Entry] = []

    @property
    def snapshot_index(self) -> LogIndex:
        return self.snapshot.meta.index if self.snapshot else LogIndex(0)

    @property
    def last_index(self) -> LogIndex:
        return self._entries[-1].index if self._entries else self.snapshot_index

    def holds(self, index: LogIndex, term: Term) -> bool:
        """Whether the entry at `index` with `term` is durable, in the log or under the snapshot."""
        if index <= self.snapshot_index:
            return True
        position = index - self._entries[0].index if self._entries else -1
        return 0 <= position < len(self._entries) and self._entries[position].term == term

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
        if write.snapshot is not None:
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
        self.snapshot = job.snapshot
        keep_from = min(job.keep_from, LogIndex(job.snapshot.meta.index + 1))
        self._entries = [entry for entry in self._entries if entry.index >= keep_from]

    def crash(self, kept: int) -> None:
        """Power fails: the first `kept` jobs under way made it, the others are lost."""
        self.persist(kept)
        self.queue.clear()

    def load(self) -> Persisted:
        """What a restart finds."""
        return Persisted(self.hard, self.snapshot, tuple(self._entries))
