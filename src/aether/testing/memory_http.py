"""HTTP in one process: the nodes' ports without sockets, and clients that reach them with the same bytes.

Knows: streams of memory, which address listens, httpx.
Never: what is asked or answered; real time.
Holds: bytes keep their order, a buffer is bounded, a node that ends leaves its clients with a closed connection, and
       what is under way to or from a stalled node arrives when it goes on.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import ssl
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from pathlib import Path
from typing import Any, Final, cast

import attrs
import httpcore
import httpx
import trio

from aether.errors import AddressInUse
from aether.model.ids import NodeId
from aether.web.config import WebConfig
from aether.web.listen_service import Listen, Listening
from aether.web.pressure_service import PressureGate

BUFFER_BYTES_MAX: Final = 64 * 1024  # of each direction of a connection
BACKLOG_MAX: Final = 128
CLIENT: Final = "127.0.0.1"
FIRST_PORT: Final = 49_152
REQUEST_S: Final = 10.0


@attrs.define(eq=False)
class Valve:
    """Whether bytes pass. Of one node."""

    is_open: bool = True
    changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    def turn(self, is_open: bool) -> None:
        self.is_open = is_open
        self.changed.unpark_all()


@attrs.define(eq=False)
class _Flow:
    """One direction of a connection. has_ended  no more bytes come; is_unread  nobody takes them"""

    valve: Valve
    buffer: bytearray = attrs.field(factory=bytearray)
    has_ended: bool = False
    is_unread: bool = False
    changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    @property
    def is_readable(self) -> bool:
        """Whether a reader need not wait."""
        return self.valve.is_open and (bool(self.buffer) or self.has_ended)

    def tell(self) -> None:
        self.changed.unpark_all()
        self.valve.changed.unpark_all()

    async def wait(self) -> None:
        """Until something is different, here or at the valve."""
        await (self.changed if self.valve.is_open else self.valve.changed).park()


class MemoryConnection(trio.abc.HalfCloseableStream):
    """One end of a connection."""

    def __init__(self, incoming: _Flow, outgoing: _Flow) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._is_closed = False

    @property
    def is_readable(self) -> bool:
        """Whether `receive_some` would return at once: with bytes, or because the other end closed."""
        return self._incoming.is_readable

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while True:
            self._check_sendable()
            room = BUFFER_BYTES_MAX - len(self._outgoing.buffer)
            if rest and room > 0:
                self._outgoing.buffer += rest[:room]
                self._outgoing.tell()
                rest = rest[room:]
            if not rest:
                return
            await self._outgoing.wait()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()
        while len(self._outgoing.buffer) >= BUFFER_BYTES_MAX and not self._outgoing.is_unread:
            await self._outgoing.wait()
        self._check_sendable()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        flow = self._incoming
        while not self._is_closed and not flow.is_readable:
            await flow.wait()
        if self._is_closed:
            raise trio.ClosedResourceError("this end was closed")
        taken = bytes(flow.buffer[:max_bytes])
        del flow.buffer[:max_bytes]
        flow.tell()
        return taken

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        self._outgoing.has_ended = True
        self._outgoing.tell()

    async def aclose(self) -> None:
        self._is_closed = True
        self._outgoing.has_ended = self._incoming.is_unread = True
        self._outgoing.tell()
        self._incoming.tell()
        await trio.lowlevel.checkpoint()

    def _check_sendable(self) -> None:
        if self._is_closed or self._outgoing.has_ended:
            raise trio.ClosedResourceError("this end was closed")
        if self._outgoing.is_unread:
            raise trio.BrokenResourceError("the other end was closed")


class _Listener(trio.abc.Listener[MemoryConnection]):
    def __init__(self, valve: Valve, close: Callable[[], None]) -> None:
        self._valve = valve
        self._close = close
        self._offer, self._taken = trio.open_memory_channel[MemoryConnection](BACKLOG_MAX)

    async def connect(self) -> MemoryConnection:
        """Our end of a new connection. Raises OSError."""
        there, back = _Flow(self._valve), _Flow(self._valve)
        try:
            await self._offer.send(MemoryConnection(there, back))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise _refused() from None
        return MemoryConnection(back, there)

    async def accept(self) -> MemoryConnection:
        try:
            return await self._taken.receive()
        except trio.EndOfChannel:
            raise trio.ClosedResourceError from None

    async def aclose(self) -> None:
        self._close()
        waiting: list[MemoryConnection] = []
        with contextlib.suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                waiting.append(self._taken.receive_nowait())
        self._taken.close()
        self._offer.close()
        for each in waiting:
            await trio.aclose_forcefully(each)
        await trio.lowlevel.checkpoint()


class MemoryPorts:
    """The HTTP ports of all nodes of one process, and the tokens of their admin APIs."""

    def __init__(self) -> None:
        self._listeners: dict[str, _Listener] = {}
        self._valves: dict[NodeId, Valve] = {}
        self._numbers = itertools.count(FIRST_PORT)
        self.tokens: dict[str, str] = {}
        """By address of the management port."""

    def valve(self, node: NodeId) -> Valve:
        return self._valves.setdefault(node, Valve())

    def listen(self, node: NodeId) -> Listen:
        """How `node` opens its ports; port 0 is the next free one."""

        async def listen(config: WebConfig, gate: PressureGate) -> Listening:
            address = f"{config.bind}:{config.port or next(self._numbers)}"
            if address in self._listeners:
                raise AddressInUse(address, config.option)
            listener = _Listener(self.valve(node), lambda: self._forget(address))
            self._listeners[address] = listener
            await trio.lowlevel.checkpoint()
            return Listening([listener], address, lambda _: CLIENT, real_time=False)

        return listen

    def _forget(self, address: str) -> None:
        del self._listeners[address]

    @contextlib.contextmanager
    def publish(self, address: str, token: str, authorities: Path | None = None) -> Generator[None]:
        """What `Seams.publish` wants: nothing is written into the user's directories."""
        self.tokens[address] = token
        try:
            yield
        finally:
            self.tokens.pop(address, None)

    async def connect(self, address: str) -> MemoryConnection:
        """A connection to whoever listens there. Raises OSError."""
        listener = self._listeners.get(address)
        if listener is None:
            await trio.lowlevel.checkpoint()
            raise _refused()
        return await listener.connect()


