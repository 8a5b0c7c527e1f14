"""Snapshot files: written piece by piece, checked, put in place at once; the newest two are kept.

Knows: their names, header and checksums; the one file of a snapshot that is still arriving.
Never: what the state machine's bytes mean, which snapshot the log refers to.
Holds: no whole snapshot is in memory; a file with its final name is complete and durable. What has arrived of another
       node's snapshot outlives the process, so that the rest is enough; only the last step makes it durable.

    offset 0   8 bytes "AETHSNAP"      8  u32 format version    12  u32 length of meta    16  u64 length of the data
          24   u32 checksum of the data                         28  u32 checksum of bytes 0 to 28 and meta
          32   meta (msgpack), then the state machine's data
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from aether.consensus.values import PartialSnapshot, SnapshotMeta, SnapshotPart, StoredSnapshot
from aether.errors import BadInput, StorageCorrupt, StorageFailed, StorageFull
from aether.failpoints import Reach, nothing
from aether.model.limits import SNAPSHOTS_KEPT
from aether.storage import files
from aether.storage.bodies import Position, decode_meta, encode_meta

FORMAT_VERSION: Final = 3
_MAGIC: Final = b"AETHSNAP"
_HEADER: Final = struct.Struct("<8sIIQI")
_META_AT: Final = _HEADER.size + 4
_META_BYTES_MAX: Final = 2 * 2**20  # four lists of as many names as a configuration may hold
_SUFFIX: Final = ".snapshot"
_ARRIVING: Final = "arriving.partial"
_SYNC_BYTES: Final = (
    8 << 20
)  # synced in such portions, so that a sync of the log beside it never queues behind the whole
_READ_BYTES: Final = 1 << 20


def snapshot_path(directory: Path, position: Position) -> Path:
    return directory / f"{position[0]:020d}-{position[1]:020d}{_SUFFIX}"


def position_of(snapshot: StoredSnapshot) -> Position:
    return snapshot.meta.index, snapshot.meta.term


def _header(snapshot: StoredSnapshot) -> bytes:
    meta = encode_meta(snapshot.meta)
    header = _HEADER.pack(_MAGIC, FORMAT_VERSION, len(meta), snapshot.total_bytes, snapshot.checksum)
    return header + zlib.crc32(meta, zlib.crc32(header)).to_bytes(4, "little") + meta


class _Growing:
    """A file that is written from the front. data_at  where the state machine's bytes begin."""

    def __init__(self, path: Path, flags: int, data_at: int = 0) -> None:
        self.path = path
        self.fd = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self.data_at = data_at
        self.written = 0
        self.checksum = 0
        self._synced = 0

    def append(self, piece: bytes) -> None:
        """Raises StorageFull with nothing lost: the same piece may come again. OSError."""
        try:
            files.write_all(self.fd, piece, self.data_at + self.written)
        except OSError as error:
            if error.errno in files.NO_SPACE:
                raise StorageFull(str(self.path.parent), len(piece)) from error
            raise
        self.written += len(piece)
        self.checksum = zlib.crc32(piece, self.checksum)
        if self.written - self._synced >= _SYNC_BYTES:
            files.sync_data(self.fd)
            self._synced = self.written

    def put_in_place(self, header: bytes, path: Path, reach: Reach = nothing) -> None:
        """Durably, whole, under its final name."""
        files.write_all(self.fd, header, 0)
        reach("snapshot.before_sync")
        os.fsync(self.fd)
        reach("snapshot.before_rename")
        self.path.replace(path)
        reach("snapshot.after_rename")
        files.sync_directory(path.parent)

    def close(self) -> None:
        os.close(self.fd)


def save(directory: Path, meta: SnapshotMeta, pieces: Iterable[bytes], reach: Reach = nothing) -> StoredSnapshot:
    """Make a snapshot of `pieces` durable. Raises StorageFull with nothing changed; OSError."""
    path = snapshot_path(directory, (meta.index, meta.term))
    temporary = path.with_name(path.name + ".tmp")
    growing = _Growing(temporary, os.O_CREAT | os.O_TRUNC, len(_header(StoredSnapshot(meta, 0, 0))))
    try:
        try:
            for piece in pieces:
                growing.append(piece)
            snapshot = StoredSnapshot(meta, growing.written, growing.checksum)
            growing.put_in_place(_header(snapshot), path, reach)
        finally:
            growing.close()
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in files.NO_SPACE:
            raise StorageFull(str(directory), growing.written) from error
        raise
    return snapshot


