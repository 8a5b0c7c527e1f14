"""What waits to be written on one lane: bounded, coalesced, long frames taken in turns with short ones.

Knows: frames and chunks, the limits of a mailbox.
Never: the connection that drains it.
Holds: at most OUTBOX_MESSAGES_MAX messages and OUTBOX_BYTES_MAX bytes wait; an urgent message waits for at most one
       batch, and so does a short one where it may overtake, however long the frames beside it are.

Where order counts, a message that arrives before one sent earlier does harm: a follower refuses entries whose
predecessors it has not seen, and its leader sends all of them again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import attrs

from aether.model.limits import FRAME_CHUNK_BYTES, LONG_FRAMES_MAX, OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX
from aether.wire.frames import encode_frame, split_frame

BATCH_BYTES: Final = 256 * 1024  # of short frames in one write


@attrs.define
class _Begun:
    chunks: Iterator[bytes]
    bytes_left: int


class Outbox:
    """A bounded queue of payloads that comes out as batches of framed bytes.

    drop_oldest  make room by dropping what waited longest, instead of refusing the newest
    in_order     only urgent messages overtake; else short ones overtake long ones, and long ones travel side by side
    """

    def __init__(self, *, drop_oldest: bool, in_order: bool = False) -> None:
        self._drop_oldest = drop_oldest
        self._in_order = in_order
        self._urgent: deque[bytes] = deque()
        self._short: deque[bytes] = deque()  # in order: all but urgent ones
        self._long: deque[bytes] = deque()  # not begun
        self._begun: deque[_Begun] = deque()
        self._numbers = 0
        self._bytes = 0
        self.dropped: int = 0

    def __bool__(self) -> bool:
        return bool(self._short or self._begun or self._long or self._urgent)

    def __len__(self) -> int:
        """Messages that wait, those partly taken included."""
        return len(self._short) + len(self._long) + len(self._begun) + len(self._urgent)

    @property
    def queued_bytes(self) -> int:
        """Of all that waits."""
        return self._bytes

    def put(self, payload: bytes, *, urgent: bool = False) -> bool:
        """Queue `payload`; an urgent one, of at most FRAME_CHUNK_BYTES, in front of all others.

        False when there is no room and none may be made. Every loss counts in `dropped`.
        """
        size = len(payload)
        while len(self) >= OUTBOX_MESSAGES_MAX or self._bytes + size > OUTBOX_BYTES_MAX:
            self.dropped += 1
            if not self._drop_oldest or not (self._short or self._long or self._urgent):
                return False
            self._bytes -= len((self._short or self._long or self._urgent).popleft())
        self._queue_of(size, urgent).append(payload)
        self._bytes += size
        return True

    def _queue_of(self, size: int, urgent: bool) -> deque[bytes]:
        if urgent:
            return self._urgent
        return self._long if size > FRAME_CHUNK_BYTES and not self._in_order else self._short

    def take(self) -> bytes:
        """The next batch to write: urgent and short messages up to BATCH_BYTES, then one chunk of a long one."""
        batch = [encode_frame(payload) for payload in self._urgent]
        self._bytes -= sum(map(len, self._urgent))
        self._urgent.clear()
        if not (self._in_order and self._begun):
            self._take_short(batch)
        while self._long and len(self._begun) < LONG_FRAMES_MAX:
            self._begin(self._long.popleft())
        if self._begun:
            self._take_chunk(batch)
        return b"".join(batch)

    def _take_short(self, batch: list[bytes]) -> None:
        size = 0
        while self._short and size < BATCH_BYTES:
            payload = self._short.popleft()
            if len(payload) > FRAME_CHUNK_BYTES:
                self._begin(payload)
                break
            size += len(payload)
            batch.append(encode_frame(payload))
        self._bytes -= size

    def _begin(self, payload: bytes) -> None:
        self._numbers = (self._numbers + 1) % 2**32
        self._begun.append(_Begun(split_frame(payload, self._numbers), len(payload)))

    def _take_chunk(self, batch: list[bytes]) -> None:
        """One, of the long frames in turn: what comes next waits for no more than that."""
        long = self._begun.popleft()
        taken = min(long.bytes_left, FRAME_CHUNK_BYTES)
        batch.append(next(long.chunks))
        self._bytes -= taken
        long.bytes_left -= taken
        if long.bytes_left:
            self._begun.append(long)
