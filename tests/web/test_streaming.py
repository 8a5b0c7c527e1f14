"""Answers and bodies that come in parts, and connections that become something else: over memory streams."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from aether.web.config import WebConfig
from aether.web.request import Request, Response, text_response
from aether.web.service import WebServer

GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def all_of(peer) -> bytes:
    raw = b""
    while data := await peer.stream.receive_some(65536):
        raw += data
    return raw


async def until(peer, end: bytes) -> bytes:
    raw = b""
    while not raw.endswith(end):
        data = await peer.stream.receive_some(65536)
        assert data, raw
        raw += data
    return raw


class Ticks:
    """A stream of numbers, one a second, that remembers how it ended."""

    def __init__(self, count: int = 10**6) -> None:
        self.count = count
        self.ended: list[str] = []

    async def parts(self) -> AsyncIterator[bytes]:
        try:
            for number in range(self.count):
                await trio.sleep(1)
                yield b"%d " % number
            self.ended.append("whole")
        except trio.Cancelled:
            self.ended.append("cancelled")
            raise
        except GeneratorExit:
            self.ended.append("closed")
            raise

    async def __call__(self, request: Request) -> Response:
        return Response(200, content_type="text/plain", stream=self.parts())


async def test_each_part_leaves_when_it_is_made_and_the_connection_lives_on(connect, autojump_clock):
    """Events, progress, answers of a model: their reader must not wait for the end."""
    async with connect(Ticks(3)) as peer:
        for _ in range(2):
            began = trio.current_time()
            await peer.send(GET)
            assert b"Transfer-Encoding: chunked\r\n" in await until(peer, b"\r\n\r\n")
            assert trio.current_time() == began
            assert await until(peer, b"2\r\n0 \r\n") == b"2\r\n0 \r\n"
            assert trio.current_time() - began == pytest.approx(1)
            assert await until(peer, b"0\r\n\r\n") == b"2\r\n1 \r\n2\r\n2 \r\n0\r\n\r\n"


async def test_a_client_of_http_1_0_gets_bytes_up_to_the_end(connect, autojump_clock):
    """It cannot read chunks; parts that are made at once go the same way."""

    async def handler(request: Request) -> Response:
        return Response(200, b"a", "text/plain", parts=(b"b", b"", b"c"))

    for answered, body in ((Ticks(3), b"0 1 2 "), (handler, b"abc")):
        async with connect(answered) as peer:
            await peer.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n")
            head, _, rest = (await all_of(peer)).partition(b"\r\n\r\n")
            assert rest == body
            assert b"Connection: close" in head
            assert b"Transfer-Encoding" not in head
            assert b"Content-Length" not in head


async def test_a_client_that_leaves_cancels_the_stream_and_closes_it(connect, autojump_clock):
    """What feeds a stream, a subscription or a call to another node, ends with its reader."""
    ticks = Ticks()
    async with connect(ticks) as peer:
        await peer.send(GET)
        await until(peer, b"2\r\n0 \r\n")
        await peer.leave()
        await trio.testing.wait_all_tasks_blocked()
        assert ticks.ended == ["cancelled"]
        assert not peer.server._connections


async def test_a_stream_that_is_not_sent_is_closed_too(connect):
    """HEAD, and a client that has gone before the first part: whoever made the stream waits for its end."""
    ended: list[str] = []

    class Stream:
        def __aiter__(self):
            return self

        async def __anext__(self) -> bytes:
            ended.append("asked")
            raise StopAsyncIteration

        async def aclose(self) -> None:
            ended.append("closed")

    async def handler(request: Request) -> Response:
        return Response(200, stream=Stream())

    async with connect(handler) as peer:
        await peer.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await peer.reply(to_head=True)).status == 200
        await trio.testing.wait_all_tasks_blocked()
        assert ended == ["closed"]
        await peer.send(GET)
        await until(peer, b"0\r\n\r\n")
        assert ended == ["closed", "asked", "closed"]


async def test_a_stream_that_fails_is_cut_short_visibly(connect, caplog):
    """Half an answer must not look whole; the log says why."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"part"
        raise RuntimeError("no more")

    async def handler(request: Request) -> Response:
        return Response(200, stream=parts())

    async with connect(handler) as peer:
        await peer.send(GET)
        assert (await all_of(peer)).endswith(b"4\r\npart\r\n")
    assert "no more" in caplog.text


