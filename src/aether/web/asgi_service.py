"""The HTTP port without a port: its handler as an ASGI application, for a server that runs under trio.

Knows: ASGI's http and lifespan messages, requests and responses of this room.
Never: sockets, framing (the server's), WebSockets: a server hands out messages where ours takes a connection.
Holds: as on the port: a body has a limit, a client that leaves cancels the work for it, every failure is a problem.
Paper: ASGI 3.0, HTTP 2.4, lifespan 2.0.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote

import attrs
import trio

from aether.errors import BadInput
from aether.model.limits import HTTP_BODY_BYTES_MAX, HTTP_STREAM_BYTES_MAX
from aether.web.answer import has_body
from aether.web.connection import REQUEST_ID
from aether.web.failure_service import problem_for
from aether.web.problem import problem
from aether.web.request import Handler, Request, Response

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_PRINTED: Final = "/!$&'()*+,;=:@%-._~"


class AsgiApplication:
    """`await application(scope, receive, send)`, in the trio run of the cluster.

    handler       answers; streams_body  whether the body of a (verb, path) is passed on as it arrives
    """

    def __init__(self, handler: Handler, streams_body: Callable[[str, str], bool]) -> None:
        self._handler = handler
        self._streams_body = streams_body
        prefix, numbers = secrets.token_hex(6), itertools.count(1)
        self._new_request_id: Callable[[], str] = lambda: f"{prefix}-{next(numbers)}"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection's scope. Raises RuntimeError for a kind that is not served, as ASGI wants it."""
        if not trio.lowlevel.in_trio_run():
            raise RuntimeError("cluster.asgi() runs in the cluster's own trio run: use hypercorn's trio worker")
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1003})
        else:
            raise RuntimeError(f"a scope of type {scope['type']!r} is not served")

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        request = _request(scope, self._new_request_id)
        reader = _Body(receive)
        async with trio.open_nursery() as nursery:
            response = await self._answer(request, reader, nursery)
            try:
                await _respond(response, request, send)
            finally:
                close = getattr(response.stream, "aclose", None)
                if close is not None:
                    await close()
            nursery.cancel_scope.cancel()

    async def _answer(self, request: Request, reader: _Body, nursery: trio.Nursery) -> Response:
        try:
            nursery.start_soon(reader.cancel_when_gone, nursery.cancel_scope)
            if self._streams_body(request.verb, request.path):
                request = attrs.evolve(request, body_stream=reader.pieces())
            else:
                request = attrs.evolve(request, body=await reader.whole())
            answer = self._handler(request)
            response = answer if isinstance(answer, Response) else await answer
        except _TooLong as error:
            return problem(413, str(error), request.request_id)
        except Exception as error:  # noqa: BLE001 - what it means is for the client, what it is for the log
            return problem_for(error, request)
        if response.upgrade is not None:
            return problem(501, "WebSockets are served on the HTTP port alone, not over ASGI", request.request_id)
        return response


class _TooLong(BadInput):
    """A body over its limit."""


class _Body:
    """The body of a request as messages bring it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._over = trio.Event()  # nobody reads it any more
        self._gone = False

    async def whole(self) -> bytes:
        found = bytearray()
        async for piece in self.pieces(HTTP_BODY_BYTES_MAX):
            found += piece
        return bytes(found)

    async def pieces(self, bytes_max: int = HTTP_STREAM_BYTES_MAX) -> AsyncIterator[bytes]:
        """Raises BadInput: too long, or the client has left."""
        seen, more = 0, True
        try:
            while more:
                message = await self._receive()
                self._gone = message["type"] == "http.disconnect"
                if self._gone:
                    raise BadInput("the client left before its request was complete")
                piece = bytes(message.get("body", b""))
                more = bool(message.get("more_body", False))
                seen += len(piece)
                if seen > bytes_max:
                    raise _TooLong(f"the body exceeds the limit of {bytes_max} bytes")
                if piece:
                    yield piece
        finally:
            self._over.set()

    async def cancel_when_gone(self, scope: trio.CancelScope) -> None:
        """Cancel the work for a client that leaves: a server that sends to nobody says nothing of it."""
        await self._over.wait()
        while not self._gone:
            self._gone = (await self._receive())["type"] == "http.disconnect"
        scope.cancel()


async def _respond(response: Response, request: Request, send: Send) -> None:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    if response.content_type and response.status not in (204, 304):
        fields.append((b"content-type", response.content_type.encode("latin-1")))
    whole = response.parts is None and response.stream is None
    if whole and response.status not in (204, 304):
        fields.append((b"content-length", str(len(response.body)).encode()))
    fields.append((b"x-request-id", request.request_id.encode("latin-1")))
    await send({"type": "http.response.start", "status": response.status, "headers": fields})
    follows = has_body(response, request.verb)
    if follows and not whole:
        if response.body:
            await send({"type": "http.response.body", "body": response.body, "more_body": True})
        for part in response.parts or ():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if response.stream is not None:
            async for part in response.stream:
                await send({"type": "http.response.body", "body": part, "more_body": True})
    body = response.body if whole and follows else b""
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _lifespan(receive: Receive, send: Send) -> None:
    """The cluster's own life is that of its block; there is nothing to start."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def _request(scope: Message, new_request_id: Callable[[], str]) -> Request:
    raw: bytes | None = scope.get("raw_path")
    path = quote(scope["path"], safe="/") if raw is None else raw.decode("latin-1").partition("?")[0]
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    client = scope.get("client")
    given = next((value for name, value in headers if name == "x-request-id"), "")
    return Request(
        verb=scope["method"],
        path=quote(_below(scope.get("root_path", ""), path), safe=_PRINTED),
        query_text=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        request_id=given if REQUEST_ID.fullmatch(given) else new_request_id(),
        client=client[0] if client else "",
    )


def _below(root: str, path: str) -> str:
    """What follows `root`, which is decoded, in the raw `path`; all of it where the server has cut `root` off."""
    roots, parts = root.rstrip("/").split("/"), path.split("/")
    if [unquote(part) for part in parts[: len(roots)]] != roots:
        return path
    return "/" + "/".join(parts[len(roots) :])
