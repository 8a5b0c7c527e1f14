"""Answers of the management port that last, over a real connection of the web server in virtual time."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable

import pytest
import trio
import trio.testing
import wsproto.events as ws
from wsproto import ConnectionType, WSConnection

from aether.errors import Overloaded
from aether.management.live_service import Live, Outbox, ServerEvent
from aether.model import limits
from aether.web.config import WebConfig
from aether.web.request import Request, Response
from aether.web.service import WebServer

KEY = base64.b64encode(bytes(16)).decode()


class Ticks:
    """An event each second."""

    def __init__(self, every_s: float = 1.0) -> None:
        self.every_s = every_s
        self.number = 0

    def __aiter__(self) -> AsyncIterator[ServerEvent]:
        return self

    async def __anext__(self) -> ServerEvent:
        await trio.sleep(self.every_s)
        self.number += 1
        return ServerEvent(data=f'{{"n":{self.number}}}', name="tick", id=str(self.number))


async def received(client: trio.abc.Stream, wanted: bytes) -> bytes:
    """All up to and including `wanted`."""
    found = b""
    with trio.fail_after(120):
        while wanted not in found:
            part = await client.receive_some(65536)
            if not part:
                raise EOFError(found)
            found += part
    return found


async def serving(nursery: trio.Nursery, live: Live, handler: Callable[[Request], Response]):
    async def answer(request: Request) -> Response:
        return handler(request)

    server = WebServer(answer, WebConfig(), leaving=live.leaving)
    client, stream = trio.testing.memory_stream_pair()
    nursery.start_soon(server.serve_stream, stream)
    return server, client


async def opened(client: trio.abc.Stream) -> WSConnection:
    wire = WSConnection(ConnectionType.CLIENT)
    await client.send_all(wire.send(ws.Request(host="x", target="/ws")))
    head = b""
    while not any(isinstance(event, ws.AcceptConnection) for event in wire.events()):
        head = bytes(await client.receive_some(65536))
        wire.receive_data(head)
    return wire


def asking(client):
    return Request(verb="GET", path="/events", client=client)


async def next_event(client: trio.abc.Stream, wire: WSConnection, kind: type[ws.Event]) -> ws.Event:
    with trio.fail_after(120):
        while True:
            for event in wire.events():
                if isinstance(event, kind):
                    return event
            wire.receive_data(bytes(await client.receive_some(65536)) or None)


async def test_events_arrive_with_their_name_and_the_id_that_a_client_comes_back_with(autojump_clock, nursery):
    live = Live()
    _, client = await serving(nursery, live, lambda request: live.stream(request, Ticks()))
    await client.send_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    text = await received(client, b'"n":2')
    assert b"content-type: text/event-stream" in text.lower()
    assert b'id: 1\nevent: tick\ndata: {"n":1}\n\n' in text


async def test_a_comment_breaks_each_silence_and_loses_no_event(autojump_clock, nursery):
    live = Live()
    _, client = await serving(nursery, live, lambda request: live.stream(request, Slow()))
    await client.send_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    text = await received(client, b"data: late")
    assert text.count(b":\n\n") == 2


class Slow:
    """One event, later than two heartbeats; cancelling a wait loses nothing."""

    def __init__(self) -> None:
        self.due = trio.current_time() + 2.5 * limits.HTTP_HEARTBEAT_S

    def __aiter__(self) -> AsyncIterator[ServerEvent]:
        return self

    async def __anext__(self) -> ServerEvent:
        await trio.sleep_until(self.due)
        self.due += 1000
        return ServerEvent(data="late")


async def test_a_stream_ends_when_the_port_drains_and_gives_its_place_back(autojump_clock, nursery):
    live = Live()
    server, client = await serving(nursery, live, lambda request: live.stream(request, Slow()))
    await client.send_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    await received(client, b"retry")
    assert live.clients == 1
    began = trio.current_time()
    await server.drain(10)
    assert trio.current_time() - began < 2
    assert live.clients == 0


async def test_one_client_too_many_is_told_to_come_back_later(autojump_clock, nursery):
    live = Live(clients_max=1)
    live.stream(asking("192.0.2.1"), Ticks())
    with pytest.raises(Overloaded, match="the management port's"):
        live.stream(asking("192.0.2.2"), Ticks())


async def test_one_client_does_not_take_the_places_of_all(autojump_clock, nursery):
    """Of one address, or of a whole network where somebody can have many of them; and gets each place back."""
    live = Live(of_one_max=2)
    first, _ = (live.stream(asking("2001:db8::1"), Ticks()) for _ in range(2))
    with pytest.raises(Overloaded, match=r"of 2001:db8::/64 \(close one of them\)"):
        live.stream(asking("2001:db8::2"), Ticks())
    live.stream(asking("192.0.2.1"), Ticks())
    await first.stream.aclose()
    await first.stream.aclose()
    live.stream(asking("2001:db8::2"), Ticks())
    assert live.clients == 3


async def test_who_says_its_name_is_counted_by_it_wherever_it_comes_from(autojump_clock, nursery):
    live = Live(of_one_max=1)
    live.name_of = lambda request: "ann"
    live.stream(asking("192.0.2.1"), Ticks())
    with pytest.raises(Overloaded, match="of ann"):
        live.stream(asking("192.0.2.2"), Ticks())


async def test_a_websocket_answers_what_its_client_says(autojump_clock, nursery):
    live = Live()

    async def echo(incoming: trio.MemoryReceiveChannel[str | bytes], outbox: Outbox) -> None:
        async for message in incoming:
            outbox.put(f"you said {message}")

    _, client = await serving(nursery, live, lambda request: live.socket(request, echo))
    wire = await opened(client)
    await client.send_all(wire.send(ws.TextMessage(data="hello")))
    event = await next_event(client, wire, ws.TextMessage)
    assert isinstance(event, ws.TextMessage)
    assert event.data == "you said hello"


async def test_a_websocket_is_closed_when_its_talk_returns(autojump_clock, nursery):
    live = Live()

    async def short(incoming: trio.MemoryReceiveChannel[str | bytes], outbox: Outbox) -> None:
        outbox.put("bye")

    _, client = await serving(nursery, live, lambda request: live.socket(request, short))
    wire = await opened(client)
    await next_event(client, wire, ws.TextMessage)
    close = await next_event(client, wire, ws.CloseConnection)
    assert isinstance(close, ws.CloseConnection)
    assert close.code == 1000
    await client.send_all(wire.send(close.response()))
    await trio.sleep(5)
    assert live.clients == 0


async def test_a_client_that_falls_behind_is_closed_and_not_buffered_for(autojump_clock, nursery):
    live = Live()

    async def flood(incoming: trio.MemoryReceiveChannel[str | bytes], outbox: Outbox) -> None:
        for number in range(limits.LIVE_MESSAGES_AHEAD + 1):
            outbox.put(str(number))
        await trio.sleep_forever()

    _, client = await serving(nursery, live, lambda request: live.socket(request, flood))
    wire = await opened(client)
    close = await next_event(client, wire, ws.CloseConnection)
    assert isinstance(close, ws.CloseConnection)
    assert close.code == 1013


async def test_a_request_that_opens_no_websocket_is_told_how(autojump_clock, nursery):
    live = Live()

    async def never(incoming: trio.MemoryReceiveChannel[str | bytes], outbox: Outbox) -> None:
        raise AssertionError("nobody connected")

    _, client = await serving(nursery, live, lambda request: live.socket(request, never))
    await client.send_all(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 426 " in await received(client, b"\r\n\r\n")
    assert live.clients == 0


async def test_a_page_of_another_origin_opens_no_websocket(autojump_clock, nursery):
    """A browser sends cookies and certificates along, whoever's page asks."""
    live = Live()

    async def never(incoming: trio.MemoryReceiveChannel[str | bytes], outbox: Outbox) -> None:
        raise AssertionError("a stranger connected")

    _, client = await serving(nursery, live, lambda request: live.socket(request, never))
    head = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    await client.send_all(f"GET /ws HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n{head}\r\n".encode())
    assert b" 403 " in await received(client, b"\r\n\r\n")


async def test_an_outbox_hands_out_what_it_took_before_it_ends():
    outbox = Outbox("/ws")
    outbox.put("one")
    outbox.end()
    outbox.put("two")
    assert [message async for message in outbox] == ["one"]
