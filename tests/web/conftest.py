"""Raw bytes against the server, over memory streams: no sockets, virtual time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from aether.web.config import WebConfig
from aether.web.request import Handler, Request, Response
from aether.web.service import WebServer

Connect = Callable[..., AbstractAsyncContextManager["Peer"]]


@attrs.define
class Reply:
    """One parsed response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Peer:
    """The client's end of one connection."""

    def __init__(self, stream: trio.StapledStream, server: WebServer) -> None:
        self.stream = stream
        self.server = server
        self._buffer = bytearray()

    async def send(self, text: str | bytes) -> None:
        await self.stream.send_all(text.encode("latin-1") if isinstance(text, str) else text)

    async def reply(self, *, to_head: bool = False) -> Reply:
        """The next whole response; interim responses are returned as replies without headers."""
        head = await self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = 0 if to_head else int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            await self._more()
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return Reply(int(first.split(" ")[1]), headers, body)

    async def ask(self, text: str | bytes) -> Reply:
        await self.send(text)
        return await self.reply()

    async def is_closed(self) -> bool:
        """Whether the server closed without saying anything more."""
        try:
            return not self._buffer and not await self.stream.receive_some()
        except trio.BrokenResourceError:
            return True

    async def leave(self) -> None:
        await trio.aclose_forcefully(self.stream)

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            await self._more()
        end = self._buffer.index(mark)
        found = bytes(self._buffer[:end])
        del self._buffer[: end + len(mark)]
        return found

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        assert data, f"closed in the middle of a response, after {bytes(self._buffer)!r}"
        self._buffer += data


async def echo(request: Request) -> Response:
    """Shows the request as the handler saw it."""
    shown = f"{request.verb} {request.path} {request.query_text} {request.body.decode('latin-1')}".strip()
    return Response(200, shown.encode("latin-1"), "text/plain")


@pytest.fixture
def connect() -> Connect:
    """`async with connect(handler, **limits) as peer`: a connection to a fresh server."""

    @asynccontextmanager
    async def opened(handler: Handler = echo, *, streams_body=None, **limits: object) -> AsyncIterator[Peer]:
        server = WebServer(handler, WebConfig(**limits), streams_body=streams_body)
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve_stream, theirs, "test")
            with trio.fail_after(600):
                yield Peer(ours, server)
            nursery.cancel_scope.cancel()

    return opened
