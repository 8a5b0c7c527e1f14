"""Length-prefixed frames, long ones in chunks, without a stream.

Knows: the layout: `size:u32` then that many bytes; with the top bit of size set, a chunk of a longer frame:
       `size:u32 number:u32 total:u32` then `size` bytes.
Never: what a payload means, sockets.
Holds: nothing is buffered for a frame that announces more than its limit; each byte is copied a bounded
       number of times however the input is cut.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import attrs

from aether.errors import BadInput
from aether.model.limits import FRAME_BYTES_MAX, FRAME_CHUNK_BYTES, LONG_FRAMES_MAX

_SIZE: Final = struct.Struct(">I")
_CHUNK: Final = struct.Struct(">III")
_IS_CHUNK: Final = 1 << 31
HEADER_BYTES: Final = _SIZE.size
CHUNK_HEADER_BYTES: Final = _CHUNK.size


@attrs.define(eq=False)
class FrameTooLarge(BadInput):
    """A frame is longer than allowed: announced by a peer, or built by a caller with too much in it. Sizes in bytes."""

    size: int = 0
    limit: int = 0

    @classmethod
    def of(cls, size: int, limit: int) -> FrameTooLarge:
        return cls(f"a frame of {size} bytes exceeds the limit of {limit}", (), size, limit)


def encode_frame(payload: bytes) -> bytes:
    """One frame around `payload`, for payloads of at most FRAME_CHUNK_BYTES; longer ones go through `split_frame`."""
    assert len(payload) <= FRAME_CHUNK_BYTES, f"{len(payload)} bytes must be split"
    return _SIZE.pack(len(payload)) + payload


def split_frame(payload: bytes, number: int) -> Iterator[bytes]:
    """The chunks of a long `payload`, each a frame of its own that other frames may stand between.

    number  tells the chunks of concurrent long frames apart; unique among those unfinished on one connection
    """
    total = len(payload)
    for start in range(0, total, FRAME_CHUNK_BYTES):
        chunk = payload[start : start + FRAME_CHUNK_BYTES]
        yield _CHUNK.pack(_IS_CHUNK | len(chunk), number, total) + chunk


@attrs.define
class _Partial:
    total: int
    received: bytearray = attrs.field(factory=bytearray)


@attrs.define
class FrameDecoder:
    """Cuts a stream of bytes into payloads. One per connection and direction.

    frame_bytes_max  longest payload accepted, whole or in chunks; a handshake accepts less than a session
    """

    frame_bytes_max: int = FRAME_BYTES_MAX
    _buffer: bytearray = attrs.field(factory=bytearray, init=False)
    _wanted: int = attrs.field(default=0, init=False)  # bytes the buffer must hold before anything can complete
    _partials: dict[int, _Partial] = attrs.field(factory=dict[int, _Partial], init=False)

    @property
    def is_empty(self) -> bool:
        """Whether every byte fed so far belongs to a payload already yielded."""
        return not self._buffer and not self._partials

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Every payload completed by `data`, in order; the rest waits for the next feed. Exhaust it before the next.

        Raises FrameTooLarge as soon as an oversized frame is announced, BadInput for chunks that contradict each
        other; either ends the connection, as the position in the stream is lost.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._wanted:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        position, available = 0, len(data)
        while True:
            body = position + HEADER_BYTES
            if body > available:
                break
            size = data[position] << 24 | data[position + 1] << 16 | data[position + 2] << 8 | data[position + 3]
            if size & _IS_CHUNK:
                body = position + CHUNK_HEADER_BYTES
                if body > available:
                    break
                _, number, total = _CHUNK.unpack_from(data, position)
                size &= ~_IS_CHUNK
                self._check_chunk(size, number, total)
                if body + size > available:
                    break
                whole = self._extend(number, data[body : body + size])
                position = body + size
                if whole is not None:
                    yield whole
                continue
            if size > self.frame_bytes_max:
                raise FrameTooLarge.of(size, self.frame_bytes_max)
            if body + size > available:
                break
            position = body + size
            yield data[body:position]
        if position < available:
            self._buffer += data[position:] if position else data
            self._wanted = self._bytes_wanted()

    def _bytes_wanted(self) -> int:
        have = len(self._buffer)
        if have < HEADER_BYTES:
            return HEADER_BYTES
        (size,) = _SIZE.unpack_from(self._buffer)
        if not size & _IS_CHUNK:
            return HEADER_BYTES + int(size)
        return CHUNK_HEADER_BYTES + (int(size & ~_IS_CHUNK) if have >= CHUNK_HEADER_BYTES else 0)

    def _check_chunk(self, size: int, number: int, total: int) -> None:
        if total > self.frame_bytes_max or size > FRAME_CHUNK_BYTES:
            raise FrameTooLarge.of(max(total, size), self.frame_bytes_max)
        partial = self._partials.get(number)
        if partial is None:
            if len(self._partials) >= LONG_FRAMES_MAX:
                raise BadInput(f"more than {LONG_FRAMES_MAX} long frames are unfinished")
            partial = self._partials[number] = _Partial(total)
        if partial.total != total or not 0 < size <= total - len(partial.received):
            raise BadInput(f"a chunk of {size} bytes does not fit frame {number} of {total} bytes")

    def _extend(self, number: int, chunk: bytes) -> bytes | None:
        partial = self._partials[number]
        partial.received += chunk
        if len(partial.received) < partial.total:
            return None
        del self._partials[number]
        return bytes(partial.received)
