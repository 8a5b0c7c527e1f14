"""What a slice method may take and give when it wants HTTP itself: requests, bodies that stream, responses, events.

Knows: their fields and what may stand in them.
Never: sockets, routes; how they travel between nodes (module http_exchange).
Holds: none of them can split an answer: no line break gets into a header, an id or a name.
Paper: RFC 9110; WHATWG HTML 9.2 (server-sent events).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs

from aether.errors import BadInput
from aether.model.limits import HTTP_BODY_BYTES_MAX

T = TypeVar("T")

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
SERVER_SETS: Final = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "te", "trailer", "transfer-encoding", "upgrade",
     "x-request-id"}
)  # fmt: skip
"""Headers, in lower case, that an answer gets from the server alone."""


@attrs.frozen(kw_only=True)
class Request:
    """The HTTP request behind a call: a parameter annotated `aether.Request`. All of it is plain data.

    verb        upper case
    path        raw, percent-encoded; query_text  raw, behind the `?`
    variables   of the path template, decoded; query  name -> every value, decoded
    headers     lower-case name -> value, repeated ones joined; cookies  by name
    body        all of it, b"" when a parameter annotated `aether.Body` streams it
    client      address of the peer at the node that took the request
    """

    verb: str
    path: str
    query_text: str = ""
    variables: Mapping[str, str] = attrs.field(factory=dict[str, str])
    query: Mapping[str, Sequence[str]] = attrs.field(factory=dict[str, Sequence[str]])
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    cookies: Mapping[str, str] = attrs.field(factory=dict[str, str])
    body: bytes = b""
    client: str = ""


class Body:
    """The body of a request, in two places.

    `Annotated[T, aether.Body()]`: T comes from the body; the only body parameter is the body itself.
    `upload: aether.Body`: the body as it arrives: `async for piece in upload`, or `await upload.read()`. It can be read
    once. In a unit test `aether.Body(b"...", content_type="text/csv")` is such a body.
    """

    def __init__(self, source: bytes | AsyncIterable[bytes] = b"", *, content_type: str = "") -> None:
        self._source = source
        self._begun = False
        self.content_type: str = content_type
        """As sent, "" when absent."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._begun:
            raise RuntimeError("this body was read before; it arrives once, so keep what you need")
        self._begun = True
        return _Whole(self._source) if isinstance(self._source, bytes) else aiter(self._source)

    async def read(self, bytes_max: int = HTTP_BODY_BYTES_MAX) -> bytes:
        """All of it. Raises BadInput when it is longer than `bytes_max`."""
        whole = bytearray()
        async for piece in self:
            whole += piece
            if len(whole) > bytes_max:
                raise BadInput("the body is too long", (f"body: expected at most {bytes_max} bytes",))
        return bytes(whole)

    def __repr__(self) -> str:
        return "Body()"


class _Whole:
    """Bytes that are all there, as one piece."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._piece:
            raise StopAsyncIteration
        piece, self._piece = self._piece, b""
        return piece


def _checked_headers(_instance: object, _attribute: object, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no header name")
        if name.lower() in SERVER_SETS:
            raise ValueError(f"header {name} is set by the server, not by a method")
        if name.lower() == "content-type":
            raise ValueError("a Response has its content type as `content_type=`")
        if _VALUE.fullmatch(value) is None:
            raise ValueError(f"header {name}: {value!r} holds a line break or a character outside Latin-1")


def _checked_status(_instance: object, _attribute: object, status: int) -> None:
    if type(status) is not int or not 200 <= status <= 599:
        raise ValueError(f"{status!r} is no final HTTP status")


def _checked_type(_instance: object, _attribute: object, content_type: str) -> None:
    if _VALUE.fullmatch(content_type) is None:
        raise ValueError(f"content type {content_type!r} holds a line break or a character outside Latin-1")


def _as_bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body)


@attrs.frozen
class Response:
    """An answer in full control of its method: `async def report(self) -> aether.Response`.

    body     the bytes, or text, sent as UTF-8
    headers  one value per name; ValueError for a line break, and for what the server sets itself
    stream   sent behind `body`, piece by piece, as long as it takes; closed when the client leaves
    """

    body: bytes = attrs.field(default=b"", converter=_as_bytes)
    status: int = attrs.field(default=200, kw_only=True, validator=_checked_status)
    content_type: str = attrs.field(default="application/octet-stream", kw_only=True, validator=_checked_type)
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], kw_only=True, validator=_checked_headers)
    stream: AsyncIterator[bytes] | None = attrs.field(default=None, kw_only=True, eq=False, repr=False)


@attrs.frozen
class ResponsePlain:
    """A Response that is whole, as it travels over a call."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str]


def _one_line(_instance: object, attribute: attrs.Attribute[Any], text: str) -> None:
    if any(mark in text for mark in "\r\n\0"):
        raise ValueError(f"the {attribute.name} of an event is one line, got {text!r}")


@attrs.frozen
class Event(Generic[T]):
    """An item of a stream that a browser's EventSource can take up again: `AsyncIterator[aether.Event[Tick]]`.

    data     as JSON; id  comes back as the header Last-Event-ID when the client connects again; name  "" = message
    retry_s  how long the client waits before it connects again
    """

    data: T
    id: str = attrs.field(default="", kw_only=True, validator=_one_line)
    name: str = attrs.field(default="", kw_only=True, validator=_one_line)
    retry_s: float | None = attrs.field(default=None, kw_only=True)
