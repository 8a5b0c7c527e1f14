"""Writes on their way to the disk: what the next group commit holds, and what is durable.

Knows: which writes need a sync, order, since when the disk has been busy.
Never: the disk, tasks, clocks: times are passed in.
Holds: acknowledged numbers never fall, and never pass a write that is not durable. A write that only moves the commit
       index needs no durability, for it can be learnt again: it waits for company, and is acknowledged at once.
"""

from __future__ import annotations

from aether.consensus.values import HardState, StorageWrite


class WriteQueue:
    """Between the consensus loop (`put`) and the writer (`take`, then `done` or `put_back`)."""

    def __init__(self, hard_state: HardState) -> None:
        self._promised = (hard_state.term, hard_state.vote)
        self._queued: list[StorageWrite] = []
        self._idle: StorageWrite | None = None
        self._needs_disk = False
        self._busy_since_s: float | None = None
        self._put = 0
        self.acknowledged: int = 0
        self.full: bool = False

    def put(self, write: StorageWrite) -> bool:
        """Queue `write`. Whether the disk has something to do now."""
        self._put = write.number
        self._queued.append(write)
        self._needs_disk = self._needs_disk or self._is_promise(write)
        if write.hard_state is not None:
            self._promised = (write.hard_state.term, write.hard_state.vote)
        if self._busy_since_s is None:
            self._settle()
        return self.has_work

    def _is_promise(self, write: StorageWrite) -> bool:
        state = write.hard_state
        voted = state is not None and (state.term, state.vote) != self._promised
        return voted or bool(write.entries or write.parts) or write.snapshot is not None

    def _settle(self) -> None:
        """Nothing is being written: what needs no disk is as good as durable."""
        if self._queued and not self._needs_disk:
            self._idle = self._queued[-1]
            self._queued.clear()
            self.acknowledged = self._put

    @property
    def has_work(self) -> bool:
        """Whether `take` would give something to write."""
        return self._needs_disk and self._busy_since_s is None

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way to the disk, or waits to be."""
        return self._needs_disk or self._busy_since_s is not None

    @property
    def last_put(self) -> int:
        """Number of the newest write."""
        return self._put

    def take(self, now_s: float) -> list[StorageWrite]:
        """Everything that has queued, for one group commit."""
        batch = [self._idle, *self._queued] if self._idle is not None else self._queued
        self._queued, self._idle, self._needs_disk = [], None, False
        self._busy_since_s = now_s
        return batch

    def done(self, batch: list[StorageWrite]) -> None:
        """`batch` is durable."""
        self.acknowledged = batch[-1].number
        self._busy_since_s, self.full = None, False
        self._settle()

    def put_back(self, batch: list[StorageWrite]) -> None:
        """There was no space for `batch`; it comes first when `take` is called again."""
        self._queued[:0] = batch
        self._needs_disk = self.full = True
        self._busy_since_s = None

    def is_stalled(self, now_s: float, limit_s: float) -> bool:
        """Whether the disk is full, or has been busy with one batch for longer than `limit_s`."""
        return self.full or (self._busy_since_s is not None and now_s - self._busy_since_s > limit_s)
