"""The head of a request that h11 has read, checked further.

Knows: which messages are dangerous though their bytes are well formed; the four forms of a target.
Never: framing (h11 does it), limits on size.
Holds: of a head that could be read in two ways (Content-Length with Transfer-Encoding, repeated Host) none is served.
Paper: RFC 9112 (3.2 target, 6.1 and 6.3 framing, 9.3 persistence), RFC 9110 10.1.1 (Expect).
"""

from __future__ import annotations

import re
from typing import Final

import attrs
import h11

from aether.web.ordinary import HOST, Fields, Head

_ABSOLUTE = re.compile(r"https?://([^/?#]+)(.*)", re.IGNORECASE)
_DOUBTFUL = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\r\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\A[\x00-\x20\x7f-\xff]")
_DOUBTS: Final = {b"\n": "a line feed alone", b"\r": "a carriage return alone", b"\r\n ": "a folded line"}
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


@attrs.frozen
class Refusal:
    """The bytes are no request that may be served: answer `status` and close."""

    status: int
    detail: str


class Refused(Exception):
    """Carries a Refusal out of the middle of reading."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.refusal: Refusal = Refusal(status, detail)


def refuse_doubtful(buffer: bytearray, start: int, stop: int) -> None:
    """Raise Refused when what lies between holds what one parser skips and the next one ends a line at.

    start  everything before was looked at; the two bytes before it are looked at again
    """
    found = _DOUBTFUL.search(buffer, max(0, start - 2), stop)
    if found is not None:
        what = _DOUBTS.get(found[0].replace(b"\t", b" "), f"a byte that has no place there: {found[0]!r}")
        raise Refused(400, f"the bytes are no HTTP/1.1 request: the header holds {what}")


def refuse_doubtful_end(raw: bytes, trailers: int) -> None:
    """The same of the end of chunks: `raw` ends there, with so many trailer fields."""
    *lines, last = raw.split(b"\n")[-trailers - 3 :]  # the last chunk, trailer fields, an empty line, and nothing
    if last or any(not line.endswith(b"\r") or line.startswith((b" ", b"\t")) for line in lines):
        raise Refused(400, "the bytes are no HTTP/1.1 request: behind the chunks, a line is folded or ends in LF alone")


def checked_head(event: h11.Request) -> Head:
    """The head of `event`. Raises Refused."""
    version = event.http_version
    if version not in (b"1.1", b"1.0"):
        raise Refused(505, f"HTTP/{version.decode('ascii')} is not spoken here; use HTTP/1.1")
    headers = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers)
    if version == b"1.0":  # RFC 9110 7.8: such a client cannot leave HTTP, whatever a proxy let through
        headers = tuple(field for field in headers if field[0] != "upgrade")
    names = [name for name, _ in headers]
    if "transfer-encoding" in names and ("content-length" in names or version == b"1.0"):
        raise Refused(400, "a message with Transfer-Encoding has no Content-Length and is HTTP/1.1")
    fields = dict(headers)
    authority, path, query_text = _target(event.method.decode("ascii"), event.target.decode("ascii"))
    host = fields.get("host", "")
    if names.count("host") > 1 or HOST.fullmatch(host) is None:
        raise Refused(400, f"the Host field {host[:80]!r} is no host name")
    if authority is not None:  # RFC 9112 3.2.2: an absolute target replaces Host
        headers = (*((n, v) for n, v in headers if n != "host"), ("host", authority))
    if event.method == b"CONNECT":
        raise Refused(400, "no tunnels are opened here")
    verb, length = event.method.decode("ascii"), fields.get("content-length")
    if version == b"1.0" and verb in _WITH_BODY and length is None:
        raise Refused(411, f"a {verb} of HTTP/1.0 says how long it is; add Content-Length")
    expected = fields.get("expect", "100-continue")
    if expected.lower() != "100-continue" and version == b"1.1":
        raise Refused(417, f"the expectation {expected[:80]!r} cannot be met; only 100-continue is known")
    options = {token.strip().lower() for name, value in headers if name == "connection" for token in value.split(",")}
    return Head(
        verb,
        path,
        query_text,
        Fields(
            headers,
            keep_alive=version == b"1.1" and "close" not in options,
            content_length=int(length) if length is not None else None,
            request_id=next((value for name, value in headers if name == "x-request-id"), ""),
        ),
        speaks_1_1=version == b"1.1",
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
            raise Refused(400, f"the target {target[:80]!r} is no path; begin it with /")
    if "#" in target:
        raise Refused(400, "a target carries no fragment; encode # as %23")
    path, _, query_text = target.partition("?")
    return authority, path, query_text
