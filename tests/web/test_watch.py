"""Who reads while a handler is at work: over real sockets, where the memory streams of other tests have other code."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from aether.web.config import WebConfig
from aether.web.request import Handler, Request, Response, text_response
from aether.web.service import WebServer

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Served:
    """A server with one client; the handler says when it begins and waits to be let go."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.go = trio.Event()
        self.ended: list[str] = []

    async def hold(self, request: Request) -> Response:
        self.begun.set()
        try:
            await self.go.wait()
        except trio.Cancelled:
            self.ended.append("cancelled")
            raise
        return text_response(request.path)


async def connected(nursery: trio.Nursery, handler: Handler) -> tuple[WebServer, trio.SocketStream]:
    server = WebServer(handler, WebConfig())
    host, _, port = (await nursery.start(server.run)).rpartition(":")
    return server, await trio.open_tcp_stream(host, int(port))


async def emptied(server: WebServer) -> None:
    with trio.fail_after(10):
        await server._emptied()


async def test_a_client_that_leaves_cancels_its_handler():
    """The kernel says so only to somebody who reads."""
    served = Served()
    async with trio.open_nursery() as nursery:
        server, stream = await connected(nursery, served.hold)
        await stream.send_all(GET)
        await served.begun.wait()
        await stream.aclose()
        await emptied(server)
        assert served.ended == ["cancelled"]
        nursery.cancel_scope.cancel()


async def test_what_arrives_while_a_handler_is_at_work_is_served_after_it():
    """The watcher has read it; and the request after that comes to a watcher that still reads, and wakes the worker."""
    served = Served()
    async with trio.open_nursery() as nursery:
        server, stream = await connected(nursery, served.hold)
        await stream.send_all(GET)
        await served.begun.wait()
        (connection,) = server._connections
        with trio.fail_after(10):
            while connection._input._watch is None:
                await trio.sleep(0.001)
            await stream.send_all(b"GET /second HTTP/1.1\r\nHost: x\r\n\r\nGET /th")
            while not connection._http.buffered:
                await trio.sleep(0.001)
            served.go.set()
            answers = b""
            while answers.count(b"HTTP/1.1 200 OK") < 2 or not answers.endswith(b"/second"):
                answers += await stream.receive_some()
            for path in (b"ird", b"", b""):
                await stream.send_all(b"%b HTTP/1.1\r\nHost: x\r\n\r\n" % (path or b"GET /again"))
                answer = b""
                while not answer.endswith((b"/third", b"/again")):
                    answer += await stream.receive_some()
        await stream.aclose()
        await emptied(server)
        assert served.ended == []
        nursery.cancel_scope.cancel()


async def test_a_stream_without_a_word_ends_when_its_reader_leaves():
    """Nothing is sent, so no write can fail: only who reads can know."""
    begun, ended = trio.Event(), trio.Event()

    async def silence() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            begun.set()
            await trio.sleep_forever()
        finally:
            ended.set()

    async def handler(request: Request) -> Response:
        return Response(200, stream=silence())

    async with trio.open_nursery() as nursery:
        server, stream = await connected(nursery, handler)
        await stream.send_all(GET)
        await begun.wait()
        await stream.aclose()
        with trio.fail_after(10):
            await ended.wait()
        await emptied(server)
        nursery.cancel_scope.cancel()


async def test_a_protocol_takes_the_socket_over_from_a_watcher():
    """Two readers of one socket would each get half."""
    served = Served()

    async def shout(stream: trio.abc.Stream, early: bytes) -> None:
        assert isinstance(stream, trio.SocketStream)
        await stream.send_all(early.upper())
        while data := await stream.receive_some():
            await stream.send_all(data.upper())

    async def handler(request: Request) -> Response:
        await served.hold(request)
        return Response(101, content_type="", headers={"Upgrade": "shout"}, upgrade=shout)

    async with trio.open_nursery() as nursery:
        server, stream = await connected(nursery, handler)
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n")
        await served.begun.wait()
        (connection,) = server._connections
        with trio.fail_after(10):
            while connection._input._watch is None:
                await trio.sleep(0.001)
            served.go.set()
            head = await stream.receive_some()
            assert head.startswith(b"HTTP/1.1 101 ")
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"HELLO"
        await stream.aclose()
        await emptied(server)
        nursery.cancel_scope.cancel()
