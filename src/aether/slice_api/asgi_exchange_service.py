"""One request answered by an ASGI application.

Knows: the messages of ASGI's http protocol; how a request and an answer of a slice are spelt in them.
Never: which application; routes, sockets.
Holds: at most one piece of the answer waits to be taken, so a slow client slows the application. Until its answer is
       complete, the application is cancelled when nobody wants it any more; afterwards it may go on, as background
       tasks do.
Paper: ASGI 3.0, HTTP 2.4 (https://asgi.readthedocs.io/en/latest/specs/www.html).
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import trio

from aether.slice_api.current import current_call
from aether.slice_api.exchange import SERVER_SETS, Body, Request, Response

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

_log = logging.getLogger("aether.slice")

PIECE_BYTES_MAX: Final = 64 * 1024


class Exchange:
    """One run of an application. It is the stream of its answer too: pieces of the body."""

    def __init__(self, request: Request, content: Body, root: str, state: MutableMapping[str, Any]) -> None:
        self._request = request
        self._pieces_in = aiter(content)
        self._reading = trio.Lock()
        self._read = False
        self._scope = trio.CancelScope()
        self._started = trio.Event()
        self._over = trio.Event()  # the answer is complete, or the application has ended
        self._complete = False
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._error: Exception | None = None
        self._send_piece, self._pieces_out = trio.open_memory_channel[bytes](0)
        self._root = root
        self._state = state

    async def answer(self, application: Application, nursery: trio.Nursery, deadline_s: float) -> Response:
        """Run `application` in `nursery`; the answer as soon as it has begun, which must be within `deadline_s`.

        Raises what the application raises before that, RuntimeError when it ends without one, trio.TooSlowError.
        """
        outer = trio.current_effective_deadline()
        self._scope.deadline = min(outer, trio.current_time() + deadline_s)
        nursery.start_soon(self._run, application, name=f"{self._request.verb} {self._request.path}")
        try:
            await self._started.wait()
        except BaseException:
            self._scope.cancel()
            raise
        if not self._status:
            raise self._ended("before its answer began")
        if not self._complete:
            self._scope.deadline = outer
        content_type = next((value for name, value in self._headers if name == "content-type"), "")
        try:
            headers = _headers(self._headers)
            return Response(status=self._status, content_type=content_type, headers=headers, stream=self)
        except ValueError:  # no answer can begin like that, so nobody will ever take its body
            await self.aclose()
            raise

    async def _run(self, application: Application) -> None:
        try:
            with self._scope:
                await application(self._asgi_scope(), self._receive, self._send)
        except Exception as error:  # noqa: BLE001 - raised by whoever waits for the answer, else logged
            self._error = error
            if self._complete:  # nobody waits any more: a framework answers 500 first and raises then
                what = f"{self._request.verb} {self._request.path}"
                request_id = current_call().request_id
                _log.error(
                    "%s (request %s) was answered %d, and raised", what, request_id, self._status, exc_info=error
                )
        finally:
            self._over.set()
            self._started.set()
            self._send_piece.close()

    def _ended(self, when: str) -> Exception:
        if self._error is not None:
            return self._error
        return trio.TooSlowError() if self._scope.cancelled_caught else RuntimeError(f"the application ended {when}")

    # --- the application's side ---------------------------------------------------------------------------------------

    def _asgi_scope(self) -> Message:
        request = self._request
        host, _, port = request.headers.get("host", "").rpartition(":")
        named = (host, int(port)) if port.isdecimal() else (request.headers.get("host", ""), None)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.verb,
            "scheme": "http",
            "path": unquote(request.path),
            "raw_path": request.path.encode("ascii"),
            "query_string": request.query_text.encode("ascii"),
            "root_path": self._root,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()],
            "client": (request.client, 0) if request.client else None,
            "server": named,
            "state": self._state,
        }

    async def _receive(self) -> Message:
        async with self._reading:
            if not self._read:
                piece = await anext(self._pieces_in, None)
                self._read = piece is None
                return {"type": "http.request", "body": piece or b"", "more_body": not self._read}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start" if not self._status:
                fields = message.get("headers", ())
                self._headers = [(bytes(n).decode("latin-1").lower(), bytes(v).decode("latin-1")) for n, v in fields]
                self._status = int(message["status"])
                self._started.set()
            case "http.response.body" if self._status and not self._complete:
                body = bytes(message.get("body", b""))
                for at in range(0, len(body), PIECE_BYTES_MAX):
                    await self._send_piece.send(body[at : at + PIECE_BYTES_MAX])
                if not message.get("more_body", False):
                    self._complete = True
                    self._scope.deadline = float("inf")
                    self._over.set()
                    self._send_piece.close()
            case kind:
                raise RuntimeError(f"{kind!r} is not what may be sent now")

    # --- the reader's side --------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._pieces_out.receive()
        except trio.EndOfChannel:
            if self._complete:
                raise StopAsyncIteration from None
            raise self._ended("in the middle of its answer") from None
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Nobody wants the rest."""
        self._pieces_out.close()
        if not self._complete:
            self._scope.cancel()


def _headers(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """One value for each name. Cookies cannot be joined: each gets a spelling of the name for itself, which is the same
    name to every client.
    """
    found: dict[str, str] = {}
    spellings = iter(_COOKIES)
    for name, value in fields:
        if name == "set-cookie":
            spelt = next(spellings, None)
            if spelt is None:
                raise ValueError(f"an answer sets more than {len(_COOKIES)} cookies")
            found[spelt] = value
        elif name not in SERVER_SETS and name != "content-type":
            spelt = "-".join(part.capitalize() for part in name.split("-"))
            found[spelt] = f"{found[spelt]}, {value}" if spelt in found else value
    return found


_COOKIES: Final = tuple("Set-" + "".join(letters) for letters in itertools.product(*((c.upper(), c) for c in "cookie")))
