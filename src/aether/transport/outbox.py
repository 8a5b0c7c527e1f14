"""What waits to be written on one lane: bounded, coalesced, long frames taken in turns with short ones.

Knows: frames and chunks, the limits of a mailbox.
Never: the connection that drains it.
Holds: at most OUTBOX_MESSAGES_MAX messages and OUTBOX_BYTES_MAX bytes wait; a short message waits for at most one
       batch, however long the frames beside it are.
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
    """

    def __init__(self, *, drop_oldest: bool) -> None:
        self._drop_oldest = drop_oldest
        self._short: deque[bytes] = deque()
        self._long: deque[bytes] = deque()  # not begun
        self._begun: deque[_Begun] = deque()
        self._numbers = 0
        self._bytes = 0
        self.dropped: int = 0

    def __bool__(self) -> bool:
        return bool(self._short or self._begun or self._long)

    def __len__(self) -> int:
        """Messages that wait, those partly taken included."""
        return len(self._short) + len(self._long) + len(self._begun)

    def put(self, payload: bytes) -> bool:
        """Queue `payload`; False when there is no room and none may be made. Every loss counts in `dropped`."""
        size = len(payload)
        while len(self) >= OUTBOX_MESSAGES_MAX or self._bytes + size > OUTBOX_BYTES_MAX:
            self.dropped += 1
            if not self._drop_oldest or not (self._short or self._long):
                return False
            self._bytes -= len((self._short or self._long).popleft())
        (self._long if size > FRAME_CHUNK_BYTES else self._short).append(payload)
        self._bytes += size
        return True

    def take(self) -> bytes:
        """The next batch to write: short messages up to BATCH_BYTES, then one chunk of each long frame begun."""
        batch: list[bytes] = []
        size = 0
        while self._short and size < BATCH_BYTES:
            payload = self._short.popleft()
            size += len(payload)
            batch.append(encode_frame(payload))
        self._bytes -= size
        while self._long and len(self._begun) < LONG_FRAMES_MAX:
            self._numbers = (self._numbers + 1) % 2**32
            payload = self._long.popleft()
            self._begun.append(_Begun(split_frame(payload, self._numbers), len(payload)))
        for _ in range(len(self._begun)):
            long = self._begun.popleft()
            taken = min(long.bytes_left, FRAME_CHUNK_BYTES)
            batch.append(next(long.chunks))
            self._bytes -= taken
            long.bytes_left -= taken
            if long.bytes_left:
                self._begun.append(long)
        return b"".join(batch)
