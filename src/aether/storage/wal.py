"""The write-ahead log: records appended to preallocated segments, made durable by one sync per batch.

Knows: which segment is current, preparing the next one ahead, deleting old ones.
Never: what bodies mean.
Holds: a batch lies in one segment; running out of space shows before a byte of the batch is written.
Paper: Mohan et al., "ARIES" (1992) for the log; Rebello et al., "Can Applications Recover from fsync Failures?" (2020).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import attrs

from aether.errors import StorageFull
from aether.failpoints import Reach, nothing
from aether.storage import files
from aether.storage.record import ALIGNMENT, Record, RecordKind, encode_record, record_bytes
from aether.storage.segment import (
    PREAMBLE_BYTES,
    Segment,
    SegmentEnd,
    cut_tail,
    encode_preamble,
    list_segments,
    scan,
    segment_path,
)

_PREPARED: Final = "prepared.tmp"


@attrs.frozen
class Body:
    """What one record holds. index_max: the largest log index it names, 0 for none."""

    kind: RecordKind
    raw: bytes
    index_max: int = 0


@attrs.frozen
class _Prepared:
    fd: int
    size: int


class Wal:
    """Segments in `directory`. `append` and `delete_before` are called by one thread at a time; `prepare` by any.

    segment_bytes  preallocated size of a segment; a larger batch gets a larger segment
    opening        bodies that every new segment starts with, so that older segments can be deleted
    mark           of the store: a segment with another one is refused
    reach          told at each place of `aether.failpoints`
    """

    def __init__(
        self,
        directory: Path,
        segment_bytes: int,
        opening: Callable[[], Sequence[Body]],
        mark: int,
        reach: Reach = nothing,
    ) -> None:
        self._directory = directory
        self._segment_bytes = -(-segment_bytes // ALIGNMENT) * ALIGNMENT
        self._opening = opening
        self._mark = mark
        self._reach = reach
        self._segments: list[Segment] = []
        self._fd = -1
        self._offset = self._size = self._crc = 0
        self._preparing = Lock()  # the Work seam may bring one thread to prepare while another appends
        self._prepared: _Prepared | None = None

    def open(self) -> Iterator[tuple[Segment, Record]]:
        """Every record there is; cuts a torn tail and is ready to append when exhausted. Raises StorageCorrupt."""
        self._segments = list_segments(self._directory)
        (self._directory / _PREPARED).unlink(missing_ok=True)
        chain: int | None = None
        end: SegmentEnd | None = None
        for segment in self._segments:
            for found in scan(segment, chain, newest=segment is self._segments[-1], mark=self._mark):
                if isinstance(found, SegmentEnd):
                    chain, end = found.crc, found
                else:
                    yield segment, found
        if end is None:
            self._start_segment(0)
        else:
            self._continue(self._segments[-1], end)

    def _continue(self, segment: Segment, end: SegmentEnd) -> None:
        self._fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        cut_tail(self._fd, end, self._segment_bytes)
        self._offset, self._crc, self._size = end.offset, end.crc, max(end.size, self._segment_bytes)

    def append(self, bodies: Sequence[Body], *, sync: bool) -> None:
        """Append all, and make them durable when `sync`. Raises StorageFull having written nothing; OSError."""
        needed = sum(record_bytes(len(body.raw)) for body in bodies)
        if self._offset + needed > self._size:
            self._start_segment(needed)
        self._reach("wal.before_write")
        self._put(bodies)
        if sync:
            self._reach("wal.before_sync")
            files.sync_data(self._fd)
            self._reach("wal.after_sync")

    def _put(self, bodies: Sequence[Body], preamble: bytes = b"") -> None:
        chunks, crc = [preamble], self._crc
        for body in bodies:
            raw, crc = encode_record(body.kind, body.raw, crc)
            chunks.append(raw)
        chunk = b"".join(chunks)
        files.write_all(self._fd, chunk, self._offset)
        self._offset += len(chunk)
        self._crc = crc
        self._segments[-1].index_max = max(self._segments[-1].index_max, *(body.index_max for body in bodies))

    def _start_segment(self, needed: int) -> None:
        """Sync the current segment, then name the next one. Its head is durable before its name."""
        self._reach("wal.before_new_segment")
        opening = self._opening()
        head = PREAMBLE_BYTES + sum(record_bytes(len(body.raw)) for body in opening)
        with self._preparing:
            prepared = self._take_prepared(head + needed)
            if self._fd >= 0:
                files.sync_data(self._fd)
                os.close(self._fd)
            number = self._segments[-1].number + 1 if self._segments else 1
            self._segments.append(Segment(segment_path(self._directory, number), number))
            self._fd, self._size, self._offset = prepared.fd, prepared.size, 0
            self._put(opening, encode_preamble(number, self._crc, self._mark))
            files.sync_data(self._fd)
            self._reach("wal.before_segment_named")
            (self._directory / _PREPARED).rename(self._segments[-1].path)
            self._reach("wal.after_segment_named")
            files.sync_directory(self._directory)

    @property
    def wants_preparation(self) -> bool:
        """Whether the current segment is half full and nothing is prepared behind it."""
        return self._prepared is None and 2 * self._offset > self._size

    def prepare(self) -> None:
        """Preallocate the next segment. May run beside `append`. Raises StorageFull, OSError."""
        with self._preparing:
            if self._prepared is None:
                self._prepared = self._preallocate(self._segment_bytes)

    def _take_prepared(self, size: int) -> _Prepared:
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared.size < size:
            os.close(prepared.fd)
            prepared = None
        return prepared or self._preallocate(max(size, self._segment_bytes))

    def _preallocate(self, size: int) -> _Prepared:
        size = -(-size // ALIGNMENT) * ALIGNMENT
        path = self._directory / _PREPARED
        try:
            self._reach("wal.before_preallocate")
            return _Prepared(files.create_zeroed(path, size), size)
        except OSError as error:
            if error.errno in files.NO_SPACE:
                raise StorageFull(str(self._directory), size) from error
            raise

    def delete_before(self, index: int) -> None:
        """Delete the oldest segments all of whose entries are before `index`. Raises OSError."""
        deleted = False
        while len(self._segments) > 1 and self._segments[0].index_max < index:
            self._reach("wal.before_segment_deleted")
            self._segments.pop(0).path.unlink()
            deleted = True
        if deleted:
            files.sync_directory(self._directory)

    def close(self) -> None:
        with self._preparing:
            if self._prepared is not None:
                os.close(self._prepared.fd)
                (self._directory / _PREPARED).unlink(missing_ok=True)
                self._prepared = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
