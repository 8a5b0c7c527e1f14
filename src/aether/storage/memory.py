"""Storage in memory: the same contract as on disk, for tests, simulations and ephemeral nodes.

Knows: what a crash would leave, write by write.
Never: files. The object outlives its node: keep it, and a restarted node loads what its predecessor wrote.
"""

from __future__ import annotations

from collections.abc import Sequence

from aether.consensus.values import HardState, Persisted, Snapshot, StorageWrite
from aether.errors import StorageFailed
from aether.model.ids import LogIndex
from aether.storage.bodies import Step, step_of
from aether.storage.replay import NO_SNAPSHOT, Replay


class MemoryStorage:
    """A LogStorage whose disk is this object.

    `write` is `stage` and `sync` at once. A simulation calls the two apart, and `crash` between them: a disk that lost
    power keeps some first part of what was staged, never a write without those before it.
    `fail(reason)` makes every later write raise StorageFailed, as a dying disk would.
    """

    def __init__(self) -> None:
        self._durable = Replay()
        self._snapshot: Snapshot | None = None
        self._staged: list[StorageWrite] = []
        self._failure: StorageFailed | None = None

    def load(self) -> Persisted:
        """What was written, as a restarted node reads it."""
        self.sync()
        return Persisted(self._durable.hard_state, self._snapshot, self._durable.tail())

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

    def save_snapshot(self, snapshot: Snapshot, keep_from: LogIndex) -> None:
        """Keep a local snapshot and drop entries before `keep_from`. Raises StorageFailed after `fail`."""
        if self._failure is not None:
            raise self._failure
        position = (snapshot.meta.index, snapshot.meta.term)
        if position <= self._durable.snapshot:
            return
        self._durable.apply(Step(saved=position))
        self._durable.drop_before(min(keep_from, LogIndex(snapshot.meta.index + 1)))
        self._snapshot = snapshot

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
        if write.snapshot is not None:
            self._snapshot = write.snapshot
        self._durable.apply(step_of(write))
