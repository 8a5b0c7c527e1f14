"""The ordinary request, read without h11: one whole header, HTTP/1.1, a plain length or none, no field twice.

Knows: one narrow form of RFC 9112, in which nothing can be read in two ways.
Never: a refusal. Whatever is unusual, incomplete or wrong is left to h11, which has the last word.
Holds: what is accepted here, h11 accepts with the same meaning (tests fuzz one against the other). Clients send the
       same fields again and again: what a block of fields means is remembered, for a bounded number of short ones.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Protocol

from aether.web.request import FieldList

HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~-]{0,255})(?::\d{0,5})?")
BLOCKS_MAX: Final = 512
BLOCK_BYTES_MAX: Final = 1_024
_LINE = re.compile(rb"([A-Z]{1,20}) (/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))? HTTP/1\.1\r\n")
_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n)+")
_LENGTH = re.compile(r"[0-9]{1,10}")
_UNUSUAL: Final = frozenset({"transfer-encoding", "expect", "upgrade", "trailer", "te"})
_KEEP_ALIVE: Final = {"keep-alive": True, "close": False}


class Fields(NamedTuple):
    """A block of header fields, checked. `content_length` is None when no length was declared."""

    headers: tuple[tuple[str, str], ...]
    keep_alive: bool
    content_length: int | None
    request_id: str


class Head(NamedTuple):
    """Request line and fields, checked.

    A NamedTuple, because one is made for each request.
    """

    verb: str
    path: str
    query_text: str
    fields: Fields
    speaks_1_1: bool = True


class HeadReader(Protocol):
    """Reads heads of requests quickly, or leaves them to h11."""

    def read(self, buffer: bytearray, header_bytes_max: int) -> tuple[Head, int] | None:
        """The head at the start of `buffer` and its size in bytes; None on any doubt: what is accepted here, h11 must
        accept with the same meaning.
        """
        ...


class OrdinaryHeads:
    """Reads heads of ordinary requests: one for all connections of a server, so that they share what is remembered."""

    def __init__(self) -> None:
        self._known: dict[bytes, Fields] = {}

    def read(self, buffer: bytearray, header_bytes_max: int) -> tuple[Head, int] | None:
        """The head at the start of `buffer` and its size in bytes; None on any doubt."""
        end = buffer.find(b"\r\n\r\n", 0, header_bytes_max)
        if end < 0:
            return None
        line = _LINE.match(buffer, 0, end + 2)
        if line is None:
            return None
        block = bytes(buffer[line.end() : end + 2])
        fields = self._known.get(block)
        if fields is None and (fields := self._remember(block)) is None:
            return None
        verb, path, query = line.groups()
        if verb == b"CONNECT":
            return None
        return Head(verb.decode(), path.decode(), query.decode() if query else "", fields), end + 4

    def read_fields(self, block: bytes) -> Fields | None:
        """What a block of fields, each with its line break, means; None on any doubt."""
        text = block.decode("latin-1")
        if _FIELDS.fullmatch(text) is None:
            return None
        found: list[tuple[str, str]] = []
        for field in text[:-2].split("\r\n"):
            name, _, value = field.partition(":")
            found.append((name.lower(), value.strip(" \t")))
        return fields_of(found)

    def _remember(self, block: bytes) -> Fields | None:
        fields = self.read_fields(block)
        if fields is not None and len(block) <= BLOCK_BYTES_MAX:
            if len(self._known) >= BLOCKS_MAX:
                self._known.clear()
            self._known[block] = fields
        return fields


def fields_of(pairs: list[tuple[str, str]]) -> Fields | None:
    """Fields whose names are in lower case, checked; None on any doubt."""
    fields = dict(pairs)
    if len(fields) < len(pairs) or not _UNUSUAL.isdisjoint(fields):
        return None
    keep_alive = _KEEP_ALIVE.get(fields.get("connection", "keep-alive").lower())
    length = fields.get("content-length")
    if keep_alive is None or HOST.fullmatch(fields.get("host", "?")) is None:
        return None
    if length is not None and _LENGTH.fullmatch(length) is None:
        return None
    return Fields(FieldList(pairs), keep_alive, None if length is None else int(length), fields.get("x-request-id", ""))
