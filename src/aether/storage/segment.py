"""One segment of the write-ahead log: its preamble, and reading it back.

Knows: the preamble that opens a segment, scanning records to the end, cutting a torn tail.
Never: which segment is written next, what bodies mean.
Holds: a segment's preamble and first records are durable before it gets its name, so a named segment is never torn
       at its head; and it is synced whole before the next one gets a name, so only the newest may have a torn tail.

    offset 0   8 bytes "AETHWAL\\0"
           8   u32 format version     12  u64 number of the segment     20  u32 checksum of the last record before it
          24   u32 mark of the store  28  u32 checksum of bytes 0 to 28
          32   records
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from aether.errors import StorageCorrupt
from aether.storage import files
from aether.storage.record import BadRecord, Buffer, Record, Tail, read_record

FORMAT_VERSION: Final = 2
PREAMBLE_BYTES: Final = 32
_MAGIC: Final = b"AETHWAL\0"
_PREAMBLE: Final = struct.Struct("<8sIQII")
_SUFFIX: Final = ".wal"


@attrs.define
class Segment:
    """A segment on disk. index_max: the largest log index that any of its records names, 0 for none."""

    path: Path
    number: int
    index_max: int = 0


@attrs.frozen
class SegmentEnd:
    """Where scanning stopped. crc: seed of the next record; size: of the file."""

    offset: int
    crc: int
    tail: Tail
    size: int


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:016d}{_SUFFIX}"


def found_segments(directory: Path) -> list[Segment]:
    """The segments that are there, in order."""
    paths = sorted(path for path in directory.iterdir() if path.suffix == _SUFFIX and path.stem.isdecimal())
    return [Segment(path, int(path.stem)) for path in paths]


def list_segments(directory: Path) -> list[Segment]:
    """The segments in order. Raises StorageCorrupt when one is missing in the middle."""
    segments = found_segments(directory)
    for before, segment in itertools.pairwise(segments):
        if segment.number != before.number + 1:
            raise StorageCorrupt(str(directory), 0, f"segment {before.number + 1} of the write-ahead log is missing")
    return segments


def encode_preamble(number: int, chain: int, mark: int) -> bytes:
    """chain: checksum of the last record of the segment before; mark: of the store (Identity.mark)."""
    head = _PREAMBLE.pack(_MAGIC, FORMAT_VERSION, number, chain, mark)
    return head + zlib.crc32(head).to_bytes(4, "little")


def decode_preamble(raw: bytes, segment: Segment, mark: int | None) -> int:
    """The seed of the segment's first record. mark  of the store, None when unknown. Raises StorageCorrupt."""
    if len(raw) < PREAMBLE_BYTES or zlib.crc32(raw[:28]) != int.from_bytes(raw[28:32], "little"):
        raise StorageCorrupt(str(segment.path), 0, "the preamble of the segment does not match its checksum")
    magic, version, number, chain, found_mark = _PREAMBLE.unpack(raw[:28])
    if magic != _MAGIC or version != FORMAT_VERSION or number != segment.number:
        what = f"segment {number} in format {version}; expected {segment.number} in format {FORMAT_VERSION}"
        raise StorageCorrupt(str(segment.path), 0, what)
    if mark is not None and mark != found_mark:
        raise StorageCorrupt(str(segment.path), 0, "the segment belongs to another store: it was copied here")
    assert isinstance(chain, int)
    return chain


def scan(
    segment: Segment, chain: int | None, *, newest: bool, mark: int | None = None
) -> Iterator[Record | SegmentEnd]:
    """The records of the segment, then one SegmentEnd. Raises StorageCorrupt.

    chain   checksum of the last record of the segment before; None when that segment was deleted
    newest  only the newest segment may have a torn tail
    mark    of the store; None when it is unknown
    """
    with segment.path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < PREAMBLE_BYTES:
            raise StorageCorrupt(str(segment.path), 0, "the file ends inside the preamble of the segment")
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped:
            seed = decode_preamble(mapped[:PREAMBLE_BYTES], segment, mark)
            if chain is not None and chain != seed:
                what = "the segment does not continue the one before it, whose last records are missing"
                raise StorageCorrupt(str(segment.path), 0, what)
            yield from _records(segment, mapped, seed, newest=newest)


def _records(segment: Segment, buffer: Buffer, crc: int, *, newest: bool) -> Iterator[Record | SegmentEnd]:
    offset = PREAMBLE_BYTES
    while True:
        try:
            found = read_record(buffer, offset, crc)
        except BadRecord as error:
            raise StorageCorrupt(str(segment.path), error.offset, error.what) from error
        if isinstance(found, Tail):
            break
        yield found
        offset, crc = found.end, found.crc
    if found is Tail.TORN and not newest:
        raise StorageCorrupt(str(segment.path), offset, "a record is incomplete, and a later segment follows")
    yield SegmentEnd(offset, crc, found, len(buffer))


def cut_tail(fd: int, end: SegmentEnd, size: int) -> None:
    """Turn what a crash left behind the last complete record into preallocated space again."""
    if end.tail is Tail.TORN or end.size < size:
        files.fill_with_zeros(fd, end.offset, max(size, end.size))
