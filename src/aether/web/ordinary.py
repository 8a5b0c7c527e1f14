"""The ordinary request, read without h11: one whole header, HTTP/1.1, a plain length or none, no field twice.

Knows: one narrow form of RFC 9112, in which nothing can be read in two ways.
Never: a refusal. Whatever is unusual, incomplete or wrong is left to h11, which has the last word.
Holds: what is accepted here, h11 accepts with the same meaning (tests fuzz one against the other).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~-]{0,255})(?::\d{0,5})?")
_LINE = re.compile(r"([A-Z]{1,20}) (/[!-\"$-~]*) HTTP/1\.1\r\n")
_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n)+")
_LENGTH = re.compile(r"[0-9]{1,10}")
_UNUSUAL: Final = frozenset({"transfer-encoding", "expect", "upgrade", "trailer", "te"})
_KEEP_ALIVE: Final = {"keep-alive": True, "close": False}


class Head(NamedTuple):
    """Request line and fields, checked. `content_length` is None when no length was declared.

    A NamedTuple, because one is made for each request.
    """

    verb: str
    path: str
    query_text: str
    headers: tuple[tuple[str, str], ...]
    keep_alive: bool
    content_length: int | None
    speaks_1_1: bool
    request_id: str


def parse_ordinary(buffer: bytearray, header_bytes_max: int) -> tuple[Head, int] | None:
    """The head at the start of `buffer` and its size in bytes; None on any doubt."""
    end = buffer.find(b"\r\n\r\n", 0, header_bytes_max)
    if end < 0:
        return None
    text = buffer[: end + 2].decode("latin-1")
    line = _LINE.match(text)
    if line is None or _FIELDS.fullmatch(text, line.end()) is None:
        return None
    verb, target = line.groups()
    fields: dict[str, str] = {}
    for field in text[line.end() : -2].split("\r\n"):
        name, _, value = field.partition(":")
        name = name.lower()
        if name in fields or name in _UNUSUAL:
            return None
        fields[name] = value.strip(" \t")
    keep_alive = _KEEP_ALIVE.get(fields.get("connection", "keep-alive").lower())
    length = fields.get("content-length")
    if keep_alive is None or verb == "CONNECT" or HOST.fullmatch(fields.get("host", "?")) is None:
        return None
    if length is not None and _LENGTH.fullmatch(length) is None:
        return None
    path, _, query_text = target.partition("?")
    content_length = None if length is None else int(length)
    given = fields.get("x-request-id", "")
    return Head(verb, path, query_text, tuple(fields.items()), keep_alive, content_length, True, given), end + 4