# --- a snapshot that arrives ------------------------------------------------------------------------------------------


class Arrival:
    """The snapshot on its way to this node, if any; at most one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / _ARRIVING
        self._growing: _Growing | None = None
        self._snapshot: StoredSnapshot | None = None
        self._finished: StoredSnapshot | None = None

    def find(self) -> PartialSnapshot | None:
        """What an earlier process left, at start; None, and nothing is left, when there is none or no sound one."""
        try:
            growing = self._growing = _Growing(self._path, 0)
        except FileNotFoundError:
            return None
        try:
            snapshot, growing.data_at = _read_header(growing.fd, self._path)
        except StorageCorrupt:
            self.forget()
            return None
        growing.written = os.fstat(growing.fd).st_size - growing.data_at
        if growing.written > snapshot.total_bytes:
            self.forget()
            return None
        growing.checksum = _checksum(growing.fd, growing.data_at, growing.written)
        self._snapshot = snapshot
        return PartialSnapshot(snapshot, growing.written, growing.checksum)

    def append(self, part: SnapshotPart) -> None:
        """Keep `part`; one that is here already changes nothing. Raises StorageFull (repeat it later), OSError."""
        if part.snapshot == self._finished:
            return  # a batch that found no space is repeated whole
        if part.offset == 0:
            self._begin(part.snapshot)
        growing = self._growing
        assert growing is not None, f"byte {part.offset} of a snapshot that never began"
        assert part.snapshot == self._snapshot, f"snapshot {part.snapshot.meta.index} continues another one"
        if part.offset + len(part.chunk) <= growing.written:
            return
        assert part.offset == growing.written, f"byte {part.offset} arrives after byte {growing.written}"
        growing.append(part.chunk)

    def _begin(self, snapshot: StoredSnapshot) -> None:
        self.forget()
        header = _header(snapshot)
        growing = self._growing = _Growing(self._path, os.O_CREAT | os.O_TRUNC, len(header))
        self._snapshot = snapshot
        try:
            files.write_all(growing.fd, header, 0)
        except OSError as error:
            if error.errno in files.NO_SPACE:
                raise StorageFull(str(self._directory), len(header)) from error
            raise

    def finish(self, snapshot: StoredSnapshot) -> None:
        """All of it is here: make it durable under its final name. Raises OSError."""
        if snapshot == self._finished:
            return
        growing = self._growing
        assert growing is not None, f"nothing of the snapshot at {snapshot.meta.index} has arrived"
        assert snapshot == self._snapshot, f"another snapshot than {snapshot.meta.index} has arrived"
        here = (growing.written, growing.checksum)
        assert here == (snapshot.total_bytes, snapshot.checksum), f"{here} is not the length and checksum announced"
        growing.put_in_place(_header(snapshot), snapshot_path(self._directory, position_of(snapshot)))
        self.close()
        self._finished = snapshot

    def forget_until(self, position: Position) -> None:
        """The snapshot at `position` is in force: one that covers no more is not needed. Raises OSError."""
        if self._snapshot is not None and position_of(self._snapshot) <= position:
            self.forget()

    def forget(self) -> None:
        """Delete what has arrived. Raises OSError."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        growing, self._growing, self._snapshot = self._growing, None, None
        if growing is not None:
            growing.close()


# --- reading ----------------------------------------------------------------------------------------------------------


class SnapshotFile:
    """A SnapshotReader of one file, which it holds open: deletion does not take it away."""

    def __init__(self, path: Path, fd: int, data_at: int) -> None:
        self._path = path
        self._fd = fd
        self._data_at = data_at

    def read(self, offset: int, length: int) -> bytes:
        """Raises StorageFailed."""
        try:
            found = b"".join(_read(self._fd, self._data_at + offset, length))
        except OSError as error:
            raise StorageFailed(str(self._path), error.strerror or str(error)) from error
        if len(found) < length:
            raise StorageFailed(str(self._path), f"the snapshot ends before byte {offset + length}")
        return found

    def close(self) -> None:
        os.close(self._fd)


