"""Answers of the management port that last: streams of events, and WebSockets.

Knows: how many there may be at once, of all and of one client; heartbeats, that they end when the port closes.
Never: what is told to anybody, who may ask, who somebody is (told by a function).
Holds: what waits for one client is bounded, and a client that falls behind is ended, never buffered for; each answer
       gives its place back when its connection is done with it, however it ended.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import attrs
import trio

from aether.errors import Overloaded
from aether.model import limits
from aether.model.origins import network_of
from aether.web.leaving import Leaving
from aether.web.request import Request, Response
from aether.web.websocket import accept_headers, refusal
from aether.web.websocket_service import Message, Socket

EVENT_STREAM: Final = "text/event-stream"
_HEARTBEAT: Final = b":\n\n"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Accel-Buffering": "no"}


@attrs.frozen(kw_only=True)
class ServerEvent:
    """One event of a stream: its data in one line (JSON), a name and an id that a client comes back with, or ""."""

    data: str
    name: str = ""
    id: str = ""

    def encode(self) -> bytes:
        """As it stands in a stream (WHATWG HTML, section 9.2)."""
        fields = (("id", self.id), ("event", self.name), ("data", self.data))
        return "".join([f"{name}: {value}\n" for name, value in fields if value]).encode() + b"\n"


class Outbox:
    """Messages on their way to the client of one WebSocket; `put` never blocks."""

    def __init__(self, where: str, messages_max: int = limits.LIVE_MESSAGES_AHEAD) -> None:
        self._where = where
        self._messages_max = messages_max
        self._waiting: deque[Message] = deque()
        self._changed = trio.Event()
        self._left = trio.Event()
        self._end: Exception | None = None

    def put(self, message: Message) -> None:
        """Send `message` after those before it. To a client that takes none the connection ends (close code 1013)."""
        if self._end is not None:
            return
        if len(self._waiting) >= self._messages_max:
            self.end(Overloaded(f"a client of {self._where}", self._messages_max))
            return
        self._waiting.append(message)
        self._changed.set()

    def end(self, error: Exception | None = None) -> None:
        """No more follows; with an error what waits is dropped, and the client is told why."""
        if self._end is None:
            self._end = error or StopAsyncIteration()
            if error is not None:
                self._waiting.clear()
            self._changed.set()

    async def room(self) -> None:
        """Return once `put` would neither end the connection nor find it ended; for whoever can wait."""
        while self._end is not None or len(self._waiting) >= self._messages_max:
            self._left = trio.Event()
            await self._left.wait()

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        """Cancelled, it loses nothing."""
        while not self._waiting:
            if self._end is not None:
                raise self._end
            self._changed = trio.Event()
            await self._changed.wait()
        self._left.set()
        return self._waiting.popleft()


Talk = Callable[[trio.MemoryReceiveChannel[Message], Outbox], Awaitable[None]]
"""Serves one WebSocket: what the client sends, and where answers go. Cancelled when the client leaves; when it returns,
the WebSocket is closed."""


def by_address(request: Request) -> str:
    """Who asks, as far as its address says; "" where there is none."""
    return network_of(request.client) if request.client else ""


class Live:
    """All lasting answers of one management port. `leaving` begins when the port drains, and ends them.

    name_of  who asks, as it is counted; set by whoever knows
    """

    def __init__(self, clients_max: int = limits.LIVE_CLIENTS_MAX, of_one_max: int = limits.LIVE_OF_ONE_MAX) -> None:
        self.leaving: Leaving = Leaving()
        self.clients: int = 0
        self.name_of: Callable[[Request], str] = by_address
        self._of: Counter[str] = Counter()
        self._clients_max = clients_max
        self._of_one_max = of_one_max

    def stream(
        self, request: Request, events: AsyncIterator[ServerEvent], headers: Mapping[str, str] | None = None
    ) -> Response:
        """A stream of `events`, with a comment in each longer silence.

        events  cancelling a wait for the next one must lose nothing, which a generator cannot promise

        Raises Overloaded when too many clients listen, or this one too often.
        """
        place = self._take(request)
        body = _Stream(events, self.leaving, place)
        return Response(200, b"retry: 1000\n\n", EVENT_STREAM, {**_HEADERS, **(headers or {})}, stream=body)

    def socket(self, request: Request, talk: Talk, messages_max: int = limits.LIVE_MESSAGES_AHEAD) -> Response:
        """The answer to a request that wants a WebSocket; one that does not is refused. Raises Overloaded.

        messages_max  that wait for a client before it is taken for one that takes none
        """
        refused = refusal(request, None)
        if refused is not None:
            return refused
        place = self._take(request)

        async def upgrade(stream: trio.abc.Stream, rest: bytes) -> None:
            sender, receiver = trio.open_memory_channel[Message](limits.WEBSOCKET_MESSAGES_AHEAD)
            outbox = Outbox(request.path, messages_max)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_serve, talk, receiver, outbox)
                await Socket(stream, sender, request.path, self.leaving).run(outbox, rest)
                nursery.cancel_scope.cancel()

        return Response(101, b"", "", accept_headers(request), stream=_Nothing(place), upgrade=upgrade)

    def _take(self, request: Request) -> _Place:
        name = self.name_of(request)
        if self._of[name] >= self._of_one_max:
            what = f"the list of streams and WebSockets of {name} (close one of them)"
            raise Overloaded(what, self._of_one_max, retry_after_s=5.0)
        if self.clients >= self._clients_max:
            raise Overloaded("the management port's live answers", self._clients_max, retry_after_s=5.0)
        self.clients += 1
        self._of[name] += 1
        return _Place(self, name)

    def give_back(self, name: str) -> None:
        """One of `name` is over."""
        self.clients -= 1
        self._of[name] -= 1
        if not self._of[name]:
            del self._of[name]


async def _serve(talk: Talk, incoming: trio.MemoryReceiveChannel[Message], outbox: Outbox) -> None:
    try:
        await talk(incoming, outbox)
    except Exception as error:  # noqa: BLE001 - the socket tells the client, and logs what nobody expected
        outbox.end(error)
    else:
        outbox.end()


class _Place:
    """Of one client; given back once."""

    def __init__(self, live: Live, name: str) -> None:
        self._live: Live | None = live
        self._name = name

    def give_back(self) -> None:
        if self._live is not None:
            self._live.give_back(self._name)
            self._live = None


class _Nothing:
    """No parts: it gives the place back when the connection is done with its WebSocket."""

    def __init__(self, place: _Place) -> None:
        self._place = place

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._place.give_back()


class _Stream:
    """Events as parts of a response."""

    def __init__(self, events: AsyncIterator[ServerEvent], leaving: Leaving, place: _Place) -> None:
        self._events = events
        self._leaving = leaving
        self._place = place

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with trio.move_on_after(limits.HTTP_HEARTBEAT_S) as scope:
            self._leaving.add(scope.cancel)
            try:
                return (await anext(self._events)).encode()
            finally:
                self._leaving.forget(scope.cancel)
        if self._leaving.begun:  # the client connects again, to a node that stays
            raise StopAsyncIteration
        return _HEARTBEAT

    async def aclose(self) -> None:
        self._place.give_back()
