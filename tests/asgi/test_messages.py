"""The port as an ASGI application, message by message: what a server may say, and when."""

import pytest
import trio

from aether.errors import BadInput
from aether.web.asgi_service import AsgiApplication
from aether.web.request import Response


def scope_of(path, **more):
    return {"type": "http", "method": "POST", "path": path, "headers": [], **more}


class Server:
    """A server that says `messages` one after the other, and nothing more until the client leaves."""

    def __init__(self, *messages):
        self.messages = list(messages)
        self.left = trio.Event()
        self.sent = []

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)


def piece(content, *, more=False):
    return {"type": "http.request", "body": content, "more_body": more}


async def read_whole(request):
    return b"".join([part async for part in request.body_stream])


# --- a client that leaves ---------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_behind_its_streamed_body_ends_the_work(autojump_clock):
    """A server takes what is sent to nobody, so an answer without end would never end."""
    reached, bodies = trio.Event(), []

    async def ticks():
        while True:
            await trio.sleep(1)
            yield b"tick"

    async def handler(request):
        bodies.append(await read_whole(request))
        reached.set()
        return Response(200, stream=ticks())

    server = Server(piece(b"ab", more=True), piece(b"c"))
    application = AsgiApplication(handler, lambda *_: True)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(application, scope_of("/"), server.receive, server.send)
            await reached.wait()
            await trio.sleep(5.5)
            server.left.set()
    assert bodies == [b"abc"]
    assert [message.get("body") for message in server.sent] == [None, *[b"tick"] * 5]


async def test_a_client_that_leaves_while_a_method_works_on_its_streamed_body_cancels_it(autojump_clock):
    reached = trio.Event()

    async def handler(request):
        await read_whole(request)
        reached.set()
        await trio.sleep_forever()

    server = Server(piece(b"abc"))
    application = AsgiApplication(handler, lambda *_: True)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(application, scope_of("/"), server.receive, server.send)
            await reached.wait()
            server.left.set()
    assert server.sent == []


async def test_what_a_method_leaves_of_a_streamed_body_is_passed_over_up_to_the_end_of_the_client(autojump_clock):
    reached = trio.Event()

    async def handler(request):
        pieces = request.body_stream
        await anext(pieces)
        await pieces.aclose()
        reached.set()
        await trio.sleep_forever()

    server = Server(piece(b"a", more=True), piece(b"b", more=True), piece(b"c"))
    application = AsgiApplication(handler, lambda *_: True)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(application, scope_of("/"), server.receive, server.send)
            await reached.wait()
            server.left.set()
    assert server.sent == []


async def test_a_client_that_leaves_within_its_body_ends_a_method_that_bears_it(autojump_clock):
    async def handler(request):
        with pytest.raises(BadInput, match="left"):
            await read_whole(request)
        await trio.sleep_forever()

    server = Server(piece(b"a", more=True), {"type": "http.disconnect"})
    with trio.fail_after(60):
        await AsgiApplication(handler, lambda *_: True)(scope_of("/"), server.receive, server.send)
    assert server.sent == []


# --- below a path -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (scope_of("/api/x", root_path="/api", raw_path=b"/api/x"), "/x"),
        (scope_of("/api", root_path="/api", raw_path=b"/api"), "/"),
        (scope_of("/x", root_path="/api", raw_path=b"/x"), "/x"),
        (scope_of("/apiary/x", root_path="/api", raw_path=b"/apiary/x"), "/apiary/x"),
        (scope_of("/apiary/x", root_path="/api"), "/apiary/x"),
        (scope_of("/api/x", root_path="/api/", raw_path=b"/api/x"), "/x"),
        (scope_of("/my app/x", root_path="/my app", raw_path=b"/my%20app/x"), "/x"),
        (scope_of("/my app/x", root_path="/my app"), "/x"),
        (scope_of("/k\u00e4se/x", root_path="/k\u00e4se", raw_path=b"/k%c3%a4se/x"), "/x"),
        (scope_of("/api/a/b", root_path="/api", raw_path=b"/api/a%2Fb"), "/a%2Fb"),
        (scope_of("/x", root_path="/", raw_path=b"/x"), "/x"),
    ],
)
async def test_the_path_is_what_follows_the_root_path(scope, seen, autojump_clock):
    async def handler(request):
        return Response(200, body=request.path.encode())

    server = Server(piece(b""))
    await AsgiApplication(handler, lambda *_: False)(scope, server.receive, server.send)
    assert server.sent[-1]["body"].decode() == seen