@pytest.mark.parametrize("kind", ["body", "parts", "stream"])
async def test_a_client_that_takes_a_whole_answer_too_slowly_is_cut(kind, autojump_clock):
    """A byte now and then would hold a task and an answer for ever: the whole answer has a least rate."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100

    async def handler(request: Request) -> Response:
        if kind == "body":
            return Response(200, b"x" * 10_000_000)
        if kind == "parts":
            return Response(200, parts=(b"x" * 100 for _ in range(10**6)))
        return Response(200, stream=endless())

    taken = 0

    class SlowReader(trio.abc.Stream):
        """Takes 100 bytes a second: each part alone would be inside any limit."""

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            if taken:
                await trio.sleep_forever()
            return GET.encode()

        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            nonlocal taken
            taken += len(data)
            await trio.sleep(len(data) / 100)

        async def wait_send_all_might_not_block(self) -> None: ...

        async def aclose(self) -> None: ...

    server = WebServer(handler, WebConfig(send_s=30.0, send_bytes_per_s_min=1_000))
    began = trio.current_time()
    await server.serve_stream(SlowReader())
    assert 30 <= trio.current_time() - began < 40


async def test_a_stream_may_pause_for_as_long_as_it_likes(connect, autojump_clock):
    """The time of a client counts only while it is waited for."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            await trio.sleep(150)
            yield b"x"

    async def handler(request: Request) -> Response:
        return Response(200, stream=parts())

    async with connect(handler, send_s=30.0) as peer:
        await peer.send(GET)
        assert (await until(peer, b"0\r\n\r\n")).count(b"1\r\nx\r\n") == 3


# --- upgrades ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler_s", [0, 5])
async def test_after_101_the_connection_belongs_to_the_protocol(connect, autojump_clock, handler_s):
    """Bytes behind the request are the protocol's, also those that were read while the handler was at work."""

    async def shout(stream: trio.abc.Stream, early: bytes) -> None:
        await stream.send_all(early.upper())
        while data := await stream.receive_some(100):
            await stream.send_all(data.upper())

    async def handler(request: Request) -> Response:
        await trio.sleep(handler_s)
        return Response(101, content_type="", headers={"Upgrade": "shout"}, upgrade=shout)

    async with connect(handler) as peer:
        await peer.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nab")
        await trio.sleep(1)
        await peer.send("c")
        reply = await peer.reply()
        assert reply.status == 101
        assert reply.headers["connection"] == "Upgrade"
        assert reply.headers["upgrade"] == "shout"
        assert "content-length" not in reply.headers
        await trio.sleep(300)
        await peer.send("d")
        while len(peer._buffer) < 4:
            await peer._more()
        assert peer._buffer == b"ABCD"
        await peer.stream.send_stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert not peer.server._connections


def test_101_needs_a_protocol():
    with pytest.raises(ValueError, match="101"):
        Response(101)


# --- bodies -----------------------------------------------------------------------------------------------------------


def streams(verb: str, path: str) -> bool:
    return verb == "POST"


async def collect(request: Request) -> Response:
    if request.body_stream is None:
        return text_response(f"whole {len(request.body)}")
    sizes = [len(part) async for part in request.body_stream]
    return text_response(f"{sum(sizes)} in {len(sizes)}")


async def test_a_body_is_read_as_it_comes(connect, autojump_clock):
    """An upload of a gigabyte needs no gigabyte; and its first bytes need not wait for the last."""
    seen: list[bytes] = []

    async def handler(request: Request) -> Response:
        assert request.body_stream is not None
        async for part in request.body_stream:
            seen.append(part)
        return text_response("done")

    async with connect(handler, streams_body=streams) as peer:
        for head, pieces in (
            ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", ["abc", "def", "ghi"]),
            (CHUNKED, ["3\r\nabc\r\n", "3\r\ndef\r\n", "3\r\nghi\r\n0\r\n\r\n"]),
        ):
            seen.clear()
            await peer.send(head)
            for piece, so_far in zip(pieces, (b"abc", b"abcdef", b"abcdefghi"), strict=True):
                await peer.send(piece)
                await trio.sleep(1)
                assert b"".join(seen) == so_far
            assert (await peer.reply()).body == b"done"


async def test_a_streamed_body_may_be_larger_than_one_in_memory_and_only_picked_requests_stream(connect):
    """Of a million bytes never more than the read-ahead lies in memory."""
    async with connect(collect, streams_body=streams, body_bytes_max=1_000) as peer:
        text = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + "x" * 1_000_000 + GET
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.send, text)
            assert (await peer.reply()).body.startswith(b"1000000 in ")
            assert (await peer.reply()).body == b"whole 0"
        assert (await peer.ask("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")).body == b"whole 3"
        assert (await peer.ask("POST / HTTP/1.1\r\nHost: x\r\n\r\n")).body == b"0 in 0"


