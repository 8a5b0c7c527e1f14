"""One end of the socket pair between a node and its worker.

Knows: frames and messages over a socket that never blocks; what is queued, in bytes.
Never: what a message means; who is at the other end.
Holds: messages arrive in the order in which they were sent; a message is queued only when the kernel takes no more.
       What cannot be read is BadInput and ends the link, for the position in the stream is lost.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, Protocol

import trio

from aether.errors import BadInput
from aether.hosting.worker_messages import decode_message, encode_message
from aether.model.limits import FRAME_BYTES_MAX, FRAME_CHUNK_BYTES, WORKER_OUTBOX_BYTES_MAX
from aether.wire.frames import FrameDecoder, FrameTooLarge, encode_frame, split_frame

RECEIVE_BYTES: Final = 128 * 1024

Handlers = Mapping[type, Callable[[Any, str], None]]
"""message class -> called with (message, request id); a class that is missing is none that the other side may send."""


class Mail(Protocol):
    """The part of a Link that whoever only speaks needs."""

    def send(self, message: object, request_id: str = "") -> bool: ...
    def post(self, message: object, request_id: str = "") -> None: ...


class Link:
    """Both directions. `handlers` are synchronous and never block; `batch_over` is called after those of one read."""

    def __init__(self, end: socket.socket, handlers: Handlers, batch_over: Callable[[], None] = lambda: None) -> None:
        end.setblocking(False)
        self._end = end
        self._handlers = handlers
        self._batch_over = batch_over
        self._decoder = FrameDecoder()
        self._queue: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._changed = trio.lowlevel.ParkingLot()
        self._broken = False
        self._long_frames = 0

    @property
    def is_open(self) -> bool:
        """Whether the other side may still be there."""
        return not self._broken

    @property
    def queued_bytes(self) -> int:
        """Bytes that the other side has not taken."""
        return self._queued_bytes

    def send(self, message: object, request_id: str = "", bytes_max: int = WORKER_OUTBOX_BYTES_MAX) -> bool:
        """Queue or send it; False: the other side is gone, or `bytes_max` are queued already. Never blocks.

        Raises FrameTooLarge; TypeError, ValueError or OverflowError for what msgpack cannot spell.
        """
        payload = encode_message(message, request_id)
        if len(payload) > FRAME_BYTES_MAX:
            raise FrameTooLarge.of(len(payload), FRAME_BYTES_MAX)
        if self._broken or self._queued_bytes + len(payload) > bytes_max:
            return False
        self._write(payload)
        return not self._broken

    def post(self, message: object, request_id: str = "") -> None:
        """Queue or send a short message of which there are few: it always finds room."""
        if not self._broken:
            self._write(encode_message(message, request_id))

    async def write(self) -> NoReturn:
        """Send what is queued, until cancelled."""
        while True:
            while not self._queue:
                await self._changed.park()
            await trio.lowlevel.wait_writable(self._end)
            while self._queue and self._sent(self._queue[0]):
                pass
            if not self._queue:
                self._changed.unpark_all()

    async def flushed(self) -> None:
        """Return when nothing is queued any more, or nobody will take it."""
        while self._queue:
            await self._changed.park()

    async def read(self) -> None:
        """Hand each message to its handler, until the other side has closed its end. Raises BadInput."""
        while True:
            await trio.lowlevel.wait_readable(self._end)
            try:
                received = self._end.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                received = b""
            if not received:
                self._break()
                return
            for payload in self._decoder.feed(received):
                message, request_id = decode_message(payload)
                handler = self._handlers.get(message.__class__)
                if handler is None:
                    raise BadInput(f"{message.__class__.__name__} is none that this side is sent")
                handler(message, request_id)
            self._batch_over()

    def close(self) -> None:
        """Close this end; the other one reads to its end."""
        self._break()
        trio.lowlevel.notify_closing(self._end)
        self._end.close()

    def _write(self, payload: bytes) -> None:
        if len(payload) <= FRAME_CHUNK_BYTES:
            self._frame(encode_frame(payload))
            return
        self._long_frames = (self._long_frames + 1) % 2**32
        for chunk in split_frame(payload, self._long_frames):
            self._frame(chunk)

    def _frame(self, frame: bytes) -> None:
        rest = memoryview(frame)
        idle = not self._queue
        self._queue.append(rest)
        self._queued_bytes += len(rest)
        if idle and not self._sent(rest):
            self._changed.unpark_all()

    def _sent(self, first: memoryview) -> bool:
        """Whether all of the queue's first frame was sent; what was not stays queued."""
        try:
            sent = self._end.send(first)
        except BlockingIOError:
            return False
        except OSError:  # the other side is gone
            self._break()
            return False
        self._queued_bytes -= sent
        self._queue.popleft()
        if sent < len(first):
            self._queue.appendleft(first[sent:])
            return False
        return True

    def _break(self) -> None:
        self._broken = True
        self._queue.clear()
        self._queued_bytes = 0
        self._changed.unpark_all()
