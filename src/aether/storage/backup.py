"""A backup file: the state of a cluster at one revision, apart from any node.

Knows: the header that says whose state it is, framing and checksums of the pieces behind it.
Never: what the pieces mean (room kv), where they come from, who may have them.
Holds: a file that was cut short, or has one other bit, is refused before anything is made of it; nothing in it is
       secret from whoever may read the cluster's rows, and nothing in it lets anybody act as one of its nodes.

    offset 0   8 bytes "AETHBACK"      8  u32 format version    12  u32 length of the header
          16   header (msgpack map), then u32 checksum of all before
               pieces: u32 length (never 0), bytes, u32 checksum
               end: u32 zero, u64 bytes of all pieces together, u32 checksum

Each checksum is a CRC-32 seeded with the one before it, so that pieces cannot change places.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import attrs
import msgpack

from aether.errors import BadInput
from aether.model.ids import ClusterUuid, NodeId, Revision, Term
from aether.model.limits import SNAPSHOT_BYTES_MAX

FORMAT_VERSION: Final = 1
PIECE_BYTES_MAX: Final = 8 << 20
_MAGIC: Final = b"AETHBACK"
_HEAD: Final = struct.Struct("<8sII")
_NUMBER: Final = struct.Struct("<I")
_TOTAL: Final = struct.Struct("<IQ")
_HEADER_BYTES_MAX: Final = 64 * 1024


@attrs.frozen(kw_only=True)
class BackupHeader:
    """Whose state it is, and of when.

    uuid      of the cluster, "" when its first leader had not drawn it yet
    term      of the answering node then: a restored cluster begins above it
    node      that answered; taken_at  seconds since 1970 by its clock; release  of aether that wrote it
    """

    cluster: str
    uuid: ClusterUuid
    revision: Revision
    term: Term
    node: NodeId
    taken_at: float
    release: str = ""


@attrs.frozen
class Backup:
    """A backup as read back, all of it checked."""

    header: BackupHeader
    state: bytes


def encode_backup(header: BackupHeader, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The file, part by part, as the pieces come."""
    described = cast("bytes", cast("Any", msgpack).packb(attrs.asdict(header)))
    head = _HEAD.pack(_MAGIC, FORMAT_VERSION, len(described)) + described
    crc = zlib.crc32(head)
    yield head + _NUMBER.pack(crc)
    total = 0
    for piece in pieces:
        for at in range(0, len(piece), PIECE_BYTES_MAX):
            part = piece[at : at + PIECE_BYTES_MAX]
            framed = _NUMBER.pack(len(part)) + part
            crc = zlib.crc32(framed, crc)
            total += len(part)
            yield framed + _NUMBER.pack(crc)
    end = _TOTAL.pack(0, total)
    yield end + _NUMBER.pack(zlib.crc32(end, crc))


def read_backup(path: Path) -> Backup:
    """The backup at `path`. Raises BadInput that says what is wrong with it."""
    try:
        with path.open("rb") as file:
            return _Reader(path, file).read()
    except OSError as error:
        raise BadInput(f"{path} cannot be read", (error.strerror or str(error),)) from error


class _Reader:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._crc = 0

    def read(self) -> Backup:
        header = self._header()
        pieces: list[bytes] = []
        total = 0
        while length := self._number():
            if length > PIECE_BYTES_MAX or total + length > SNAPSHOT_BYTES_MAX:
                raise self._bad(f"a piece of {length} bytes after {total}: more than any backup holds")
            pieces.append(self._take(length, _NUMBER.pack(length)))
            total += length
        end = self._exactly(8)
        self._check(_NUMBER.pack(0) + end)
        if int.from_bytes(end, "little") != total or self._file.read(1):
            raise self._bad(f"it holds {total} bytes of state, and says otherwise")
        return Backup(header, b"".join(pieces))

    def _header(self) -> BackupHeader:
        head = self._exactly(_HEAD.size)
        magic, version, length = _HEAD.unpack(head)
        if magic != _MAGIC:
            raise self._bad("it is no backup of aether", "give a file that `aether backup` wrote")
        if version != FORMAT_VERSION:
            fix = "restore it with the release that wrote it, or a later one"
            raise self._bad(f"it has format {version}; this release reads format {FORMAT_VERSION}", fix)
        if length > _HEADER_BYTES_MAX:
            raise self._bad(f"a header of {length} bytes")
        described = self._take(length, head)
        try:
            fields = cast("dict[str, Any]", cast("Any", msgpack).unpackb(described))
            return BackupHeader(**fields)
        except (ValueError, TypeError) as error:
            raise self._bad(f"its header is malformed: {error}") from error

    def _take(self, length: int, before: bytes) -> bytes:
        raw = self._exactly(length)
        self._check(before + raw)
        return raw

    def _check(self, raw: bytes) -> None:
        self._crc = zlib.crc32(raw, self._crc)
        at = self._file.tell()
        if self._number() != self._crc:
            raise self._bad(f"the checksum at byte {at} does not match")

    def _number(self) -> int:
        return int.from_bytes(self._exactly(4), "little")

    def _exactly(self, length: int) -> bytes:
        raw = self._file.read(length)
        if len(raw) < length:
            raise self._bad(f"it ends at byte {self._file.tell()}, in the middle: it was not written whole")
        return raw

    def _bad(self, what: str, fix: str = "take another copy of it, or an older backup") -> BadInput:
        return BadInput(f"{self._path} is no sound backup", (what, fix))
