"""The HTTP server: sockets to handlers and back.

Knows: listeners, how many connections there may be, drain, pause.
Never: who answers (the handler is passed in), routing, what a connection does (connection_service).
Holds: one task per connection; a handler's exception costs one answer, never the connection.
"""

from __future__ import annotations

import errno
import itertools
import logging
import resource
import secrets
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Final, NoReturn

import trio

from aether.errors import AddressInUse, BadInput
from aether.web.accept_service import EagerListener
from aether.web.clock_service import Clock, open_clock
from aether.web.config import WebConfig
from aether.web.connection_service import Connection
from aether.web.failure_service import problem_for
from aether.web.fast_heads import fastest_heads
from aether.web.leaving import Leaving
from aether.web.ordinary import HeadReader
from aether.web.pressure_service import PressureGate, relieve
from aether.web.request import Handler, Request, Response

_log = logging.getLogger("aether.web")
_FILES_SHARE: Final = 3  # a listener takes a third of the files that this process may open: its disk needs some too


class WebServer:
    """One listener and its connections. `run` serves, `drain` ends it without a cut answer.

    streams_body  picks requests, by verb and raw path, whose handler reads the body as it arrives
    leaving       begins with the drain: for answers that would last as long as their clients like
    """

    def __init__(
        self,
        handler: Handler,
        config: WebConfig,
        *,
        streams_body: Callable[[str, str], bool] | None = None,
        leaving: Leaving | None = None,
    ) -> None:
        self._leaving = leaving or Leaving()
        self.config: WebConfig = config
        self.streams_body: Callable[[str, str], bool] | None = streams_body
        self.heads: HeadReader | None = fastest_heads()
        self.draining: bool = False
        self.gate: PressureGate = PressureGate()
        """Closed by `relieve` when this process cannot keep up: then no more is begun than ends."""
        self.held: int = 0
        """Bytes received and not answered yet. Counted by the connections."""
        self.retiring: bool = False
        """Whether answers end their connections, so that clients go elsewhere; requests are taken as before."""
        self.handler: Handler = handler
        self._accepting = trio.CancelScope()
        self._connections: dict[Connection, None] = {}  # a set in the order of arrival
        self._connections_max = min(config.connections_max, _open_files_max() // _FILES_SHARE)
        self._changed = trio.Event()
        self._date = (0, "")
        prefix = secrets.token_hex(6)
        numbers = itertools.count(1)
        self.new_request_id: Callable[[], str] = lambda: f"{prefix}-{next(numbers)}"

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled; started("host:port"). Raises AddressInUse, BadInput (address unknown here).

        Cancellation cuts running requests; call `drain` first to let them end.
        """
        listeners = await _open_listeners(self.config)
        address = _address_of(listeners[0])
        async with open_clock() as clock, trio.open_nursery() as nursery:

            async def accept(stream: trio.SocketStream) -> None:
                await self._serve(clock, stream, _client_of(stream))

            nursery.start_soon(relieve, self.gate)
            task_status.started(address)
            with self._accepting:
                eager = [EagerListener(listener, self.gate) for listener in listeners]
                await trio.serve_listeners(accept, eager, handler_nursery=nursery)
            await trio.sleep_forever()
        raise AssertionError("a server ends only by cancellation")

    async def serve_stream(self, stream: trio.abc.Stream, client: str = "") -> None:
        """Serve one connection until it ends, then close it. Never raises for what the peer does."""
        async with open_clock() as clock:
            await self._serve(clock, stream, client)

    async def _serve(self, clock: Clock, stream: trio.abc.Stream, client: str) -> None:
        connection = Connection(self, clock, stream, client)
        self._connections[connection] = None
        try:
            if len(self._connections) > self._connections_max and not self._make_room():
                await connection.turn_away(self._connections_max)
            else:
                await connection.run()
        except Exception:  # noqa: BLE001 - logged; one connection must not end the server
            _log.exception("a connection from %s ended by an error of the server", client or "a stream")
        finally:
            self._connections.pop(connection, None)
            connection.end()
            self._changed.set()
            await trio.aclose_forcefully(stream)

    async def drain(self, grace_s: float) -> None:
        """Stop accepting and let requests end; answers say `Connection: close` from now on. At most `grace_s`.

        Idle connections stay open for a part of the grace, since a client may be sending on one right now.
        """
        self.draining = True
        self._leaving.begin()
        self._accepting.cancel()
        began = trio.current_time()
        with trio.move_on_at(began + min(1.0, grace_s / 2)):
            await self._emptied()
        for connection in tuple(self._connections):
            connection.close_if_idle()
        with trio.move_on_at(began + grace_s):
            await self._emptied()
        for connection in tuple(self._connections):
            connection.cut()

    def problem_for(self, error: Exception, request: Request) -> Response:
        """The problem that an exception of the handler means."""
        return problem_for(error, request)

    def http_date(self) -> str:
        """The Date field, formatted once a second."""
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

    def _make_room(self) -> bool:
        """Close the oldest connection that is idle: a crowd that asks nothing must not lock clients out."""
        return any(connection.close_if_idle() for connection in self._connections)

    async def _emptied(self) -> None:
        while self._connections:
            self._changed = trio.Event()
            await self._changed.wait()


async def serve(
    handler: Handler, config: WebConfig, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> NoReturn:
    """Serve `handler` until cancelled; started("host:port"). Raises AddressInUse, BadInput."""
    await WebServer(handler, config).run(task_status=task_status)


def _client_of(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:  # it left before it was accepted
        return ""


def _open_files_max() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


async def _open_listeners(config: WebConfig) -> list[trio.SocketListener]:
    where = f"{config.bind}:{config.port}"
    try:
        listeners = await trio.open_tcp_listeners(config.port, host=config.bind)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(where, config.option) from error
        raise BadInput(
            f"cannot listen on {where}", (f"{error.strerror or error}; check the address and the port",)
        ) from error
    if config.port == 0:  # two families would get two different free ports: keep the first
        for extra in listeners[1:]:
            await extra.aclose()
        del listeners[1:]
    return listeners


def _address_of(listener: trio.SocketListener) -> str:
    host, port = listener.socket.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
