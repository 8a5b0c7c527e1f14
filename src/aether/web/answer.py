"""Answers as bytes.

Knows: status lines, the fields that the server adds, chunks.
Never: sockets, who answers.
Holds: one place decides how a client finds the end of an answer: its length, chunks, or the end of the connection.
Paper: RFC 9112 (6.3 body length, 7.1 chunks, 9.6 close), RFC 9110 (9.3.2 HEAD, 15.2.2 upgrade).
"""

from __future__ import annotations

from typing import Final

from aether.web.problem import TITLES
from aether.web.request import CheckedFields, Response, spelt

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
_NO_BODY: Final = frozenset({101, 204, 304})
_TITLES: Final = {101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content"}
_LINES: Final = {
    status: f"HTTP/1.1 {status} {title}\r\n" for status, title in {304: "Not Modified", **_TITLES, **TITLES}.items()
}


def encode_response(
    response: Response, *, verb: str, request_id: str, date: str, keep_alive: bool, chunked: bool = True
) -> bytes:
    """`response` on the wire, with Content-Length, Date, X-Request-Id and, at the end, `Connection: close`.

    Of one with parts or a stream only the beginning: `encode_chunk` gives the others, LAST_CHUNK ends them; unless
    `chunked`, for an HTTP/1.0 client, its parts go as they are up to the end of the connection. To HEAD the length is
    told and the body left out. 204 and 304 have neither.
    """
    status = response.status
    length = kind = ""
    if status not in _NO_BODY:
        kind = f"Content-Type: {response.content_type}\r\n" if response.content_type else ""
        if response.parts is None and response.stream is None:
            length = f"Content-Length: {len(response.body)}\r\n"
        elif chunked:
            length = "Transfer-Encoding: chunked\r\n"
    own = f"{_line(status)}{kind}{length}Date: {date}\r\nX-Request-Id: {request_id}\r\n"
    if response.headers:
        own += response.headers.spelt if isinstance(response.headers, CheckedFields) else spelt(response.headers)
    if not keep_alive:
        own += "Connection: Upgrade\r\n" if status == 101 else "Connection: close\r\n"
    head = f"{own}\r\n".encode("latin-1")
    if not response.body or verb == "HEAD" or status in _NO_BODY:
        return head
    return head + (encode_chunk(response.body) if length.startswith("T") else response.body)


def has_body(response: Response, verb: str) -> bool:
    """Whether anything may follow the header of this answer."""
    return verb != "HEAD" and response.status not in _NO_BODY


def encode_chunk(part: bytes) -> bytes:
    """One part of a chunked body; nothing for nothing, since an empty chunk would end it (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(part), part) if part else b""


def _line(status: int) -> str:
    return _LINES.get(status) or f"HTTP/1.1 {status} Status\r\n"
