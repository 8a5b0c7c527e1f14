"""One record of the write-ahead log: how it is framed, and how a torn one is told from a corrupt one.

Knows: the 16-byte header, the chained checksum, the end mark, zero preallocation.
Never: files, what a body means.
Holds: records start at multiples of 16 bytes, so that no header crosses a disk sector. Header and record each end in a
       byte that is never zero: preallocation is all zeros, so what a crash cut short has a zero there, and no single
       flipped bit can make a complete record look cut short.

    offset 0   u32 length of the body                       12  u8 kind (never 0)
           4   u32 checksum of kind and body, chained       13  u16 zero
           8   u32 checksum of length, checksum, kind       15  u8 mark 0xA5
          16   body, zeros up to the last byte of a multiple of 16, mark 0x5A

Both checksums are CRC-32 seeded with the body checksum of the record before.
"""

from __future__ import annotations

import enum
import struct
import zlib
from typing import Final, Protocol, overload

import attrs

ALIGNMENT: Final = 16
HEADER_MARK: Final = 0xA5
END_MARK: Final = 0x5A
_HEADER: Final = struct.Struct("<IIIBxxB")
_CHECKED: Final = struct.Struct("<IIB")
_ZEROS: Final = bytes(1 << 20)
_END: Final = bytes((END_MARK,))


class RecordKind(enum.IntEnum):
    """What the body of a record is. Numbers are part of the format and never reused; 0 is preallocated space."""

    WRITE = 1
    SNAPSHOT_SAVED = 2


_KINDS: Final = {int(kind): kind for kind in RecordKind}


class Tail(enum.Enum):
    """How the records of a segment end."""

    CLEAN = enum.auto()  # nothing but preallocated space follows
    TORN = enum.auto()  # a record was begun and not completed: the process or the machine stopped in the middle


class Buffer(Protocol):
    """What records are read from: bytes, or a mapped file."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...


@attrs.frozen
class Record:
    """A complete, checked record. end  offset just behind it; crc  its checksum, the seed of the next record's."""

    kind: RecordKind
    body: bytes
    end: int
    crc: int


@attrs.define(eq=False)
class BadRecord(Exception):
    """A complete record is wrong. The caller adds the file and refuses the store."""

    offset: int
    what: str


def encode_record(kind: RecordKind, body: bytes, chain: int) -> tuple[bytes, int]:
    """The record's bytes and its checksum. `chain` is the checksum of the record before."""
    crc = zlib.crc32(body, zlib.crc32(bytes((kind,)), chain))
    check = zlib.crc32(_CHECKED.pack(len(body), crc, kind), chain)
    padding = bytes(-(len(body) + 1) % ALIGNMENT)
    return b"".join((_HEADER.pack(len(body), crc, check, kind, HEADER_MARK), body, padding, _END)), crc


def record_bytes(body_length: int) -> int:
    """How many bytes a record with such a body takes."""
    return ALIGNMENT + (body_length + ALIGNMENT) // ALIGNMENT * ALIGNMENT


def is_zero(buffer: Buffer, start: int) -> bool:
    """Whether only preallocated space lies at and behind `start`."""
    step = len(_ZEROS)
    return all(buffer[at : at + step] == _ZEROS[: len(buffer) - at] for at in range(start, len(buffer), step))


def read_record(buffer: Buffer, offset: int, chain: int) -> Record | Tail:
    """The record at `offset`, or how the log ends there. Raises BadRecord when the bytes are neither."""
    header = buffer[offset : offset + ALIGNMENT]
    if len(header) < ALIGNMENT or header[-1] == 0:
        return _tail(buffer, offset, offset + ALIGNMENT, clean=not any(header))
    length, crc, check, kind, mark = _HEADER.unpack(header)
    if mark != HEADER_MARK or check != zlib.crc32(_CHECKED.pack(length, crc, kind), chain) or any(header[13:15]):
        raise BadRecord(offset, "the header of a record does not match its checksum")
    end = offset + record_bytes(length)
    if end > len(buffer) or buffer[end - 1] == 0:
        return _tail(buffer, offset, end, clean=False)
    body = buffer[offset + ALIGNMENT : offset + ALIGNMENT + length]
    if buffer[end - 1] != END_MARK or crc != zlib.crc32(body, zlib.crc32(bytes((kind,)), chain)):
        raise BadRecord(offset, "a complete record does not match its checksum")
    if kind not in _KINDS:
        raise BadRecord(offset, f"a record of kind {kind}, which this release does not know")
    return Record(_KINDS[kind], body, end, crc)


def _tail(buffer: Buffer, offset: int, behind: int, *, clean: bool) -> Tail:
    if not is_zero(buffer, behind):
        raise BadRecord(offset, "a record is missing or incomplete, and others follow it")
    return Tail.CLEAN if clean else Tail.TORN
