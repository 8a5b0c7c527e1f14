"""Snapshot files: whole, checked, put in place at once; the newest two are kept.

Knows: their names, header and checksum.
Never: what the state machine's bytes mean, which snapshot the log refers to.

    offset 0   8 bytes "AETHSNAP"      8  u32 format version    12  u32 length of meta    16  u64 length of the data
          24   u32 checksum of bytes 0 to 24, meta and data
          28   meta (msgpack, see bodies.py), then the state machine's data
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Final

from aether.consensus.values import Snapshot
from aether.errors import BadInput, StorageCorrupt, StorageFull
from aether.model.limits import SNAPSHOTS_KEPT
from aether.storage import files
from aether.storage.bodies import Position, decode_meta, encode_meta

FORMAT_VERSION: Final = 2
_MAGIC: Final = b"AETHSNAP"
_HEADER: Final = struct.Struct("<8sIIQ")
_DATA_AT: Final = _HEADER.size + 4
_SUFFIX: Final = ".snapshot"


def snapshot_path(directory: Path, position: Position) -> Path:
    return directory / f"{position[0]:020d}-{position[1]:020d}{_SUFFIX}"


def save(directory: Path, snapshot: Snapshot) -> None:
    """Make `snapshot` durable. Raises StorageFull with nothing changed; OSError."""
    meta = encode_meta(snapshot.meta)
    header = _HEADER.pack(_MAGIC, FORMAT_VERSION, len(meta), len(snapshot.data))
    crc = zlib.crc32(snapshot.data, zlib.crc32(meta, zlib.crc32(header)))
    path = snapshot_path(directory, (snapshot.meta.index, snapshot.meta.term))
    try:
        files.replace_durably(path, (header, crc.to_bytes(4, "little"), meta, snapshot.data))
    except OSError as error:
        if error.errno in files.NO_SPACE:
            raise StorageFull(str(directory), len(snapshot.data)) from error
        raise


def load(directory: Path, position: Position) -> Snapshot:
    """The snapshot at `position`. Raises StorageCorrupt when it is missing or wrong."""
    path = snapshot_path(directory, position)
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise StorageCorrupt(str(path), 0, "the write-ahead log refers to this snapshot, but it is missing") from error
    if len(raw) < _DATA_AT:
        raise StorageCorrupt(str(path), len(raw), "the file ends inside the header of the snapshot")
    magic, version, meta_length, data_length = _HEADER.unpack(raw[: _HEADER.size])
    crc = zlib.crc32(raw[_DATA_AT:], zlib.crc32(raw[: _HEADER.size]))
    if (
        crc != int.from_bytes(raw[_HEADER.size : _DATA_AT], "little")
        or len(raw) != _DATA_AT + meta_length + data_length
    ):
        raise StorageCorrupt(str(path), 0, "the snapshot does not match its checksum")
    if magic != _MAGIC or version != FORMAT_VERSION:
        raise StorageCorrupt(str(path), 0, f"snapshot format {version}, but this release reads format {FORMAT_VERSION}")
    try:
        meta = decode_meta(raw[_DATA_AT : _DATA_AT + meta_length])
    except BadInput as error:
        raise StorageCorrupt(str(path), _DATA_AT, str(error)) from error
    if (meta.index, meta.term) != position:
        raise StorageCorrupt(str(path), 0, f"the file holds the snapshot at {meta.index}")
    return Snapshot(meta, raw[_DATA_AT + meta_length :])


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
