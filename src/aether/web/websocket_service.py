"""One open WebSocket between a client and a method.

Knows: frames by wsproto, pings, limits, both directions.
Never: how it was opened (module websocket), what messages mean.
Holds: one task reads, one sends the method's messages, one pings; each frame is sent whole, under one lock. A client
       that sends faster than the method reads is not read; one that takes nothing for SEND_S is cut off. No extension
       is spoken, so no message can grow on its way in.
Paper: RFC 6455.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator
from typing import Final

import trio
import wsproto.events as ws
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from aether.model import limits
from aether.web import right_service
from aether.web.leaving import Leaving
from aether.web.websocket import FAILED, GOING_AWAY, NORMAL, NOT_ALLOWED, TOO_BIG, close_of

_log = logging.getLogger("aether.web")
_RECEIVE_BYTES: Final = 64 * 1024
_FRAMES_A_TURN: Final = 64  # about a millisecond of frames that hold next to nothing

Message = str | bytes

_NO_RIGHT: Final = (NOT_ALLOWED, "the right to this has ended; connect again with one that holds")


class Socket:
    """`await run()` lasts as long as the connection.

    incoming  where the client's messages go; None when the method takes none
    """

    def __init__(
        self, stream: trio.abc.Stream, incoming: trio.MemorySendChannel[Message] | None, where: str, leaving: Leaving
    ) -> None:
        self._leaving = leaving
        self._stream = stream
        self._frames = Connection(ConnectionType.SERVER)
        self._incoming = incoming
        self._where = where
        self._lock = trio.Lock()
        self._parts = bytearray()
        """Of a message that is not whole yet, a text as UTF-8."""
        self._size = 0
        self._heard = -math.inf
        self._closed = trio.Event()
        """The client's close has come, or it has left."""
        self._said_close = False

    async def run(self, outgoing: AsyncIterator[object], rest: bytes) -> None:
        """Carry messages until either end closes. rest  bytes that came behind the request."""
        writing = trio.CancelScope()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._ping)
                nursery.start_soon(self._leave_when_closed, nursery.cancel_scope)
                nursery.start_soon(self._read, rest)
                with writing:
                    self._leaving.add(writing.cancel)
                    await self._write(outgoing)
                if writing.cancelled_caught:
                    await self._close(GOING_AWAY, "this node is leaving; connect again")
                with trio.move_on_after(limits.HTTP_LINGER_S):
                    await self._closed.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._leaving.forget(writing.cancel)
            if not self._said_close:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.HTTP_LINGER_S):
                    await self._close(*(_NO_RIGHT if right_service.is_gone() else (GOING_AWAY, "")))

    async def _leave_when_closed(self, scope: trio.CancelScope) -> None:
        """Once the client has closed, the method has a moment to end by itself: its messages have ended."""
        await self._closed.wait()
        await trio.sleep(limits.HTTP_LINGER_S)
        scope.cancel()

    # --- to the client ------------------------------------------------------------------------------------------------

    async def _write(self, outgoing: AsyncIterator[object]) -> None:
        code, reason = NORMAL, ""
        try:
            async for item in outgoing:
                if isinstance(item, str):
                    await self._send(ws.TextMessage(data=item))
                elif isinstance(item, bytes):
                    await self._send(ws.BytesMessage(data=item))
        except Exception as error:  # noqa: BLE001 - whatever ended the method is told to the client, and logged
            code, reason = close_of(error)
            if code == FAILED:
                _log.error("%s ended by an error", self._where, exc_info=error)
        await self._close(code, reason)

    async def _close(self, code: int, reason: str) -> None:
        if not self._said_close:
            self._said_close = True
            await self._send(ws.CloseConnection(code=code, reason=reason or None))

    async def _send(self, event: ws.Event) -> None:
        """One frame, whole; nothing to a client that has left."""
        async with self._lock:
            if self._closed.is_set() and not isinstance(event, ws.CloseConnection):
                return
            try:
                raw = self._frames.send(event)
                with trio.fail_after(limits.HTTP_SEND_S):
                    await self._stream.send_all(raw)
            except (LocalProtocolError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                self._closed.set()

    async def _ping(self) -> None:
        while True:
            sent = trio.current_time()
            await self._send(ws.Ping())
            await trio.sleep(limits.WEBSOCKET_PING_S)
            if self._heard < sent:
                self._closed.set()

    # --- from the client ----------------------------------------------------------------------------------------------

    async def _read(self, rest: bytes) -> None:
        data: bytes | None = rest
        try:
            while data is not None and not self._closed.is_set():
                if data:
                    self._heard = trio.current_time()
                    self._frames.receive_data(data)
                    for number, event in enumerate(self._frames.events(), 1):
                        await self._take(event)
                        if number % _FRAMES_A_TURN == 0:
                            await trio.lowlevel.checkpoint()
                data = await self._receive()
        except RemoteProtocolError as error:
            hint = error.event_hint
            code = hint.code if isinstance(hint, ws.CloseConnection) else 1002
            await self._close(int(code), str(error)[:100])
        finally:
            self._closed.set()
            if self._incoming is not None:
                self._incoming.close()

    async def _receive(self) -> bytes | None:
        try:
            return bytes(await self._stream.receive_some(_RECEIVE_BYTES)) or None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return None

    async def _take(self, event: ws.Event) -> None:
        match event:
            case ws.TextMessage(data=text):
                await self._gather(_bytes_of(text), event.message_finished, text=text)
            case ws.BytesMessage(data=raw):
                await self._gather(len(raw), event.message_finished, binary=bytes(raw))
            case ws.Ping():
                await self._send(event.response())
            case ws.CloseConnection():
                if not self._said_close:
                    self._said_close = True
                    await self._send(event.response())
                self._closed.set()
            case _:
                pass

    async def _gather(self, size: int, finished: bool, *, text: str | None = None, binary: bytes = b"") -> None:
        """A part of a message; the whole goes on when it is there."""
        self._size += size
        if self._size > limits.WEBSOCKET_MESSAGE_BYTES_MAX:
            await self._close(TOO_BIG, f"a message has at most {limits.WEBSOCKET_MESSAGE_BYTES_MAX} bytes")
            self._closed.set()
            return
        if finished and size == self._size:  # all of it is in this part
            message: Message = binary if text is None else text
        else:  # in one piece, since an object for each part would weigh many times what the part does
            self._parts += binary if text is None else text.encode()
            if not finished:
                return
            message = bytes(self._parts) if text is None else self._parts.decode()
            self._parts = bytearray()
        self._size = 0
        if self._incoming is not None:
            self._heard = math.inf  # nobody listens for its pongs while the method is slow
            try:
                await self._incoming.send(message)
            except trio.BrokenResourceError:  # the method reads no more
                self._incoming = None
            self._heard = trio.current_time()


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
