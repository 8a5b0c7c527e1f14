"""The disk of one simulated node: its bytes, and beside them what they must amount to.

Knows: batches of writes, the log's bytes, snapshot files; what a crash may tear, which damage is possible.
Never: time (the world says when a sync ends), the core.
Holds: `expected` is what was reported durable, and a suffix of the batch that a crash tore: a start reads exactly
       that, or refuses. Batches become durable in order.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

import attrs
import msgpack

from aether.consensus.values import HardState, PartialSnapshot, Persisted, SnapshotMeta, StorageWrite, StoredSnapshot
from aether.errors import BadInput, StorageCorrupt
from aether.model.ids import LogIndex, Term
from aether.storage.bodies import (
    Position,
    Step,
    decode_meta,
    decode_saved,
    decode_write,
    encode_meta,
    encode_position,
    encode_step,
    step_of,
)
from aether.storage.record import RecordKind
from aether.storage.replay import NO_SNAPSHOT, LogGap, Replay
from aether.testing.simulation.wal_image import Body, WalImage


@attrs.frozen
class Snapshot:
    """A snapshot with its bytes."""

    meta: SnapshotMeta
    data: bytes

    @property
    def stored(self) -> StoredSnapshot:
        """Its name."""
        return StoredSnapshot(self.meta, len(self.data), zlib.crc32(self.data))


class Disk:
    """damage  what was done to it, in words; a node that refuses to start needs such an excuse."""

    def __init__(self, sector_bytes: int) -> None:
        self.damage: str = ""
        self.lying: bool = False
        self._wal = WalImage(sector_bytes)
        self._files: dict[Position, bytes] = {}
        self._model = Replay()
        self._snapshots: dict[Position, Snapshot] = {}
        self._arriving: tuple[StoredSnapshot, bytes] | None = None
        self._in_cache: list[StorageWrite] = []  # reported durable by a lying disk

    # --- what it must hold --------------------------------------------------------------------------------------------

    @property
    def hard(self) -> HardState:
        return self._model.hard_state

    @property
    def snapshot_index(self) -> LogIndex:
        return LogIndex(self._model.snapshot[0])

    @property
    def last_index(self) -> LogIndex:
        return self._model.last_index

    def holds(self, index: LogIndex, term: Term) -> bool:
        """Whether the entry at `index` with `term` is durable, in the log or under the snapshot."""
        if index <= self._model.snapshot[0]:
            return True
        entries = self._model.entries
        position = index - entries[0].index if entries else -1
        return 0 <= position < len(entries) and entries[position].term == term

    def expected(self) -> Persisted:
        """What a start has to find."""
        snapshot = self._snapshots.get(self._model.snapshot)
        stored = snapshot.stored if snapshot is not None else None
        return Persisted(self._model.hard_state, stored, self._model.tail(), self._partial())

    def _partial(self) -> PartialSnapshot | None:
        if self._arriving is None:
            return None
        snapshot, arrived = self._arriving
        return PartialSnapshot(snapshot, len(arrived), zlib.crc32(arrived))

    def content(self, snapshot: StoredSnapshot) -> bytes | None:
        """The bytes of `snapshot`; None when it is not here (any more)."""
        found = self._snapshots.get((snapshot.meta.index, snapshot.meta.term))
        return found.data if found is not None and found.stored == snapshot else None

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, batch: Sequence[StorageWrite]) -> None:
        """One group commit: all of `batch` is durable. A lying disk keeps it in its cache until an honest one."""
        if self.lying:
            self._in_cache += batch
            return
        batch, self._in_cache = [*self._in_cache, *batch], []
        for write in batch:
            self._save_received(write)
        self._wal.append([_body(step_of(write)) for write in batch], self._opening())
        for write in batch:
            self._model.apply(step_of(write))
        self._forget()

    def tear(self, batch: Sequence[StorageWrite], rng: random.Random, *, torn: bool, scattered: bool) -> int:
        """Power fails while `batch` is written; gives how many writes of it were lost. Not `torn`: all are."""
        batch, self._in_cache = [*self._in_cache, *batch], []
        if not batch or not torn:
            return len(batch)
        for write in batch:
            self._save_received(write)
        bodies = [_body(step_of(write)) for write in batch]
        whole = self._wal.tear(bodies, self._opening(), rng, scattered=scattered)
        if scattered:
            self.damage = self.damage or "sectors of the last write in any order"
        for write in batch[:whole]:
            self._model.apply(step_of(write))
        return len(batch) - whole

    def save(self, snapshot: Snapshot, keep_from: LogIndex) -> None:
        """A local snapshot is durable; then older log goes."""
        position = (snapshot.meta.index, snapshot.meta.term)
        if position <= self._model.snapshot or self.lying:
            return
        self._put_file(snapshot)
        self._wal.append([(RecordKind.SNAPSHOT_SAVED, encode_position(position), 0)], self._opening())
        self._model.apply(Step(saved=position))
        self._forget()
        self._drop_before(min(keep_from, LogIndex(snapshot.meta.index + 1)))

    def tear_save(self, snapshot: Snapshot) -> None:
        """Power fails between the snapshot file and the record that refers to it: a start sweeps the file away."""
        self._put_file(snapshot)

    def _save_received(self, write: StorageWrite) -> None:
        for part in write.parts:
            begun = part.offset == 0 or self._arriving is None
            arrived = b"" if begun or self._arriving is None else self._arriving[1]
            assert len(arrived) == part.offset, f"byte {part.offset} of a snapshot arrives after byte {len(arrived)}"
            self._arriving = (part.snapshot, arrived + part.chunk)
        if write.snapshot is not None:
            assert self._arriving is not None, f"nothing of the snapshot at {write.snapshot.meta.index} has arrived"
            received = Snapshot(write.snapshot.meta, self._arriving[1])
            assert received.stored == write.snapshot, f"another snapshot than {write.snapshot} has arrived"
            self._put_file(received)
            self._arriving = None

    def _put_file(self, snapshot: Snapshot) -> None:
        position = (snapshot.meta.index, snapshot.meta.term)
        content = msgpack.packb((encode_meta(snapshot.meta), snapshot.data))
        self._files[position] = zlib.crc32(content).to_bytes(4, "little") + content
        self._snapshots[position] = snapshot

    def _opening(self) -> list[Body]:
        opening = [(RecordKind.WRITE, encode_step(Step(hard_state=self._model.hard_state)), 0)]
        if self._model.snapshot != NO_SNAPSHOT:
            opening.append((RecordKind.SNAPSHOT_SAVED, encode_position(self._model.snapshot), 0))
        return opening

    def _forget(self) -> None:
        """Snapshots older than the one in force."""
        for position in [each for each in self._files if each < self._model.snapshot]:
            del self._files[position], self._snapshots[position]
        if self._arriving is not None and self._arriving[0].meta.index <= self._model.snapshot[0]:
            self._arriving = None

    def _drop_before(self, index: LogIndex) -> None:
        self._wal.delete_before(index)
        self._model.drop_before(index)

    # --- reading ------------------------------------------------------------------------------------------------------

    def load(self) -> Persisted:
        """What a start finds, read from the bytes. Raises StorageCorrupt."""
        replay = Replay()
        try:
            for record in self._wal.open():
                replay.apply(
                    decode_write(record.body) if record.kind is RecordKind.WRITE else decode_saved(record.body)
                )
            snapshot = self._read_snapshot(replay.snapshot)
            stored = snapshot.stored if snapshot is not None else None
            found = Persisted(replay.hard_state, stored, replay.tail(), self._partial())
        except (LogGap, BadInput) as error:
            raise StorageCorrupt("simulated write-ahead log", 0, str(error)) from error
        for position in [each for each in self._files if each > replay.snapshot]:
            del self._files[position]  # a crash came before the record that refers to it
        return found

    def _read_snapshot(self, position: Position) -> Snapshot | None:
        if position == NO_SNAPSHOT:
            return None
        raw = self._files.get(position, b"")
        if zlib.crc32(raw[4:]) != int.from_bytes(raw[:4], "little") or len(raw) < 5:
            raise StorageCorrupt("simulated snapshot", position[0], "the snapshot does not match its checksum")
        meta, content = msgpack.unpackb(raw[4:])
        return Snapshot(decode_meta(meta), content)

    # --- damage -------------------------------------------------------------------------------------------------------

    def rot(self, rng: random.Random) -> str:
        """Damage bytes at rest; gives what was done, in words, and "" for nothing (too little is written yet)."""
        if self.last_index == 0:
            return ""
        kind = rng.choice((self._wal.flip, self._wal.lose_sector, self._wal.misdirect_sector, self._flip_snapshot))
        done = kind(rng)
        self.damage = self.damage or done
        return done

    def _flip_snapshot(self, rng: random.Random) -> str:
        raw = bytearray(self._files.get(self._model.snapshot, b""))
        if not raw:
            return ""
        at = rng.randrange(len(raw))
        raw[at] ^= 1 << rng.randrange(8)
        self._files[self._model.snapshot] = bytes(raw)
        return f"bit flip at {at} of the snapshot"


def _body(step: Step) -> Body:
    restart = step.restart[0] if step.restart is not None else 0
    return RecordKind.WRITE, encode_step(step), max(restart, step.entries[-1].index if step.entries else 0)
