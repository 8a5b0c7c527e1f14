"""Streams and WebSockets end with the right to have them."""

from __future__ import annotations

import attrs
import pytest
import trio

from aether.management.access import SUBPROTOCOL, SUBPROTOCOL_TOKEN
from aether.management.endpoint import NO_BODY, Endpoint
from aether.management.lasting_service import lasting
from aether.model.access import Role
from aether.model.limits import RIGHT_LOOK_S
from aether.slice_api.http_body import EVENTS
from aether.web.request import Response
from aether.web.router import HttpRouter
from aether.web.send_service import Cut


async def ticks():
    for number in range(1_000):
        await trio.sleep(1)
        yield str(number).encode()


@attrs.define
class Right:
    held: bool = True

    def __call__(self) -> bool:
        return self.held


async def test_a_stream_ends_before_the_part_that_comes_too_late(autojump_clock):
    right = Right()
    source = ticks()
    parts = []
    async for part in lasting(Response(200, b"", EVENTS, stream=source), right).stream:
        parts.append(part)
        right.held = len(parts) < 3
    await source.aclose()

    assert parts == [b"0", b"1", b"2"]


async def test_what_would_look_whole_is_cut(autojump_clock):
    """A backup that ends early must not end as if it were all."""
    right = Right()
    source = ticks()
    stream = lasting(Response(200, b"", "application/octet-stream", stream=source), right).stream
    assert [await anext(stream) for _ in range(3)] == [b"0", b"1", b"2"]
    right.held = False
    with pytest.raises(Cut):
        await anext(stream)
    await source.aclose()


async def test_the_source_of_a_stream_is_closed_with_it():
    closed = []

    class Source:
        def __aiter__(self):
            return self

        async def __anext__(self):
            return b""

        async def aclose(self):
            closed.append(True)

    await lasting(Response(200, stream=Source()), Right()).stream.aclose()

    assert closed == [True]


async def test_a_websocket_ends_soon_after_the_right(autojump_clock):
    right = Right()

    async def upgrade(stream, rest):
        await trio.sleep(100)
        right.held = False
        await trio.sleep_forever()

    began = trio.current_time()
    await lasting(Response(101, upgrade=upgrade), right).upgrade(None, b"")

    assert 100 <= trio.current_time() - began <= 100 + RIGHT_LOOK_S


async def test_a_websocket_that_ends_by_itself_ends(autojump_clock):
    async def upgrade(stream, rest):
        await trio.sleep(1)

    began = trio.current_time()
    await lasting(Response(101, upgrade=upgrade), Right()).upgrade(None, b"")

    assert trio.current_time() - began == 1


async def test_an_answer_that_is_whole_is_left_alone():
    answer = Response(200, b"x")

    assert lasting(answer, Right()) is answer


async def test_a_page_opens_a_websocket_with_a_token_among_its_subprotocols(world, monkeypatch):
    """It can set no header field; a browser gives up unless one of its offers is chosen, and not the token."""
    text = world.tokens.add("page", Role.VIEWER)
    world.access = attrs.evolve(world.access, tokens=world.tokens.find)

    async def serve(actors, request, query, variables):
        async def upgrade(stream, rest):
            await trio.sleep_forever()

        return Response(101, b"", "", {"Upgrade": "websocket"}, upgrade=upgrade)

    endpoint = Endpoint(path="/ws/test", about="", role=Role.VIEWER, query=NO_BODY, serve=serve)
    table = HttpRouter([("GET", "/ws/test", endpoint)])
    monkeypatch.setattr("aether.management.table.router", lambda: table)

    def ask(offers):
        headers = {"sec-websocket-protocol": offers} if offers else {}
        return world.ask("GET", "/ws/test", token=None, headers=headers, client="198.51.100.7")

    assert (await ask("")).status == 401
    assert (await ask(SUBPROTOCOL)).status == 401
    assert (await ask(f"{SUBPROTOCOL}, {SUBPROTOCOL_TOKEN}aether_page_00")).status == 401
    opened = await ask(f"{SUBPROTOCOL}, {SUBPROTOCOL_TOKEN}{text}")
    assert opened.status == 101
    assert opened.response.headers["Sec-WebSocket-Protocol"] == SUBPROTOCOL


async def test_a_revoked_token_loses_its_open_streams(world, autojump_clock, monkeypatch):
    text = world.tokens.add("page", Role.VIEWER)
    world.access = attrs.evolve(world.access, tokens=world.tokens.find)
    source = ticks()

    async def serve(actors, request, query, variables):
        return Response(200, b"", EVENTS, stream=source)

    endpoint = Endpoint(path="/events/test", about="", role=Role.VIEWER, query=NO_BODY, serve=serve)
    table = HttpRouter([("GET", "/events/test", endpoint)])
    monkeypatch.setattr("aether.management.table.router", lambda: table)
    answer = await world.ask("GET", "/events/test", token=text)
    parts = []
    async for part in answer.response.stream:
        parts.append(part)
        if len(parts) == 5:
            await world.tokens.revoke("page")
    await source.aclose()

    assert len(parts) == 5