def _refused() -> OSError:
    return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


# --- httpx over it ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _as_httpcore(what: str, within_s: float | None) -> Generator[None]:
    """Errors of trio as those of httpcore: ReadError, WriteTimeout, ConnectError and so on."""
    try:
        with trio.fail_after(float("inf") if within_s is None else within_s):
            yield
    except (OSError, trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        kind: type[Exception] = getattr(
            httpcore, what + ("Timeout" if isinstance(error, trio.TooSlowError) else "Error")
        )
        raise kind(str(error)) from error


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, connection: MemoryConnection) -> None:
        self._connection = connection

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's name
        with _as_httpcore("Read", timeout):
            return await self._connection.receive_some(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's name
        with _as_httpcore("Write", timeout):
            await self._connection.send_all(buffer)

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's name
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("ports in memory speak no TLS")

    def get_extra_info(self, info: str) -> Any:
        return self._connection.is_readable if info == "is_readable" else None


class _Dialler(httpcore.AsyncNetworkBackend):
    """Connects to where the node listens now, whatever the URL says."""

    def __init__(self, ports: MemoryPorts, address: Callable[[], str]) -> None:
        self._ports = ports
        self._address = address

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's name
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with _as_httpcore("Connect", timeout):
            return _Stream(await self._ports.connect(self._address()))

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class MemoryHttp(httpx.AsyncBaseTransport):
    """httpx' own connection pool over memory. address  where to, at the time of each connection; "" = nobody listens"""

    def __init__(self, ports: MemoryPorts, address: Callable[[], str]) -> None:
        self._pool = httpcore.AsyncConnectionPool(network_backend=_Dialler(ports, address), max_connections=None)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream), "an AsyncClient sends asynchronously"
        url = httpcore.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        asked = httpcore.Request(
            request.method, url, headers=request.headers.raw, content=request.stream, extensions=request.extensions
        )
        with _as_httpx():
            answer = await self._pool.handle_async_request(asked)
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream),
            extensions=cast("dict[str, Any]", answer.extensions),  # pyright: ignore[reportUnknownMemberType],
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextlib.contextmanager
def _as_httpx() -> Generator[None]:
    """Errors of httpcore by their names in httpx."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__)
        raise kind(str(error)) from error


class _AsAdmin(httpx.Auth):
    """The token that is asked for now, unless the request names another authorization."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if "authorization" not in request.headers:
            request.headers["authorization"] = f"Bearer {self._token()}"
        yield request


def client_of(ports: MemoryPorts, address: Callable[[], str], *, admin: bool = False) -> httpx.AsyncClient:
    """A client of whoever listens at `address`; admin  with the token of the admin API there."""
    auth = _AsAdmin(lambda: ports.tokens.get(address(), "")) if admin else None
    return httpx.AsyncClient(
        transport=MemoryHttp(ports, address), base_url=f"http://{CLIENT}", timeout=REQUEST_S, auth=auth, trust_env=False
    )
