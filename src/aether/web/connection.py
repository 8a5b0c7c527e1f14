"""One HTTP/1.1 connection as bytes in, requests out, responses to bytes.

Knows: framing, limits on header and body, keep-alive, 100-continue, which messages are dangerous.
Never: sockets, clocks, handlers. Its owner feeds bytes and carries out what it is told.
Holds: after a Refusal the connection must be closed, because where the next request begins is unknown;
       of bytes that could be read in two ways (Content-Length with Transfer-Encoding, repeated Host) none is served.
Paper: RFC 9112 (3.2 target, 6.1 and 6.3 framing, 9.3 persistence), RFC 9110 10.1.1 (Expect).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Final

import attrs
import h11

from aether.web.ordinary import HOST, Head, parse_ordinary
from aether.web.problem import TITLES
from aether.web.request import Request, Response

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_ABSOLUTE = re.compile(r"https?://([^/?#]+)(.*)", re.IGNORECASE)
_NO_BODY: Final = frozenset({204, 304})


class Wait(enum.Enum):
    """What the connection waits for."""

    IDLE = "idle"  # the first byte of a request
    HEADER = "header"
    BODY = "body"
    CONTINUE = "continue"  # the body, and the client wants CONTINUE first: said once per request


@attrs.frozen
class Refusal:
    """The bytes are no request that may be served: answer `status` and close."""

    status: int
    detail: str


class _Refused(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.refusal = Refusal(status, detail)


class HttpConnection:
    """Requests of one connection, in order.

    header_bytes_max  request line and fields together; more is 431
    body_bytes_max    after de-chunking; more is 413, said before the body is read when its length is declared
    new_request_id    makes an id for a request that brings none
    ordinary          read ordinary requests without h11, which gives the same requests in less time
    """

    def __init__(
        self,
        *,
        header_bytes_max: int,
        body_bytes_max: int,
        new_request_id: Callable[[], str],
        client: str = "",
        ordinary: bool = True,
    ) -> None:
        self._header_bytes_max = header_bytes_max
        self._body_bytes_max = body_bytes_max
        self._new_request_id = new_request_id
        self._client = client
        self._ordinary = ordinary
        self._buffer = bytearray()
        self._parser: h11.Connection | None = None
        self._fed = 0
        self._head: Head | None = None
        self._body = bytearray()
        self._continue_said = False
        self._refusal: Refusal | None = None
        self.keep_alive: bool = True
        """Whether the connection may serve another request after the one returned last."""

    @property
    def buffered(self) -> int:
        """Bytes received that no request has begun to use."""
        return 0 if self._head is not None else len(self._buffer)

    def receive(self, data: bytes | bytearray) -> None:
        """Take `data` as it came from the peer."""
        self._buffer += data

    def next(self) -> Request | Wait | Refusal:
        """The next whole request, or what is missing for it, or why there is none."""
        if self._refusal is not None:
            return self._refusal
        try:
            return self._advance()
        except _Refused as refused:
            self._refusal = refused.refusal
        except h11.RemoteProtocolError as error:
            self._refusal = Refusal(error.error_status_hint, f"the bytes are no HTTP/1.1 request: {error}")
        self.keep_alive = False
        return self._refusal

    def _advance(self) -> Request | Wait:
        if self._parser is not None:
            return self._pump(self._parser)
        if self._head is None:
            while self._buffer.startswith(b"\r\n"):  # RFC 9112 2.2: an old client may end a body with one too many
                del self._buffer[:2]
            if len(self._buffer) == self._buffer.startswith(b"\r"):  # nothing, or half a line break
                return Wait.IDLE
            if not (self._ordinary and self._begin_ordinary()):
                self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=self._header_bytes_max)
                return self._pump(self._parser)
        return self._complete_ordinary()

    def _begin_ordinary(self) -> bool:
        """Whether an ordinary request begins here, whose head is taken off the buffer then."""
        found = parse_ordinary(self._buffer, self._header_bytes_max)
        if found is None or (found[0].content_length or 0) > self._body_bytes_max:
            return False
        self._head, size = found
        del self._buffer[:size]
        return True

    def _complete_ordinary(self) -> Request | Wait:
        head = self._head
        assert head is not None
        length = head.content_length or 0
        if len(self._buffer) < length:
            return Wait.BODY
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._head = None
        return self._request(head, body)

    def _pump(self, parser: h11.Connection) -> Request | Wait:
        if self._buffer:
            self._fed += len(self._buffer)
            parser.receive_data(bytes(self._buffer))
            self._buffer.clear()
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Request):
                self._begin(event, parser)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._body_bytes_max:
                    raise _Refused(413, f"the body exceeds the limit of {self._body_bytes_max} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return self._complete(parser)
            else:
                return self._waiting(parser)

    def _begin(self, event: h11.Request, parser: h11.Connection) -> None:
        if self._fed - len(parser.trailing_data[0]) > self._header_bytes_max:
            raise _Refused(431, f"the header exceeds the limit of {self._header_bytes_max} bytes")
        self._head = _checked_head(event)
        length = self._head.content_length
        if length is not None and length > self._body_bytes_max:
            raise _Refused(413, f"a body of {length} bytes exceeds the limit of {self._body_bytes_max} bytes")

    def _waiting(self, parser: h11.Connection) -> Wait:
        if self._head is None:
            return Wait.HEADER
        if parser.they_are_waiting_for_100_continue and not self._continue_said:
            self._continue_said = True
            return Wait.CONTINUE
        return Wait.BODY

    def _complete(self, parser: h11.Connection) -> Request:
        head = self._head
        assert head is not None
        request = self._request(head, bytes(self._body))
        self._buffer = bytearray(parser.trailing_data[0])
        self._parser, self._head, self._fed, self._continue_said = None, None, 0, False
        self._body.clear()
        return request

    def _request(self, head: Head, body: bytes) -> Request:
        self.keep_alive = head.keep_alive
        given = next((value for name, value in head.headers if name == "x-request-id"), "")
        return Request(
            verb=head.verb,
            path=head.path,
            query_text=head.query_text,
            headers=head.headers,
            body=body,
            request_id=given if _REQUEST_ID.fullmatch(given) else self._new_request_id(),
            client=self._client,
        )


def _checked_head(event: h11.Request) -> Head:
    version = event.http_version
    if version not in (b"1.1", b"1.0"):
        raise _Refused(505, f"HTTP/{version.decode('ascii')} is not spoken here; use HTTP/1.1")
    headers = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers)
    names = [name for name, _ in headers]
    if "transfer-encoding" in names and ("content-length" in names or version == b"1.0"):
        raise _Refused(400, "a message with Transfer-Encoding has no Content-Length and is HTTP/1.1")
    fields = dict(headers)
    authority, path, query_text = _target(event.method.decode("ascii"), event.target.decode("ascii"))
    host = fields.get("host", "")
    if names.count("host") > 1 or HOST.fullmatch(host) is None:
        raise _Refused(400, f"the Host field {host[:80]!r} is no host name")
    if authority is not None:  # RFC 9112 3.2.2: an absolute target replaces Host
        headers = (*((n, v) for n, v in headers if n != "host"), ("host", authority))
    options = {token.strip().lower() for name, value in headers if name == "connection" for token in value.split(",")}
    length = fields.get("content-length")
    return Head(
        verb=event.method.decode("ascii"),
        path=path,
        query_text=query_text,
        headers=headers,
        keep_alive=version == b"1.1" and "close" not in options,
        content_length=int(length) if length is not None else None,
    )


def _target(verb: str, target: str) -> tuple[str | None, str, str]:
    """(authority of an absolute target, path, query) of a request target."""
    authority: str | None = None
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is not None and HOST.fullmatch(absolute[1]):
            authority, target = absolute[1], absolute[2]
            target = target if target.startswith("/") else f"/{target}"
        elif not (target == "*" and verb == "OPTIONS"):
            raise _Refused(400, f"the target {target[:80]!r} is no path; begin it with /")
    if "#" in target:
        raise _Refused(400, "a target carries no fragment; encode # as %23")
    path, _, query_text = target.partition("?")
    return authority, path, query_text


_REASONS: Final = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 304: "Not Modified", **TITLES}


def encode_response(response: Response, *, verb: str, request_id: str, date: str, keep_alive: bool) -> bytes:
    """`response` on the wire, with Content-Length, Date, X-Request-Id and, at the end, `Connection: close`.

    Of one with parts only the beginning: `encode_chunk` gives the others, LAST_CHUNK ends them. To HEAD the length is
    told and the body left out. 204 and 304 have neither.
    """
    status = response.status
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    if status not in _NO_BODY:
        if response.content_type:
            lines.append(f"Content-Type: {response.content_type}")
        chunked = response.parts is not None
        lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(response.body)}")
    lines.append(f"Date: {date}")
    lines.append(f"X-Request-Id: {request_id}")
    lines.extend(f"{name}: {value}" for name, value in response.headers.items())
    if not keep_alive:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    if verb == "HEAD" or status in _NO_BODY:
        return head
    return head + (response.body if response.parts is None else encode_chunk(response.body))


LAST_CHUNK: Final = b"0\r\n\r\n"


def encode_chunk(part: bytes) -> bytes:
    """One part of a chunked body; nothing for nothing, since an empty chunk would end it (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(part), part) if part else b""
