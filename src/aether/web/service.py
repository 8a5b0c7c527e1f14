"""The HTTP server: sockets to handlers and back.

Knows: listeners, how many connections there may be, drain, pause.
Never: who answers (the handler is passed in), routing, what a connection does (connection_service).
Holds: one task per connection; a handler's exception costs one answer, never the connection.
"""

from __future__ import annotations

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

from aether.errors import BadInput
from aether.model.limits import HTTP_LINGER_S
from aether.web.clock_service import Clock, open_clock
from aether.web.config import WebConfig
from aether.web.connection_service import Connection
from aether.web.failure_service import problem_for
from aether.web.fast_heads import fastest_heads
from aether.web.leaving import Leaving
from aether.web.listen_service import Listen, listen_tcp
from aether.web.ordinary import HeadReader
from aether.web.pressure_service import PressureGate, relieve
from aether.web.ready_service import Ready, open_ready
from aether.web.request import Handler, Request, Response
from aether.web.room_service import Room
from aether.web.tls_service import Described, Tls, part, refusing, secure

_log = logging.getLogger("aether.web")
_FILES_SHARE: Final = 3  # a listener takes a third of the files that this process may open: its disk needs some too


class WebServer:
    """One listener and its connections. `run` serves, `drain` ends it without a cut answer.

    streams_body  picks requests, by verb and raw path, whose handler reads the body as it arrives
    leaving       begins with the drain: for answers that would last as long as their clients like
    tls           how connections are secured; None = they are not
    listen        where connections come from
    """

    def __init__(
        self,
        handler: Handler,
        config: WebConfig,
        *,
        streams_body: Callable[[str, str], bool] | None = None,
        leaving: Leaving | None = None,
        tls: Tls | None = None,
        listen: Listen = listen_tcp,
    ) -> None:
        self._leaving = leaving or Leaving()
        self._tls = tls
        self._listen = listen
        self._described: dict[Connection, Described] = {}  # certificates of clients that are connected
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
        self._connections: dict[Connection, None] = {}
        self._room = Room(min(config.connections_max, _open_files_max() // _FILES_SHARE))
        self._changed = trio.Event()
        self._date = (0, "")
        prefix = secrets.token_hex(6)
        numbers = itertools.count(1)
        self.new_request_id: Callable[[], str] = lambda: f"{prefix}-{next(numbers)}"

    @property
    def connections(self) -> int:
        """Open ones."""
        return len(self._connections)

    @property
    def leaves(self) -> bool:
        """Whether answers end their connections: it drains, or clients are sent elsewhere."""
        return self.draining or self.retiring

    @property
    def in_flight(self) -> int:
        """Requests that a handler works on, or whose answers are on their way."""
        return sum(connection.is_answering for connection in self._connections)

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled; started("host:port"). Raises AddressInUse, BadInput (address unknown here).

        Cancellation cuts running requests; call `drain` first to let them end.
        """
        listening = await self._listen(self.config, self.gate)
        async with open_ready() as ready, open_clock() as clock, trio.open_nursery() as nursery:

            async def accept(stream: trio.abc.Stream) -> None:
                await self._serve(clock, stream, listening.client_of(stream), ready)

            if listening.real_time:
                nursery.start_soon(relieve, self.gate)
            task_status.started(listening.address)
            with self._accepting:
                await trio.serve_listeners(accept, list(listening.listeners), handler_nursery=nursery)
            await trio.sleep_forever()
        raise AssertionError("a server ends only by cancellation")

    async def serve_stream(self, stream: trio.abc.Stream, client: str = "") -> None:
        """Serve one connection until it ends, then close it. Never raises for what the peer does."""
        async with open_clock() as clock:
            await self._serve(clock, stream, client)

    def recheck(self) -> None:
        """Cut connections whose certificates are not accepted any more. Never blocks."""
        for connection, described in tuple(self._described.items()):
            try:
                assert self._tls is not None, "only TLS shows certificates"
                self._tls.identify(described)
            except BadInput as error:
                _log.warning("ended a connection: %s", error.what)
                connection.cut()

    async def _serve(self, clock: Clock, stream: trio.abc.Stream, client: str, ready: Ready | None = None) -> None:
        if self._tls is None:
            try:
                await self._serve_connection(Connection(self, clock, stream, client, ready=ready), client)
            finally:
                await trio.aclose_forcefully(stream)
        elif (seat := self._room.begin_handshake(client)) is not None:
            await self._serve_secured(clock, stream, client, self._tls, seat)
        else:  # whoever cannot be served costs no handshake
            await trio.aclose_forcefully(stream)

    async def _serve_secured(
        self, clock: Clock, stream: trio.abc.Stream, client: str, tls: Tls, seat: trio.CancelScope
    ) -> None:
        secured = None
        try:
            with seat:
                secured = await secure(stream, tls)
        finally:
            self._room.end_handshake(seat)
            self._changed.set()
        if secured is None:
            _log.debug("%s did not get through the TLS handshake", client or "a stream")
            await trio.aclose_forcefully(stream)
            return
        handler = refusing(secured.refusal) if secured.refusal else None
        connection = Connection(self, clock, secured.stream, client, secured.identity, handler)
        if secured.identity:
            self._described[connection] = secured.described
        try:
            await self._serve_connection(connection, client)
            if not connection.is_cut:
                await part(secured.stream)
        finally:
            self._described.pop(connection, None)
            await trio.aclose_forcefully(stream)

    async def _serve_connection(self, connection: Connection, client: str) -> None:
        self._connections[connection] = None
        try:
            if self._room.enter(connection, client):
                await connection.run()
            else:
                await connection.turn_away(self._room.connections_max)
        except Exception:  # noqa: BLE001 - logged; one connection must not end the server
            _log.exception("a connection from %s ended by an error of the server", client or "a stream")
        finally:
            self._connections.pop(connection, None)
            self._room.leave(connection)
            connection.end()
            self._changed.set()

    async def drain(self, grace_s: float) -> None:
        """Stop accepting and let requests end; answers say `Connection: close` from now on. At most `grace_s`.

        Then those at work are answered with 504: nobody knows what became of them.
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
            connection.give_up()
        with trio.move_on_after(HTTP_LINGER_S):
            await self._emptied()

    def problem_for(self, error: Exception, request: Request) -> Response:
        """The problem that an exception of the handler means."""
        return problem_for(error, request)

    def http_date(self) -> str:
        """The Date field, formatted once a second."""
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

    async def _emptied(self) -> None:
        while self._connections or self._room.handshakes:
            self._changed = trio.Event()
            await self._changed.wait()


async def serve(
    handler: Handler, config: WebConfig, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> NoReturn:
    """Serve `handler` until cancelled; started("host:port"). Raises AddressInUse, BadInput."""
    await WebServer(handler, config).run(task_status=task_status)


def _open_files_max() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
