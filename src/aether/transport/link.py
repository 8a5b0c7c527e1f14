"""One TCP connection as bytes in and bytes out.

Knows: sockets, their options, how to write without waiting.
Never: frames, peers, TLS (secured.py).
Holds: a socket is closed on every way out; its kernel notices a silent host within PEER_SILENT_S.
"""

from __future__ import annotations

import errno
import socket
from typing import Final, Protocol

import trio

from aether.errors import AddressInUse, BadInput
from aether.model.limits import PEER_SILENT_S, SEND_BUFFER_BYTES
from aether.transport.address import join_address, split_address

READ_BYTES: Final = 64 * 1024
BACKLOG: Final = 128


class Link(Protocol):
    """A connection that is up. `receive` and `send` may run in two tasks."""

    def send_now(self, data: bytes | memoryview) -> int:
        """How many bytes of `data` could be written without waiting. Raises OSError when the connection is broken."""
        ...

    @property
    def has_unsent(self) -> bool:
        """Whether some of what `send_now` took still waits: the next `send`, of nothing perhaps, writes it."""
        ...

    async def send(self, data: bytes) -> None:
        """Write all of `data`. Raises OSError or trio.BrokenResourceError."""
        ...

    async def receive(self) -> bytes:
        """What has arrived; b"" at the end of the stream. Always a checkpoint. Raises as `send`."""
        ...

    def close(self) -> None: ...


class PlainLink:
    """A socket that we drive ourselves: a write at once costs one system call and no task switch."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.has_unsent: bool = False

    def send_now(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while True:
            rest = rest[self.send_now(rest) :]
            if not rest:
                return
            await trio.lowlevel.wait_writable(self._socket)

    async def receive(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError):
                continue

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


async def connect(address: str) -> socket.socket:
    """A connected socket to the first of the addresses of `address` that answers. Raises OSError, BadInput.

    Cancellation is immediate, also while a name is looked up.
    """
    host, port = split_address(address)
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except ValueError as error:  # a host that IDNA cannot spell
        raise BadInput(f"{address!r} is no address", (str(error),)) from error
    last: OSError = OSError(errno.EADDRNOTAVAIL, f"no address for {address}")
    for family, kind, protocol, _, place in found:
        sock = socket.socket(family, kind, protocol)
        try:
            tune(sock)
            await trio.socket.from_stdlib_socket(sock).connect(place)
        except OSError as error:
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            bound_buffer(sock)
            return sock
        sock.close()
    raise last


async def listen(address: str, option: str) -> tuple[socket.socket, str]:
    """A listening socket on `address`, port 0 = any, and the address it got. Raises AddressInUse, BadInput.

    option  the setting that AddressInUse tells the operator to change
    """
    host, port = split_address(address)
    try:
        found = await trio.socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot listen on {address}", (str(error),)) from error
    family, kind, protocol, _, place = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart need not wait for old connections
        sock.bind(place)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(address, option) from error
        raise BadInput(f"cannot listen on {address}", (error.strerror or str(error),)) from error
    return sock, join_address(host, sock.getsockname()[1])


def bound_buffer(sock: socket.socket) -> None:
    """Let little of a connected socket wait in the kernel.

    Left to itself, the kernel keeps megabytes of one connection on their way and in queues of the network, where each
    message of the other lanes waits behind them, and those of this lane too, which could still overtake in the outbox.
    Two segments have room, however large they are (64 KiB on the loopback interface): a receiver may wait for the
    second before it acknowledges the first, or else for 40 ms.
    """
    segment_bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, max(SEND_BUFFER_BYTES, 2 * segment_bytes))


def tune(sock: socket.socket) -> None:
    """Small messages go at once, and a host that vanished without a word is noticed by the kernel."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seconds = max(1, int(PEER_SILENT_S))
    wanted = (
        ("TCP_KEEPIDLE", 1),
        ("TCP_KEEPALIVE", 1),  # its name on macOS
        ("TCP_KEEPINTVL", 1),
        ("TCP_KEEPCNT", seconds - 1),
        ("TCP_USER_TIMEOUT", seconds * 1000),
    )
    for name, value in wanted:
        number = getattr(socket, name, None)
        if number is not None:
            sock.setsockopt(socket.IPPROTO_TCP, number, value)