def open_file(directory: Path, snapshot: StoredSnapshot) -> SnapshotFile | None:
    """For reading `snapshot`; None when it is not here. Its header is checked, its data was when it was loaded."""
    path = snapshot_path(directory, position_of(snapshot))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        found, data_at = _read_header(fd, path)
    except BaseException:
        os.close(fd)
        raise
    if found != snapshot:
        os.close(fd)
        return None
    return SnapshotFile(path, fd, data_at)


def load(directory: Path, position: Position) -> StoredSnapshot:
    """The snapshot at `position`, every byte of it checked. Raises StorageCorrupt when it is missing or wrong."""
    path = snapshot_path(directory, position)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise StorageCorrupt(str(path), 0, "the write-ahead log refers to this snapshot, but it is missing") from error
    try:
        snapshot, data_at = _read_header(fd, path)
        length = os.fstat(fd).st_size - data_at
        if length != snapshot.total_bytes or _checksum(fd, data_at, length) != snapshot.checksum:
            raise StorageCorrupt(str(path), data_at, "the snapshot does not match its checksum")
    finally:
        os.close(fd)
    if position_of(snapshot) != position:
        raise StorageCorrupt(str(path), 0, f"the file holds the snapshot at {snapshot.meta.index}")
    return snapshot


def _read_header(fd: int, path: Path) -> tuple[StoredSnapshot, int]:
    """What the file says that it holds, and where its data begin. Raises StorageCorrupt."""
    raw = b"".join(_read(fd, 0, _META_AT))
    if len(raw) < _META_AT:
        raise StorageCorrupt(str(path), len(raw), "the file ends inside the header of the snapshot")
    magic, version, meta_length, total_bytes, checksum = _HEADER.unpack(raw[: _HEADER.size])
    meta = b"".join(_read(fd, _META_AT, min(meta_length, _META_BYTES_MAX)))
    crc = zlib.crc32(meta, zlib.crc32(raw[: _HEADER.size]))
    if magic == _MAGIC and version != FORMAT_VERSION:
        raise StorageCorrupt(str(path), 8, f"snapshot format {version}, but this release reads format {FORMAT_VERSION}")
    if crc != int.from_bytes(raw[_HEADER.size : _META_AT], "little") or len(meta) < meta_length or magic != _MAGIC:
        raise StorageCorrupt(str(path), 0, "the snapshot does not match its checksum")
    try:
        return StoredSnapshot(decode_meta(meta), total_bytes, checksum), _META_AT + meta_length
    except BadInput as error:
        raise StorageCorrupt(str(path), _META_AT, str(error)) from error


def _read(fd: int, offset: int, length: int) -> Iterator[bytes]:
    """Bytes from `offset`, fewer than `length` when the file ends, a piece at a time."""
    end = offset + length
    while offset < end and (piece := os.pread(fd, min(_READ_BYTES, end - offset), offset)):
        yield piece
        offset += len(piece)


def _checksum(fd: int, offset: int, length: int) -> int:
    crc = 0
    for piece in _read(fd, offset, length):
        crc = zlib.crc32(piece, crc)
    return crc


# --- which are there --------------------------------------------------------------------------------------------------


def positions(directory: Path) -> list[Position]:
    """The positions that the snapshots in `directory` are named by, newest first."""
    named = (path.stem.partition("-") for path in directory.iterdir() if path.suffix == _SUFFIX)
    return sorted(((int(i), int(t)) for i, _, t in named if i.isdecimal() and t.isdecimal()), reverse=True)


def any_in(directory: Path) -> bool:
    """Whether `directory` holds a snapshot."""
    return any(path.suffix == _SUFFIX for path in directory.iterdir())


def prune(directory: Path, newest: Position) -> None:
    """Keep `newest` and the one before it, delete older ones. May run beside `save`. Raises OSError."""
    current = snapshot_path(directory, newest)
    known = sorted(path for path in directory.iterdir() if path.suffix == _SUFFIX and path <= current)
    for path in known[:-SNAPSHOTS_KEPT]:
        path.unlink()


def sweep(directory: Path, newest: Position) -> None:
    """At start: delete what a crash left half done, and snapshots that the log never referred to. Raises OSError."""
    current = snapshot_path(directory, newest)
    for path in list(directory.iterdir()):
        if path.suffix == ".tmp" or (path.suffix == _SUFFIX and path > current):
            path.unlink()
    prune(directory, newest)
