"""A request and a response as values.

Knows: verb, target, header fields, body; how query strings, cookies and media types are spelt.
Never: sockets, routing, who answers.
Holds: header names are lower case; no header of a Response can hold CR, LF or NUL, so no answer can be split in two.
Paper: RFC 9110 (semantics), RFC 6265 5.4 (cookies).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import attrs

from aether.errors import BadInput

if TYPE_CHECKING:
    from trio.abc import Stream

JSON_TYPE: Final = "application/json"
QUERY_FIELDS_MAX: Final = 1_000
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
OWN_HEADERS: Final = frozenset(
    {"content-length", "transfer-encoding", "connection", "date", "content-type", "x-request-id", "server"}
)
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class FieldList(tuple[tuple[str, str], ...]):
    """Header fields, (name in lower case, value) in order.

    What each request asks of them is read once: clients send the same fields again, and the parser remembers them.
    """

    @functools.cached_property
    def first(self) -> Mapping[str, str]:
        """The first value of each name."""
        return dict(reversed(self))

    @functools.cached_property
    def combined(self) -> dict[str, str]:
        """Values by name, repeated ones joined. To be copied by whoever gives it away."""
        joined: dict[str, str] = {}
        for name, value in self:
            if name in joined:
                separator = "; " if name == "cookie" else ", "
                joined[name] = f"{joined[name]}{separator}{value}"
            else:
                joined[name] = value
        return joined

    @functools.cached_property
    def cookies(self) -> dict[str, str]:
        """By name. To be copied by whoever gives it away."""
        found: dict[str, str] = {}
        for key, value in self:
            if key != "cookie":
                continue
            for piece in value.split(";"):
                name, equals, text = piece.strip().partition("=")
                if equals and name:
                    found.setdefault(name, text.removeprefix('"').removesuffix('"'))
        return found


@attrs.frozen(kw_only=True)
class Request:
    """One HTTP request, whole.

    verb        as sent, upper case for every verb that HTTP defines
    path        raw, still percent-encoded, from the first slash up to the query
    query_text  raw text after the first `?`
    headers     (name in lower case, value) in order; repeated fields stay apart
    body        all of it, de-chunked; never longer than the limit of the server
    request_id  the client's X-Request-Id when it is well formed, else made by the server
    client      address of the peer, "" when the stream has none
    identity    who the peer is by its certificate, checked before the first request; "" without one
    body_stream the body as it arrives, `body` being empty: for requests that `WebServer(..., streams_body=...)` picks
                May be iterated once. Ends by the client's departure with cancellation, by a bad body with BadInput
    """

    verb: str
    path: str
    query_text: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    request_id: str = ""
    client: str = ""
    identity: str = ""
    body_stream: AsyncIterator[bytes] | None = attrs.field(default=None, eq=False, repr=False)

    def header(self, name: str) -> str | None:
        """The value of the first field `name` (lower case), or None."""
        return self.fields.first.get(name)

    @property
    def fields(self) -> FieldList:
        """The headers by name, worked out once for each block that clients send again and again."""
        headers = self.headers
        return headers if isinstance(headers, FieldList) else FieldList(headers)

    @property
    def host(self) -> str:
        return self.header("host") or ""

    @property
    def content_type(self) -> str:
        """The media type in lower case, without its parameters; "" when there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    def query(self) -> dict[str, list[str]]:
        """Every query parameter with its values in order. Raises BadInput: bad encoding, over QUERY_FIELDS_MAX."""
        fields: dict[str, list[str]] = {}
        if not self.query_text:
            return fields
        try:
            pairs = parse_qsl(self.query_text, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
        except ValueError as error:
            raise BadInput("the query string cannot be read", (f"query: {error}",)) from error
        for name, value in pairs:
            fields.setdefault(name, []).append(value)
        return fields

    def cookies(self) -> dict[str, str]:
        """Cookies by name; the first of a name wins. Pieces without `=` are skipped, as browsers never send them."""
        return dict(self.fields.cookies)

    def combined_headers(self) -> dict[str, str]:
        """Header fields by name; repeated ones are joined by a comma (RFC 9110 5.2), cookies by a semicolon."""
        return dict(self.fields.combined)


class CheckedFields(dict[str, str]):
    """Fields of many answers, checked and spelt once. Nobody changes them.

    Raises ValueError, as Response does.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(fields)
        _check(fields)
        self.spelt: str = spelt(fields)
        """As they stand in a header, each with its line break."""


def spelt(fields: Mapping[str, str]) -> str:
    """Fields as they stand in a header."""
    return "".join([f"{name}: {value}\r\n" for name, value in fields.items()])


def _check(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no header name")
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"header {name} is set by the server, not by a handler")
        if _HEADER_VALUE.fullmatch(value) is None:
            raise ValueError(f"header {name}: {value!r} holds a line break or a character outside Latin-1")


Upgrade = Callable[["Stream", bytes], Awaitable[None]]
"""Owns a connection after 101: (the connection, bytes received behind the request)."""


@attrs.frozen
class Response:
    """One HTTP response. The server adds Content-Length, Date, Connection and X-Request-Id.

    status   200 to 599; 101 with `upgrade` alone
    headers  one value per name; no CR, LF or NUL (ValueError)
    parts    sent behind `body` one by one, for an answer too large to hold at once (chunked; to an HTTP/1.0 client as
             bytes up to the end of the connection). Each is taken in the event loop when the one before has left, so it
             must be cheap to make; an exception in the middle ends the connection, which the client sees as an
             incomplete answer
    stream   the same, but the parts are awaited, as long as they like. Its task is cancelled when the client leaves or
             takes no bytes, and `aclose`, where it has one, is called at the end in any case, also after HEAD
    upgrade  for 101: gets the connection and the bytes that came behind the request; the connection is closed when it
             returns, and it is cancelled at the end of a drain. The server adds `Connection: Upgrade`; `headers` name
             the protocol in `Upgrade`
    """

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    parts: Iterable[bytes] | None = attrs.field(default=None, eq=False, repr=False)
    stream: AsyncIterator[bytes] | None = attrs.field(default=None, eq=False, repr=False)
    upgrade: Upgrade | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def is_plain(self) -> bool:
        """Whether a header and `body` are all of it."""
        return self.parts is None and self.stream is None and self.upgrade is None

    def __attrs_post_init__(self) -> None:
        if self.headers.__class__ is not CheckedFields:
            _check(self.headers)
        if not (200 <= self.status <= 599 or (self.status == 101 and self.upgrade is not None)):
            raise ValueError(f"{self.status} is no final HTTP status")
        if self.content_type != JSON_TYPE and _HEADER_VALUE.fullmatch(self.content_type) is None:
            raise ValueError(f"content type {self.content_type!r} holds a line break")


Handler = Callable[[Request], "Response | Awaitable[Response]"]
"""Answers one request, at once or when what it returns is awaited. An exception becomes a problem (room web.problem);
cancellation means that the client left."""


_encode: Final[Callable[[object], str]] = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as JSON in UTF-8. Raises ValueError (NaN, infinity) and TypeError (no JSON form).

    Half a character (a lone surrogate, which UTF-8 has not) is escaped, as JSON may: what a client sent can be shown.
    """
    return Response(status, _encode(value).encode(errors="backslashreplace"), JSON_TYPE, headers or {})


def text_response(text: str, status: int = 200) -> Response:
    return Response(status, text.encode(), "text/plain; charset=utf-8")