async def test_a_slow_handler_holds_its_sender_up(connect, autojump_clock):
    """Nothing buffers without a bound: what the handler has not taken waits in the client."""
    most = 0

    async def handler(request: Request) -> Response:
        nonlocal most
        assert request.body_stream is not None
        async for _ in request.body_stream:
            await trio.sleep(1)
            most = max(most, peer.server.held)
        return text_response("done")

    async with connect(handler, streams_body=streams) as peer:
        text = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + "x" * 3_000_000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.send, text)
            assert (await peer.reply()).body == b"done"
    assert most < 200_000


async def test_100_is_said_when_the_handler_wants_the_body(connect, autojump_clock):
    """A handler that refuses saves its client the sending."""

    async def handler(request: Request) -> Response:
        assert request.body_stream is not None
        await trio.sleep(1)
        if request.path == "/no":
            return Response(403)
        return text_response(str([part async for part in request.body_stream]))

    head = " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    async with connect(handler, streams_body=streams) as peer:
        await peer.send("POST /yes" + head)
        assert (await peer.reply()).status == 100
        assert (await peer.ask("ab")).body == b"[b'ab']"
        reply = await peer.ask("POST /no" + head)
        assert (reply.status, reply.headers["connection"]) == (403, "close")
        assert await peer.is_closed()


async def test_a_body_that_nobody_reads_ends_the_connection_unless_all_of_it_is_here(connect, autojump_clock):
    """Where the next request begins would be unknown."""

    async def handler(request: Request) -> Response:
        return text_response("no thanks")

    async with connect(handler, streams_body=streams) as peer:
        reply = await peer.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        assert "connection" not in reply.headers
        reply = await peer.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\nabc")
        assert reply.headers["connection"] == "close"
        assert await peer.is_closed()


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (CHUNKED + "5\r\nabcde\r\n6\r\nabcdef\r\n", 413),
        (CHUNKED + "zz\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n", 413),
    ],
)
async def test_a_bad_streamed_body_is_refused_and_the_connection_closed(connect, autojump_clock, text, status):
    """The same answers as for a body in memory, though its handler is at work already."""
    async with connect(collect, streams_body=streams, stream_bytes_max=10) as peer:
        reply = await peer.ask(text)
        assert (reply.status, reply.headers["connection"]) == (status, "close")
        assert await peer.is_closed()


async def test_a_client_that_leaves_in_the_middle_of_its_body_cancels_the_handler(connect, autojump_clock):
    """Half an upload must not look like a whole one."""
    ended: list[str] = []

    async def handler(request: Request) -> Response:
        assert request.body_stream is not None
        try:
            async for _ in request.body_stream:
                pass
        except trio.Cancelled:
            ended.append("cancelled")
            raise
        ended.append("whole")
        return Response(204)

    async with connect(handler, streams_body=streams) as peer:
        await peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nabc")
        await trio.sleep(1)
        await peer.leave()
        await trio.testing.wait_all_tasks_blocked()
        assert ended == ["cancelled"]
        assert not peer.server._connections


async def test_a_streamed_body_that_drips_is_cut_with_408(connect, autojump_clock):
    """The least rate holds here too; what the handler takes for itself does not count."""

    async def handler(request: Request) -> Response:
        assert request.body_stream is not None
        async for _ in request.body_stream:
            await trio.sleep(100)
        return Response(204)

    async with connect(handler, streams_body=streams, body_s=30.0) as peer:
        await peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nabc")
        reply = await peer.reply()
        assert reply.status == 408
        assert trio.current_time() == pytest.approx(130, abs=0.1)


async def test_a_handler_may_give_up_on_a_body(connect, autojump_clock):
    """Its own deadline ends the wait, not the connection's."""

    async def handler(request: Request) -> Response:
        assert request.body_stream is not None
        with trio.move_on_after(5):
            async for _ in request.body_stream:
                pass
        await trio.sleep(100)
        return Response(503)

    async with connect(handler, streams_body=streams) as peer:
        reply = await peer.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nabc")
        assert (reply.status, reply.headers["connection"]) == (503, "close")
        assert trio.current_time() == pytest.approx(105, abs=0.1)
