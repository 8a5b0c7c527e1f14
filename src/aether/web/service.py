"""The HTTP server: sockets to handlers and back.

Knows: listeners, connections, time limits, drain.
Never: who answers (the handler is passed in), routing.
Holds: per connection two tasks: one only reads, so that a client that leaves cancels its handler; one parses, answers
       and writes, in order, so that pipelined requests cannot overtake each other. A handler's exception costs one
       answer, never the connection.
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
from typing import Final, NoReturn, cast

import attrs
import trio

from aether.errors import AddressInUse, AetherError, BadInput, CallFailed
from aether.model import limits
from aether.web.connection import CONTINUE, LAST_CHUNK, HttpConnection, Refusal, Wait, encode_chunk, encode_response
from aether.web.problem import problem, problem_of
from aether.web.request import Handler, Request, Response

_log = logging.getLogger("aether.web")
_RECEIVE_BYTES: Final = 64 * 1024
_FILES_SHARE: Final = 3  # a listener takes a third of the files that this process may open: its disk needs some too


@attrs.frozen(kw_only=True)
class WebConfig:
    """How one listener is opened and bounded.

    bind, port         numeric address (or localhost) and port; 0 = any free one
    option             option that sets the port, named when the port is taken
    header_bytes_max   request line and header fields together; more is 431
    body_bytes_max     body after de-chunking; more is 413
    header_s, body_s   from the first byte of each to its end; then 408
    idle_s             between requests; then the connection is closed
    send_s             for a client to take one answer, or one part of it
    connections_max    open at once, and at most a third of the files that the process may open (ulimit -n); one more
                       takes the place of an idle one, or is turned away with 503
    held_bytes_max     received and not answered yet, over all connections; who sends more meanwhile gets 503
    """

    bind: str = "127.0.0.1"
    port: int = 0
    option: str = "--http-port"
    header_bytes_max: int = limits.HTTP_HEADER_BYTES_MAX
    body_bytes_max: int = limits.HTTP_BODY_BYTES_MAX
    header_s: float = limits.HTTP_HEADER_S
    body_s: float = limits.HTTP_BODY_S
    idle_s: float = limits.HTTP_IDLE_S
    send_s: float = limits.HTTP_SEND_S
    connections_max: int = limits.HTTP_CONNECTIONS_MAX
    held_bytes_max: int = limits.HTTP_HELD_BYTES_MAX


class WebServer:
    """One listener and its connections. `run` serves, `drain` ends it without a cut answer."""

    def __init__(self, handler: Handler, config: WebConfig) -> None:
        self.config = config
        self.draining: bool = False
        self.held = 0
        """Bytes received and not answered yet. Counted by the connections."""
        self._handler = handler
        self._accepting = trio.CancelScope()
        self._connections: dict[_Connection, None] = {}  # a set in the order of arrival
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
        async with trio.open_nursery() as nursery:
            task_status.started(address)
            with self._accepting:
                await trio.serve_listeners(self._accept, listeners, handler_nursery=nursery)
            await trio.sleep_forever()
        raise AssertionError("a server ends only by cancellation")

    async def serve_stream(self, stream: trio.abc.Stream, client: str = "") -> None:
        """Serve one connection until it ends, then close it. Never raises for what the peer does."""
        connection = _Connection(self, stream, client)
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
            connection.release(all_of_it=True)
            self._changed.set()
            await trio.aclose_forcefully(stream)

    async def drain(self, grace_s: float) -> None:
        """Stop accepting and let requests end; answers say `Connection: close` from now on. At most `grace_s`.

        Idle connections stay open for a part of the grace, since a client may be sending on one right now.
        """
        self.draining = True
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

    async def answer(self, request: Request) -> Response:
        """The handler's response, or the problem that its exception means."""
        try:
            return await self._handler(request)
        except Exception as error:  # noqa: BLE001 - logged; a handler's bug costs one answer
            return _problem_for(error, request)

    def http_date(self) -> str:
        """The Date field, formatted once a second."""
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

    async def _accept(self, stream: trio.SocketStream) -> None:
        try:
            client = str(stream.socket.getpeername()[0])
        except OSError:  # it left before it was accepted
            client = ""
        await self.serve_stream(stream, client)

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


