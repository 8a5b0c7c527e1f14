"""Storage in a data directory.

Knows: the order of snapshot file, log record and deletion that survives a crash between any two of them.
Never: any thread or task of its own; the service brings the threads, through the Work seam.
Holds: after the first failed write or sync this process never writes the store again: the kernel may have dropped the
       dirty pages, so a second sync could report success for lost bytes (Rebello et al., ATC 2020).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from aether.consensus.values import HardState, Persisted, SnapshotMeta, StorageWrite, StoredSnapshot
from aether.errors import StorageCorrupt, StorageFailed
from aether.failpoints import Reach, nothing
from aether.model.ids import LogIndex, NodeId, StoreId
from aether.model.limits import WAL_SEGMENT_BYTES
from aether.storage import bodies, files, snapshots
from aether.storage.bodies import Position, Step
from aether.storage.directory import LOG_GONE, SNAPSHOT_DIRECTORY, WAL_DIRECTORY, DataDirectory
from aether.storage.record import Record, RecordKind
from aether.storage.replay import NO_SNAPSHOT, Impossible, LogGap, Replay
from aether.storage.segment import Segment, list_segments
from aether.storage.snapshots import Arrival, SnapshotFile
from aether.storage.wal import Body, Wal

_log = logging.getLogger("aether.storage")
_NOTHING: Final = Step()


class DiskStorage:
    """A LogStorage in the directory at `path`, which it locks until `close`. Every method blocks.

    cluster, node   whose store it is: another node's directory is refused
    segment_bytes   preallocated size of one segment of the write-ahead log
    reach           told at each place of `aether.failpoints`
    `store_id` was drawn when the directory was first used; `is_new` says that this was now.

    `write`, `save_snapshot` and `prepare` may run beside each other in different threads.
    Raises DataDirectoryInUse, IdentityMismatch, StorageCorrupt, BadInput.
    """

    def __init__(
        self, path: Path, cluster: str, node: NodeId, *, segment_bytes: int = WAL_SEGMENT_BYTES, reach: Reach = nothing
    ) -> None:
        self._path = path
        self._reach = reach
        self._directory = DataDirectory(path, cluster, node, reach)
        self._snapshots = path / SNAPSHOT_DIRECTORY
        self._wal = Wal(path / WAL_DIRECTORY, segment_bytes, self._opening, self._directory.identity.mark, reach)
        self._hard_state = HardState()
        self._snapshot: Position = NO_SNAPSHOT
        self._arrival = Arrival(self._snapshots)
        self._lock = Lock()  # the Work seam may bring several threads at once
        self._failure: StorageFailed | None = None
        self._loaded = False

    @property
    def store_id(self) -> StoreId:
        return self._directory.identity.store_id

    @property
    def is_new(self) -> bool:
        return self._directory.is_new

    def load(self) -> Persisted:
        """What is there; called once, before any write. Raises StorageCorrupt, StorageFull, StorageFailed."""
        assert not self._loaded, "a store is loaded once; open it again to read it again"
        with self._lock, self._failing():
            for directory in (self._wal_directory, self._snapshots):
                directory.mkdir(mode=0o700, exist_ok=True)
            files.sync_directory(self._path)
            self._check_log_is_there()
            replay = Replay()
            for segment, record in self._wal.open():
                step = bodies.step_in(record, str(segment.path))
                segment.index_max = max(segment.index_max, _index_max(step))
                self._replay(replay, step, segment, record)
            return self._settle(replay)

    def _check_log_is_there(self) -> None:
        """Without a segment this would seem to be a new store, whose node has given no vote and no promise."""
        begun = self._directory.identity.begun or snapshots.any_in(self._snapshots)
        if begun and not list_segments(self._wal_directory):
            raise StorageCorrupt(str(self._wal_directory), 0, LOG_GONE)

    def _settle(self, replay: Replay) -> Persisted:
        snapshot = self._newest_sound(replay) if replay.snapshot != NO_SNAPSHOT else None
        try:
            tail = replay.tail()
        except LogGap as gap:
            raise StorageCorrupt(str(self._wal_directory), 0, str(gap)) from gap
        self._hard_state, self._snapshot = replay.hard_state, replay.snapshot
        snapshots.sweep(self._snapshots, replay.snapshot)
        partial = self._arrival.find()
        if partial is not None and snapshots.position_of(partial.snapshot) <= replay.snapshot:
            self._arrival.forget()
            partial = None
        self._directory.begin()
        self._loaded = True
        return Persisted(replay.hard_state, snapshot, tail, partial)

    def _newest_sound(self, replay: Replay) -> StoredSnapshot:
        """The snapshot in force, or the kept one before it when the log leads on from there. Raises StorageCorrupt."""
        try:
            return snapshots.load(self._snapshots, replay.snapshot)
        except StorageCorrupt as damaged:
            for older in snapshots.positions(self._snapshots):
                if older < replay.snapshot and replay.covers(older):
                    snapshot = snapshots.load(self._snapshots, older)
                    _log.warning("%s; the snapshot of entry %d and the log after it replace it", damaged.what, older[0])
                    replay.snapshot = older
                    return snapshot
            raise

    def _replay(self, replay: Replay, step: Step, segment: Segment, record: Record) -> None:
        try:
            replay.check(step)
            replay.apply(step)
        except (LogGap, Impossible) as gap:
            raise StorageCorrupt(str(segment.path), record.end, str(gap)) from gap

    def write(self, writes: Sequence[StorageWrite]) -> None:
        """Append all, with one sync; writes that only move the commit index need none, for it can be learnt again.

        Raises StorageFull with nothing written: repeat the same writes later. StorageFailed: never again.
        """
        with self._lock, self._failing():
            assert self._loaded, "load the store before writing to it"
            state, snapshot, sync = self._hard_state, self._snapshot, False
            appended: list[Body] = []
            for write in writes:
                for part in write.parts:
                    self._reach("snapshot.part_arrived")
                    self._arrival.append(part)
                if write.snapshot is not None:
                    self._reach("snapshot.before_arrived")
                    self._arrival.finish(write.snapshot)
                step = bodies.step_of(write)
                if step == _NOTHING:
                    continue
                appended.append(Body(RecordKind.WRITE, bodies.encode_step(step), _index_max(step)))
                sync = sync or _needs_sync(step, state)
                state = step.hard_state or state
                snapshot = step.restart or snapshot
            if not appended:
                return
            self._wal.append(appended, sync=sync)
            self._hard_state = state
            if snapshot != self._snapshot:
                self._snapshot = snapshot
                self._forget_before(snapshot[0] + 1)

    def save_snapshot(self, meta: SnapshotMeta, pieces: Iterable[bytes], keep_from: LogIndex) -> StoredSnapshot | None:
        """Make a local snapshot durable, then delete log segments before `keep_from` and older snapshots.

        Every entry that the snapshot covers has been written before. Only the last step excludes `write`. None: a newer
        one is here already. Raises StorageFull with nothing changed, StorageFailed.
        """
        position = (meta.index, meta.term)
        with self._failing():
            assert self._loaded, "load the store before writing to it"
            if position <= self._snapshot:
                return None
            snapshot = snapshots.save(self._snapshots, meta, pieces, self._reach)
            self._reach("snapshot.before_recorded")
            with self._lock:
                if position <= self._snapshot:  # a newer one was received meanwhile
                    return None
                self._wal.append([Body(RecordKind.SNAPSHOT_SAVED, bodies.encode_position(position))], sync=True)
                self._reach("snapshot.after_recorded")
                self._snapshot = position
                self._forget_before(min(keep_from, meta.index + 1))
            return snapshot

    def open_snapshot(self, snapshot: StoredSnapshot) -> SnapshotFile | None:
        """For reading it, beside everything else; None when it is not here (any more). Raises StorageFailed."""
        with self._failing():
            return snapshots.open_file(self._snapshots, snapshot)

    @property
    def wants_preparation(self) -> bool:
        """Whether `prepare` would spare a later write from preallocating space."""
        return self._wal.wants_preparation

    def prepare(self) -> None:
        """Preallocate the next segment of the log. Raises StorageFull, StorageFailed."""
        with self._failing():
            self._wal.prepare()

    def close(self) -> None:
        """Release the files and the lock. Nothing is synced: every write already was."""
        with self._lock:
            self._arrival.close()
            self._wal.close()
            self._directory.close()

    @property
    def _wal_directory(self) -> Path:
        return self._path / WAL_DIRECTORY

    def _opening(self) -> list[Body]:
        opening = [Body(RecordKind.WRITE, bodies.encode_step(Step(hard_state=self._hard_state)))]
        if self._snapshot != NO_SNAPSHOT:
            opening.append(Body(RecordKind.SNAPSHOT_SAVED, bodies.encode_position(self._snapshot)))
        return opening

    def _forget_before(self, index: int) -> None:
        self._wal.delete_before(index)
        self._reach("snapshot.before_deleted")
        snapshots.prune(self._snapshots, self._snapshot)
        self._arrival.forget_until(self._snapshot)

    @contextlib.contextmanager
    def _failing(self) -> Generator[None]:
        """Turn the first OSError into StorageFailed, and repeat it for every later attempt."""
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except OSError as error:
            self._failure = StorageFailed(str(self._path), error.strerror or str(error))
            raise self._failure from error


def _index_max(step: Step) -> int:
    restart = step.restart[0] if step.restart is not None else 0
    return max(restart, step.entries[-1].index if step.entries else 0)


def _needs_sync(step: Step, before: HardState) -> bool:
    state = step.hard_state
    promised = state is not None and (state.term, state.vote) != (before.term, before.vote)
    return promised or bool(step.entries) or step.restart is not None
