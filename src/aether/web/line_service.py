"""One connection as bytes in and bytes out, with as few system calls and task switches as there can be.

Knows: sockets, trio streams.
Never: HTTP, limits on time.
Holds: a peer that left is the end of its bytes, b"", however it left; a write that needs no waiting does not wait.
"""

from __future__ import annotations

import os
import sys
from typing import Final, Protocol

import trio

RECEIVE_BYTES: Final = 64 * 1024
SEND_BYTES: Final = 64 * 1024  # of a stream that tells nothing before all is sent: progress is seen in steps of this


class Line(Protocol):
    """A connection. One task may send while another receives.

    file  its number, for whoever waits for many of them; below 0 when it has none
    """

    @property
    def file(self) -> int: ...

    def send_now(self, raw: bytes | memoryview) -> int:
        """How many bytes could be written without waiting. Raises OSError: the peer left."""
        ...

    async def send(self, raw: memoryview) -> int:
        """Wait until some of `raw` is written, and say how much. Raises OSError, trio's BrokenResourceError."""
        ...

    def receive_now(self) -> bytes | None:
        """What arrived; None = nothing yet, b"" when the peer left. Only where it has a number."""
        ...

    async def receive(self) -> bytes:
        """What arrived; b"" when the peer left, or at `interrupt`. A checkpoint."""
        ...

    def interrupt(self) -> None:
        """End a `receive` that waits, if nothing has arrived for it."""
        ...

    def end(self) -> None:
        """The connection is about to be closed: its number will soon be another's."""
        ...


class SocketLine:
    """A TCP connection, read and written directly: trio's stream would switch tasks after each write."""

    __slots__ = ("file",)

    def __init__(self, stream: trio.SocketStream) -> None:
        self.file: int = stream.socket.fileno()

    def send_now(self, raw: bytes | memoryview) -> int:
        try:
            return os.write(self.file, raw)
        except (BlockingIOError, InterruptedError):
            return 0

    async def send(self, raw: memoryview) -> int:
        await trio.lowlevel.wait_writable(self.file)
        return self.send_now(raw)

    def receive_now(self) -> bytes | None:
        try:
            return os.read(self.file, RECEIVE_BYTES) if self.file >= 0 else b""
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:  # reset, closed by us
            return b""

    async def receive(self) -> bytes:
        while True:
            if self.file < 0:  # whoever watched a handler begins to read when its connection has ended
                await trio.lowlevel.checkpoint()
                return b""
            try:
                await trio.lowlevel.wait_readable(self.file)
                return os.read(self.file, RECEIVE_BYTES)
            except (BlockingIOError, InterruptedError):
                continue
            except (
                trio.ClosedResourceError
            ):  # interrupted; what came before must not be lost: who sent it got no answer
                return self.receive_now() or b""
            except OSError:  # reset, closed by us
                return b""

    def interrupt(self) -> None:
        trio.lowlevel.notify_closing(self.file)

    def end(self) -> None:
        self.file = -1


class StreamLine:
    """Any other stream: TLS, memory."""

    __slots__ = ("_receiving", "_stream")
    file: int = -1

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._receiving: trio.CancelScope | None = None

    def send_now(self, raw: bytes | memoryview) -> int:
        return 0

    async def send(self, raw: memoryview) -> int:
        part = raw[:SEND_BYTES]
        await self._stream.send_all(part)
        return len(part)

    def receive_now(self) -> bytes | None:
        return None

    async def receive(self) -> bytes:
        with trio.CancelScope() as self._receiving:
            try:
                return bytes(await self._stream.receive_some(RECEIVE_BYTES))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return b""
        return b""

    def end(self) -> None:
        return

    def interrupt(self) -> None:
        if self._receiving is not None:
            self._receiving.cancel()


def line_of(stream: trio.abc.Stream) -> Line:
    """The line over `stream`. On Windows, sockets are no files."""
    if isinstance(stream, trio.SocketStream) and sys.platform != "win32":
        return SocketLine(stream)
    return StreamLine(stream)