class _Connection:
    """One connection: its reader, its worker, and the one cancel scope whose deadline follows the phase."""

    def __init__(self, server: WebServer, stream: trio.abc.Stream, client: str) -> None:
        self._server = server
        self._config = server.config
        self._stream = stream
        self._scope = trio.CancelScope()
        self._http = HttpConnection(
            header_bytes_max=self._config.header_bytes_max,
            body_bytes_max=self._config.body_bytes_max,
            new_request_id=server.new_request_id,
            client=client,
        )
        self._phase: Wait | None = None  # None: a request is being answered
        self._answering = False
        self._left = False
        self._discarding = False
        self._held = 0
        self._crowded = False
        self._arrived = trio.Event()
        self._consumed = trio.Event()

    async def run(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                await self._work()
                nursery.cancel_scope.cancel()
        if self._scope.cancelled_caught and not self._left and self._phase in (Wait.HEADER, Wait.BODY):
            await self._say_too_slow()

    def close_if_idle(self) -> bool:
        """Close, and True, when no request has begun and nothing arrived; False also when it is closing already."""
        idle = self._phase is Wait.IDLE and not self._arrived.is_set() and not self._scope.cancel_called
        if idle:
            self._scope.cancel()
        return idle

    def cut(self) -> None:
        """Close, whatever it is doing."""
        self._phase = None
        self._scope.cancel()

    async def turn_away(self, limit: int) -> None:
        """Say that the server has no room, then close."""
        response = problem(503, f"all {limit} connections are taken", self._server.new_request_id(), retry_after_s=1.0)
        with trio.move_on_after(limits.HTTP_LINGER_S):
            await self._send(response, "GET", self._server.new_request_id(), keep_alive=False)

    def release(self, *, all_of_it: bool = False) -> None:
        """What was answered is held no more."""
        kept = 0 if all_of_it else self._http.buffered
        self._server.held += kept - self._held
        self._held = kept

    # --- reader: the only one that receives -------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            while self._http.buffered > limits.HTTP_READ_AHEAD_BYTES and not self._discarding:
                self._consumed = trio.Event()
                await self._consumed.wait()
            try:
                data = await self._stream.receive_some(_RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                self._left = True
                self._arrived.set()
                if self._answering:  # nobody is there to read the answer: stop the work for it
                    self._scope.cancel()
                return
            if not self._discarding:
                self._http.receive(data)
                self._held += len(data)
                self._server.held += len(data)
                self._crowded = self._server.held > self._config.held_bytes_max
                self._arrived.set()

    # --- worker: the only one that sends ------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            step = self._http.next()
            self._consumed.set()
            if isinstance(step, Request):
                if not await self._serve(step):
                    return
                self.release()
            elif isinstance(step, Refusal):
                await self._refuse(step)
                return
            elif self._crowded and step is not Wait.IDLE:
                await self._refuse(Refusal(503, "requests that arrive take all the memory set apart for them"))
                return
            elif not await self._wait(step):
                return

    async def _serve(self, request: Request) -> bool:
        """Answer one request. False when the connection is to be closed."""
        if self._left:
            return False
        self._phase = None
        self._scope.deadline = float("inf")
        self._answering = True
        response = await self._server.answer(request)
        self._answering = False
        keep_alive = self._http.keep_alive and not self._server.draining
        return await self._send(response, request.verb, request.request_id, keep_alive=keep_alive) and keep_alive

    async def _wait(self, wanted: Wait) -> bool:
        """Wait for bytes, each phase inside its own time. False when the peer has left."""
        if wanted is Wait.CONTINUE:
            if not await self._write(CONTINUE):
                return False
            wanted = Wait.BODY
        if self._phase is not wanted:
            self._phase = wanted
            within_s = {Wait.IDLE: self._config.idle_s, Wait.HEADER: self._config.header_s}
            self._scope.deadline = trio.current_time() + within_s.get(wanted, self._config.body_s)
        if self._left:
            return False
        self._arrived = trio.Event()
        await self._arrived.wait()
        return True

    async def _refuse(self, refusal: Refusal) -> None:
        self._phase = None
        request_id = self._server.new_request_id()
        retry_after_s = 1.0 if refusal.status == 503 else None
        response = problem(refusal.status, refusal.detail, request_id, retry_after_s=retry_after_s)
        if not await self._send(response, "GET", request_id, keep_alive=False):
            return
        # Closing now, with bytes unread, would reset the connection and could take the answer with it (RFC 9112 9.6).
        self._discarding = True
        self._consumed.set()
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            with trio.move_on_after(limits.HTTP_LINGER_S):
                await self._half_close(self._stream)
                while not self._left:
                    self._arrived = trio.Event()
                    await self._arrived.wait()

    async def _half_close(self, stream: trio.abc.HalfCloseableStream) -> None:
        try:
            await stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._left = True

    async def _send(self, response: Response, verb: str, request_id: str, *, keep_alive: bool) -> bool:
        raw = encode_response(
            response, verb=verb, request_id=request_id, date=self._server.http_date(), keep_alive=keep_alive
        )
        if response.parts is None or verb == "HEAD":
            return await self._write(raw)
        for part in itertools.chain((raw,), map(encode_chunk, response.parts), (LAST_CHUNK,)):
            if not await self._write(part):
                return False
        return True

    async def _write(self, raw: bytes) -> bool:
        """Send `raw` inside send_s. False when the peer has left."""
        self._scope.deadline = trio.current_time() + self._config.send_s
        try:
            await self._stream.send_all(raw)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    async def _say_too_slow(self) -> None:
        what = "header" if self._phase is Wait.HEADER else "body"
        request_id = self._server.new_request_id()
        limit_s = self._config.header_s if self._phase is Wait.HEADER else self._config.body_s
        response = problem(408, f"the {what} was not complete after {limit_s:g} s", request_id)
        with trio.move_on_after(limits.HTTP_LINGER_S):
            await self._send(response, "GET", request_id, keep_alive=False)


def _lone_leaf(error: Exception) -> Exception:
    """What a nursery wrapped: the one exception inside groups of one; any other error as it is."""
    while isinstance(error, ExceptionGroup):
        inside = cast("ExceptionGroup[Exception]", error).exceptions
        if len(inside) != 1:
            return cast("Exception", error)
        error = inside[0]
    return error


def _problem_for(error: Exception, request: Request) -> Response:
    error = _lone_leaf(error)
    if isinstance(error, CallFailed):
        where = f"{request.verb} {request.path}"
        _log.error("%s failed (request %s): %s\n%s", where, request.request_id, error, error.remote_traceback)
    if isinstance(error, AetherError):
        return problem_of(error, request.request_id)
    if isinstance(error, trio.TooSlowError):
        detail = "the deadline passed before the answer was there; it may have happened"
        return problem(504, detail, request.request_id, kind="too-slow")
    _log.error("%s %s failed (request %s)", request.verb, request.path, request.request_id, exc_info=error)
    detail = f"an unexpected error; the log of this node has it under request {request.request_id}"
    return problem(500, detail, request.request_id, kind="unexpected")


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
