"""Storage in memory: the same contract as on disk, for tests, simulations and ephemeral nodes.

Knows: what a crash would leave, write by write.
Never: files. The object outlives its node: keep it, and a restarted node loads what its predecessor wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zlib import crc32

from aether.consensus.values import (
    HardState,
    PartialSnapshot,
    Persisted,
    SnapshotMeta,
    SnapshotPart,
    StorageWrite,
    StoredSnapshot,
)
from aether.errors import StorageFailed
from aether.model.ids import LogIndex
from aether.model.limits import SNAPSHOTS_KEPT
from aether.storage.bodies import Step, step_of
from aether.storage.replay import NO_SNAPSHOT, Replay


class MemorySnapshot:
    """A SnapshotReader of bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]

    def close(self) -> None:
        """Nothing to release."""


class MemoryStorage:
    """A LogStorage whose disk is this object.

    `write` is `stage` and `sync` at once. A simulation calls the two apart, and `crash` between them: a disk that lost
    power keeps some first part of what was staged, never a write without those before it.
    `fail(reason)` makes every later write raise StorageFailed, as a dying disk would.
    """

    def __init__(self) -> None:
        self._durable = Replay()
        self._snapshot: StoredSnapshot | None = None
        self._contents: dict[StoredSnapshot, bytes] = {}  # of the snapshots kept, the oldest first
        self._arriving: tuple[StoredSnapshot, bytearray] | None = None
        self._staged: list[StorageWrite] = []
        self._failure: StorageFailed | None = None

    def load(self) -> Persisted:
        """What was written, as a restarted node reads it."""
        self.sync()
        partial: PartialSnapshot | None = None
        if self._arriving is not None:
            snapshot, arrived = self._arriving
            partial = PartialSnapshot(snapshot, len(arrived), crc32(arrived))
        return Persisted(self._durable.hard_state, self._snapshot, self._durable.tail(), partial)

    def write(self, writes: Sequence[StorageWrite]) -> None:
        """Keep all. Raises StorageFailed after `fail`."""
        self.stage(writes)
        self.sync()

    def stage(self, writes: Sequence[StorageWrite]) -> None:
        """Hand writes to the disk without waiting for it: `sync` makes them durable, `crash` may lose them."""
        if self._failure is not None:
            raise self._failure
        self._staged.extend(writes)

    def sync(self) -> None:
        """Everything staged is durable."""
        staged, self._staged = self._staged, []
        for write in staged:
            self._keep(write)

    def crash(self, kept: int = 0) -> None:
        """Lose power: of the staged writes only the first `kept` survive. The failure of `fail` is repaired."""
        del self._staged[kept:]
        self.sync()
        self._failure = None

    def fail(self, reason: str = "simulated disk failure") -> None:
        self._failure = StorageFailed("memory", reason)

    def save_snapshot(self, meta: SnapshotMeta, pieces: Iterable[bytes], keep_from: LogIndex) -> StoredSnapshot | None:
        """Keep a local snapshot and drop entries before `keep_from`. Raises StorageFailed after `fail`."""
        if self._failure is not None:
            raise self._failure
        position = (meta.index, meta.term)
        if position <= self._durable.snapshot:
            return None
        content = b"".join(pieces)
        if position <= self._durable.snapshot:  # a newer one was received meanwhile
            return None
        self._durable.apply(Step(saved=position))
        self._durable.drop_before(min(keep_from, LogIndex(meta.index + 1)))
        return self._keep_snapshot(StoredSnapshot(meta, len(content), crc32(content)), content)

    def open_snapshot(self, snapshot: StoredSnapshot) -> MemorySnapshot | None:
        """For reading one of the newest two; None when it is not here (any more)."""
        content = self._contents.get(snapshot)
        return MemorySnapshot(content) if content is not None else None

    @property
    def wants_preparation(self) -> bool:
        return False

    def prepare(self) -> None:
        """Nothing to do: memory needs no preallocation."""

    def close(self) -> None:
        """Nothing to release."""

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever written."""
        replay = self._durable
        return replay.hard_state == HardState() and replay.snapshot == NO_SNAPSHOT and not replay.entries

    def _keep(self, write: StorageWrite) -> None:
        for part in write.parts:
            self._arrive(part)
        if write.snapshot is not None:
            assert self._arriving is not None, f"nothing of the snapshot at {write.snapshot.meta.index} has arrived"
            snapshot, arrived = self._arriving
            here = (snapshot, len(arrived), crc32(arrived))
            announced = (write.snapshot, write.snapshot.total_bytes, write.snapshot.checksum)
            assert here == announced, f"{here} is not the snapshot announced, {announced}"
            self._keep_snapshot(snapshot, bytes(arrived))
        self._durable.apply(step_of(write))

    def _arrive(self, part: SnapshotPart) -> None:
        if part.offset == 0:
            self._arriving = (part.snapshot, bytearray())
        assert self._arriving is not None, f"byte {part.offset} of a snapshot that never began"
        snapshot, arrived = self._arriving
        assert (snapshot, len(arrived)) == (part.snapshot, part.offset), f"byte {part.offset} after {len(arrived)}"
        arrived += part.chunk

    def _keep_snapshot(self, snapshot: StoredSnapshot, content: bytes) -> StoredSnapshot:
        self._contents[snapshot] = content
        while len(self._contents) > SNAPSHOTS_KEPT:
            del self._contents[next(iter(self._contents))]
        self._snapshot = snapshot
        if self._arriving is not None and self._arriving[0].meta.index <= snapshot.meta.index:
            self._arriving = None
        return snapshot
