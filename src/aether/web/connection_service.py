"""One connection at work: requests in, answers out, in order.

Knows: the phases of a connection and the time that each may take.
Never: who answers, how bytes are spelt.
Holds: one task, which parses, answers and writes, so that pipelined requests cannot overtake each other. Beside a
       handler that is at work for longer than a moment another one only reads, so that a client that leaves cancels it.
       No deadline costs a cancel scope: the clock moves them, the one scope of the connection cuts.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Final

import attrs
import trio

from aether.errors import OutcomeUnknown
from aether.model import limits
from aether.web.accept_service import is_here
from aether.web.answer import CONTINUE, LAST_CHUNK, encode_response, has_body
from aether.web.attendant_service import Attendant
from aether.web.checked_head import Refusal
from aether.web.clock_service import Clock
from aether.web.connection import HttpConnection, Wait
from aether.web.deadlines import NEVER, Pace, Timer
from aether.web.failure_service import BodyRefused
from aether.web.line_service import line_of
from aether.web.phase import Phase
from aether.web.problem import RETRY_AFTER_S, problem, problem_of
from aether.web.ready_service import Ready
from aether.web.receive_service import Receiver
from aether.web.request import Handler, Request, Response, Upgrade
from aether.web.send_service import Sender
from aether.web.serving import Server, spelt

TOO_MUCH: Final = Refusal(503, "this process has more requests than it can answer in time")
_WATCH_S: Final = limits.HTTP_WATCH_S


class Connection:
    """One connection, its parser, and the one cancel scope that ends it."""

    __slots__ = (
        "_at_once", "_at_work", "_attendant", "_begun", "_body_pace", "_clock", "_config", "_given_up", "_handler",
        "_http", "_input", "_lasts", "_line", "_phase", "_scope", "_send", "_send_pace", "_server", "_stream", "_timer",
    )  # fmt: skip

    def __init__(
        self,
        server: Server,
        clock: Clock,
        stream: trio.abc.Stream,
        client: str,
        identity: str = "",
        handler: Handler | None = None,
        ready: Ready | None = None,
    ) -> None:
        self._server = server
        self._handler = handler or server.handler
        self._config = config = server.config
        self._clock = clock
        self._stream = stream
        self._line = line_of(stream)
        self._send = Sender(self._line, self._wait_to_send)
        self._scope = trio.CancelScope()
        self._http = HttpConnection(
            header_bytes_max=config.header_bytes_max,
            body_bytes_max=config.body_bytes_max,
            stream_bytes_max=config.stream_bytes_max,
            new_request_id=server.new_request_id,
            streams_body=server.streams_body,
            heads=server.heads,
            client=client,
            identity=identity,
        )
        self._input = Receiver(self._line, self._http, clock, server, self._scope.cancel)
        self._attendant = Attendant(self._http, self._input, self._line, server, self._handler, ready, self._idles)
        self._at_once = False
        """Whether the last request was answered in one step: then the next may be, while this task sleeps."""
        self._timer = Timer(self._passed)
        self._phase = Phase.CLOSING
        self._body_pace: Pace | None = None
        self._send_pace: Pace | None = None
        self._lasts = False  # whether it may last as long as its client likes
        self._at_work: Request | None = None
        self._given_up: Request | None = None
        self._begun = False
        """Whether the parts of an answer are on their way: nothing else may be said in between."""

    async def run(self) -> None:
        """Serve until the peer leaves, or a limit is passed."""
        with self._scope:
            await self._work()
        if not self._scope.cancelled_caught or self._input.left or self._begun:
            return
        if self._phase in (Phase.HEADER, Phase.BODY):
            await self._say_too_slow()
        elif self._given_up is not None:
            await self._say_unknown(self._given_up)

    @property
    def is_answering(self) -> bool:
        """Whether a handler is at work, or its answer on its way."""
        return self._phase is Phase.ANSWER or self._phase is Phase.SEND

    @property
    def may_be_cut(self) -> bool:
        """Whether its client keeps it open: by a request or an answer on its way, a WebSocket, a stream."""
        return self._lasts or self._phase in (Phase.HEADER, Phase.BODY, Phase.SEND)

    def close_if_idle(self) -> bool:
        """Close, and True, when no request has begun; False also when it is closing already."""
        if self._phase is not Phase.IDLE:
            return False
        self._phase = Phase.CLOSING
        if not self._attendant.wake():
            self._line.interrupt()
        return True

    def cut(self) -> None:
        """Close, whatever it is doing."""
        self._phase = Phase.CLOSING
        self._scope.cancel()

    def give_up(self) -> None:
        """Close; a client that waits for a handler gets the answer that nobody knows what became of its request."""
        if self._phase is not Phase.SEND:
            self._given_up = self._at_work
        self.cut()

    @property
    def is_cut(self) -> bool:
        """Whether something other than the peer, or the end of its last answer, ended it."""
        return self._scope.cancel_called

    async def turn_away(self, limit: int) -> None:
        """Say that the server has no room, then close."""
        with trio.move_on_after(limits.HTTP_LINGER_S):
            await self._send_problem(503, f"all {limit} connections are taken")

    def end(self) -> None:
        """Nothing is held or timed any more."""
        self._timer.end()
        self._input.end()
        self._line.end()

    # --- time ---

    def _passed(self, now_s: float) -> None:
        """The clock says that the deadline of the phase has passed."""
        phase = self._phase
        pace = self._body_pace if phase is Phase.BODY else self._send_pace if phase is Phase.SEND else None
        if phase is Phase.ANSWER:
            self._input.begin_watch()
        elif phase is Phase.IDLE:
            self.close_if_idle()
        elif pace is not None and (left_s := pace.left_s(now_s)) > 0:
            self._clock.set(self._timer, now_s + left_s)
        elif phase is not Phase.ARRIVED:
            self._scope.cancel()

    def _begin(self, phase: Phase, within_s: float) -> None:
        self._phase = phase
        self._clock.set(self._timer, trio.current_time() + within_s)

    def _begin_answer(self) -> None:
        """A handler, or the stream of an answer, is at work; watched only if it still is a moment later."""
        self._phase = Phase.ANSWER
        self._input.working = True
        # Times on a grid: connections wake the clock together.
        self._clock.set(self._timer, (trio.current_time() // _WATCH_S + 2) * _WATCH_S)

    # --- the worker ---

    async def _work(self) -> None:
        http, server, attendant = self._http, self._server, self._attendant
        while True:
            step, attendant.step = attendant.step or http.next(), None
            if isinstance(step, Request):
                if server.gate.closed and attendant.begun is None:
                    self._phase = Phase.ARRIVED
                    if not await server.gate.passed():
                        await self._refuse(TOO_MUCH)
                        return
                    if not is_here(self._stream):
                        return
                if not await self._serve(step):
                    if self._server.leaves and not self._input.left:
                        await self._linger()  # the client learns only now that it should send nothing more here
                    return
                self._input.release()
                if http.buffered:  # pipelined: others come first
                    await trio.lowlevel.checkpoint()
            elif isinstance(step, Refusal):
                await self._refuse(step)
                return
            elif server.held > server.config.held_bytes_max and step is not Wait.IDLE:
                await self._refuse(Refusal(503, "requests that arrive take all the memory set apart for them"))
                return
            elif not await self._wait(step):
                return

    async def _serve(self, request: Request) -> bool:
        """Answer one request. False when the connection is to be closed."""
        if self._input.left:
            return False
        http, server = self._http, self._server
        if http.streaming:
            request = attrs.evolve(request, body_stream=self._body_parts())
        self._at_once = False
        try:
            begun, self._attendant.begun = self._attendant.begun, None
            answer = begun or self._handler(request)
            if isinstance(answer, Response):
                response, self._at_once = answer, True
            else:
                self._at_work = request
                self._begin_answer()
                response = await answer
        except Exception as error:  # noqa: BLE001 - logged; a handler's bug costs one answer
            response = server.problem_for(error, request)
        self._input.working, self._at_work = False, None
        self._send_pace = None
        if http.streaming or not response.is_plain:
            return await self._deliver(response, request)
        keep_alive = http.keep_alive and not self._server.leaves
        return await self._send.all_of(spelt(server, http, response, request, keep_alive=keep_alive)) and keep_alive

    async def _deliver(self, response: Response, request: Request) -> bool:
        """An answer that is more than a header and a body, or one to a request whose body nobody may have read."""
        http = self._http
        lengthless = response.parts is not None or response.stream is not None
        try:
            keep_alive = self._body_ended() and http.keep_alive and not self._server.leaves
            keep_alive = keep_alive and response.upgrade is None and (http.speaks_1_1 or not lengthless)
            if not await self._send.all_of(spelt(self._server, http, response, request, keep_alive=keep_alive)):
                return False
            if response.upgrade is not None:
                await self._upgrade(response.upgrade)
            elif lengthless and has_body(response, request.verb) and not await self._send_rest(response):
                return False
            if http.streaming and not keep_alive:
                await self._linger()
            return keep_alive
        finally:
            close = getattr(response.stream, "aclose", None)
            if close is not None:
                await close()

    def _body_ended(self) -> bool:
        """Whether the next request can be found: what has come of a body that nobody wanted is thrown away."""
        while isinstance(part := self._http.next_part(), bytes):
            pass
        return part is None

    async def _send_rest(self, response: Response) -> bool:
        """The parts of an answer whose beginning is sent, and its end."""
        chunked = self._http.speaks_1_1
        self._begun = True
        here = response.parts is None or await self._send.parts(response.parts, chunked=chunked)
        if here and response.stream is not None:
            self._begin_answer()
            self._lasts = True
            here = await self._send.stream(response.stream, chunked=chunked)
            self._lasts = self._input.working = False
        self._begun = False
        return here and (not chunked or await self._send.all_of(LAST_CHUNK))

    async def _upgrade(self, upgrade: Upgrade) -> None:
        self._phase = Phase.ANSWER
        self._lasts = True
        self._clock.set(self._timer, NEVER)
        await self._input.end_watch()
        if not self._input.left:
            await upgrade(self._stream, self._http.take_rest())

    async def _wait(self, wanted: Wait) -> bool:
        """Wait for bytes, each phase inside its own time. False when the peer has left."""
        if wanted is Wait.IDLE:
            if self._phase is Phase.ARRIVED:  # an empty line: still idle, since when it was
                self._phase = Phase.IDLE
                self._input.release()  # it is thrown away: who sends nothing else must not fill the memory of all
            else:
                self._begin(Phase.IDLE, self._config.idle_s)
            sleeps = self._at_once and self._attendant.is_possible
            here = await (self._asleep if sleeps else self._input.more)()
            if self._phase is Phase.IDLE:
                self._phase = Phase.ARRIVED
            return here
        if wanted is Wait.HEADER:
            if self._phase is not Phase.HEADER:
                self._begin(Phase.HEADER, self._config.header_s)
            return await self._input.more()
        if self._phase is not Phase.BODY:
            self._body_pace = None
        return await self._wait_body(wanted)

    async def _asleep(self) -> bool:
        """Wait for something to do: what can be answered at once is, meanwhile. False when the peer has left."""
        await self._attendant.stand_in()
        if self._phase is Phase.CLOSING:
            return self._input.take_now() and self._http.buffered > 0
        rest, self._attendant.rest, self._send_pace = self._attendant.rest, b"", None
        return not self._input.left and (not rest or await self._send.all_of(rest))

    def _idles(self) -> None:
        self._clock.set(self._timer, trio.current_time() + self._config.idle_s)

    async def _wait_body(self, wanted: Wait) -> bool:
        if wanted is Wait.CONTINUE and not await self._send.all_of(CONTINUE):
            return False
        self._phase = Phase.BODY
        if self._body_pace is None:
            self._body_pace = Pace(self._config.body_s, self._config.body_bytes_per_s_min)
        pace, held = self._body_pace, self._input.held
        self._clock.set(self._timer, pace.begin(trio.current_time()))
        try:
            return await self._input.more()
        finally:
            pace.end(trio.current_time(), self._input.held - held)

    async def _body_parts(self) -> AsyncIterator[bytes]:
        """The body of the request at work, as it arrives."""
        self._body_pace = None
        while (part := self._http.next_part()) is not None:
            if isinstance(part, bytes):
                self._input.release()
                yield part
            elif isinstance(part, Refusal):
                raise BodyRefused(part)
            else:
                await self._await_body(part)

    async def _await_body(self, wanted: Wait) -> None:
        """Wait, in the handler's name, for more of its body. A client that leaves cancels it."""
        try:
            if not await self._wait_body(wanted):
                self._scope.cancel()
                await trio.lowlevel.checkpoint()
        finally:
            if not self._scope.cancel_called:
                self._begin_answer()

    # --- the worker's last words ---

    async def _refuse(self, refusal: Refusal) -> None:
        if await self._send_problem(refusal.status, refusal.detail):
            await self._linger()

    async def _linger(self) -> None:
        """Throw away what still comes, for a moment.

        Closing now, with bytes unread, would reset the connection and could take the answer with it (RFC 9112 9.6).
        """
        self._phase = Phase.CLOSING
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            ended = contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError)
            with trio.move_on_after(limits.HTTP_LINGER_S), ended:
                await self._stream.send_eof()
                await self._input.discard()

    async def _say_too_slow(self) -> None:
        if self._phase is Phase.HEADER:
            why = f"the header was not complete after {self._config.header_s:g} s"
        else:
            why = f"the body kept us waiting for more than {self._config.body_s:g} s"
        with trio.move_on_after(limits.HTTP_LINGER_S):
            await self._send_problem(408, why)

    async def _say_unknown(self, request: Request) -> None:
        why = "this node leaves, and the time that requests had to end is over: this one may have been carried out"
        answer = problem_of(OutcomeUnknown(why), request.request_id)
        self._send_pace = None
        with trio.move_on_after(limits.HTTP_LINGER_S):
            await self._send.all_of(spelt(self._server, self._http, answer, request, keep_alive=False))

    async def _send_problem(self, status: int, detail: str) -> bool:
        """Say, as the last answer, what is wrong. The id is new: no request, or no whole one, brought its own."""
        request_id = self._server.new_request_id()
        retry_after_s = RETRY_AFTER_S if status == 503 else None
        response = problem(status, detail, request_id, retry_after_s=retry_after_s)
        self._send_pace = None
        date = self._server.http_date()
        raw = encode_response(response, verb="GET", request_id=request_id, date=date, keep_alive=False)
        return await self._send.all_of(raw)

    async def _wait_to_send(self, rest: memoryview) -> int:
        """Send some of `rest` inside the time of its answer."""
        self._phase = Phase.SEND
        if self._send_pace is None:
            self._send_pace = Pace(self._config.send_s, self._config.send_bytes_per_s_min)
        pace = self._send_pace
        self._clock.set(self._timer, pace.begin(trio.current_time()))
        sent = await self._line.send(rest)
        pace.end(trio.current_time(), sent)
        if self._input.working:
            self._begin_answer()
        return sent
