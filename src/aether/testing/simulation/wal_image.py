"""The bytes of one node's write-ahead log on a simulated disk, sector by sector.

Knows: the real record format and the real rule of the torn tail; sectors; what a crash in mid-write leaves behind.
Never: what is durable by promise (disk), when anything happens.
Holds: bytes here are durable; what is still in the page cache is passed to `tear` when power fails.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from aether.errors import StorageCorrupt
from aether.storage.record import BadRecord, Record, RecordKind, Tail, encode_record, read_record, record_bytes

_SEGMENT_BYTES: Final = 4096
_HEAD_BYTES: Final = 16
_PATH: Final = "simulated write-ahead log"

Body = tuple[RecordKind, bytes, int]
"""Kind, bytes, and the largest log index that it names."""


@attrs.define
class Segment:
    """content  preallocated zeros from `end` on; last  where its last record starts."""

    number: int
    content: bytearray
    end: int
    last: int
    index_max: int = 0


def _head(number: int, chain: int) -> bytes:
    raw = number.to_bytes(8, "little") + chain.to_bytes(4, "little")
    return raw + zlib.crc32(raw).to_bytes(4, "little")


class WalImage:
    """Segments in order; records are appended to the newest."""

    def __init__(self, sector_bytes: int) -> None:
        self._sector = sector_bytes
        self._chain = 0
        self._segments: list[Segment] = []

    # --- writing ------------------------------------------------------------------------------------------------------

    def append(self, bodies: Sequence[Body], opening: Sequence[Body]) -> None:
        """Durably. A new segment starts with `opening`, so that older ones can be deleted."""
        segment = self._segment_for(bodies, opening)
        chunk, starts, self._chain = self._encode(bodies)
        segment.content[segment.end : segment.end + len(chunk)] = chunk
        segment.last = segment.end + starts[-1]
        segment.end += len(chunk)
        segment.index_max = max(segment.index_max, *(body[2] for body in bodies))

    def tear(self, bodies: Sequence[Body], opening: Sequence[Body], rng: random.Random, *, scattered: bool) -> int:
        """Power fails while `bodies` are written; gives how many of them are whole.

        Some sectors made it, the others hold what they held: the first ones, or, when `scattered`, any.
        """
        segment = self._segment_for(bodies, opening)
        chunk, starts, _ = self._encode(bodies)
        ends = [*starts[1:], len(chunk)]
        kept = self._scattered(segment, chunk, rng) if scattered else self._cut(segment, chunk, rng)
        whole = sum(end <= kept for end in ends)
        if whole:
            segment.index_max = max(segment.index_max, *(body[2] for body in bodies[:whole]))
        return whole

    def _cut(self, segment: Segment, chunk: bytes, rng: random.Random) -> int:
        at = rng.randint(0, len(chunk))
        kept = at if at == len(chunk) else max(0, (segment.end + at) // self._sector * self._sector - segment.end)
        segment.content[segment.end : segment.end + kept] = chunk[:kept]
        return kept

    def _scattered(self, segment: Segment, chunk: bytes, rng: random.Random) -> int:
        """Each sector by itself; gives how many bytes from the start are there without a hole."""
        kept, hole = 0, False
        for start in range(segment.end // self._sector * self._sector, segment.end + len(chunk), self._sector):
            begin, end = max(0, start - segment.end), min(start + self._sector - segment.end, len(chunk))
            if rng.random() < 0.5:
                segment.content[segment.end + begin : segment.end + end] = chunk[begin:end]
                kept = kept if hole else end
            else:
                hole = True
        return kept

    def _encode(self, bodies: Sequence[Body]) -> tuple[bytes, list[int], int]:
        """The records, where each starts, and the last checksum."""
        chunks: list[bytes] = []
        starts: list[int] = []
        length, chain = 0, self._chain
        for kind, raw, _ in bodies:
            record, chain = encode_record(kind, raw, chain)
            starts.append(length)
            chunks.append(record)
            length += len(record)
        return b"".join(chunks), starts, chain

    def _segment_for(self, bodies: Sequence[Body], opening: Sequence[Body]) -> Segment:
        needed = sum(record_bytes(len(body[1])) for body in bodies)
        if not self._segments or self._segments[-1].end + needed > len(self._segments[-1].content):
            self._start_segment(needed, opening)
        return self._segments[-1]

    def _start_segment(self, needed: int, opening: Sequence[Body]) -> None:
        number = self._segments[-1].number + 1 if self._segments else 1
        head = _head(number, self._chain)
        chunk, starts, self._chain = self._encode(opening)
        size = max(_SEGMENT_BYTES, len(head) + len(chunk) + needed)
        content = bytearray(head + chunk).ljust(size, b"\0")
        end = len(head) + len(chunk)
        self._segments.append(Segment(number, content, end, len(head) + starts[-1]))

    def delete_before(self, index: int) -> None:
        """Delete the oldest segments all of whose entries are before `index`."""
        while len(self._segments) > 1 and self._segments[0].index_max < index:
            self._segments.pop(0)

    # --- reading ------------------------------------------------------------------------------------------------------

    def open(self) -> Iterator[Record]:
        """Every record, as a starting node reads them; cuts a torn tail. Raises StorageCorrupt."""
        chain: int | None = None
        for segment in self._segments:
            seed = self._seed(segment)
            if chain is not None and chain != seed:
                raise StorageCorrupt(_PATH, 0, "a segment does not continue the one before it")
            chain = seed
            offset = _HEAD_BYTES
            while isinstance(found := self._read(segment, offset, chain), Record):
                yield found
                segment.last, offset, chain = offset, found.end, found.crc
            if found is Tail.TORN and segment is not self._segments[-1]:
                raise StorageCorrupt(_PATH, offset, "a record is incomplete, and a later segment follows")
            segment.end = offset
            segment.content[offset:] = bytes(len(segment.content) - offset)
        self._chain = chain or 0

    @staticmethod
    def _seed(segment: Segment) -> int:
        head = bytes(segment.content[:_HEAD_BYTES])
        seed = int.from_bytes(head[8:12], "little")
        if head != _head(segment.number, seed):
            raise StorageCorrupt(_PATH, 0, "the head of a segment does not match its checksum")
        return seed

    @staticmethod
    def _read(segment: Segment, offset: int, chain: int) -> Record | Tail:
        try:
            return read_record(bytes(segment.content), offset, chain)
        except BadRecord as error:
            raise StorageCorrupt(_PATH, error.offset, error.what) from error

    # --- damage -------------------------------------------------------------------------------------------------------

    def flip(self, rng: random.Random) -> str:
        """One bit of what was written is another one now."""
        segment = rng.choice(self._segments)
        at = rng.randrange(segment.end)
        segment.content[at] ^= 1 << rng.randrange(8)
        return f"bit flip at {at} of segment {segment.number}"

    def lose_sector(self, rng: random.Random) -> str:
        """A write was reported done and never came to be. "" when no sector lies before the last record."""
        segment = rng.choice(self._segments)
        if (at := self._old_sector(segment, rng)) is None:
            return ""
        segment.content[at : at + self._sector] = bytes(self._sector)
        return f"lost write at {at} of segment {segment.number}"

    def misdirect_sector(self, rng: random.Random) -> str:
        """A write went to another sector, over what was there. "" when there are no two sectors to confuse."""
        segment = rng.choice(self._segments)
        meant, hit = self._old_sector(segment, rng), self._old_sector(segment, rng)
        if meant is None or hit is None or meant == hit:
            return ""
        segment.content[hit : hit + self._sector] = segment.content[meant : meant + self._sector]
        segment.content[meant : meant + self._sector] = bytes(self._sector)
        return f"misdirected write from {meant} to {hit} of segment {segment.number}"

    def _old_sector(self, segment: Segment, rng: random.Random) -> int | None:
        """A whole sector before the last record: that its loss is noticed, nothing else than what follows can tell.

        A lost write at the very end cannot be told from one that was never made: that is a lying disk.
        """
        count = segment.last // self._sector
        return rng.randrange(count) * self._sector if count else None
