"""Heads of ordinary requests, read by httptools when it is installed (extra `fast`).

Knows: how to ask httptools, and what not to believe it.
Never: framing of bodies; a refusal.
Holds: the same narrow form as `ordinary`: any byte or field outside it is left to h11.
"""

from __future__ import annotations

import re
from typing import Final

from aether.web.ordinary import Fields, HeadReader, OrdinaryHeads, fields_of

_PLAIN: Final = re.compile(rb"(?:[^\x00-\x20:\x7f-\xff][\t -~]*\r\n)+")


class HttptoolsHeads(OrdinaryHeads):
    """Blocks of fields that were not seen before are split by llhttp."""

    def __init__(self) -> None:
        super().__init__()
        import httptools  # an extra: imported when a server starts

        self._parser: type[httptools.HttpRequestParser] = httptools.HttpRequestParser
        self._stopped: tuple[type[Exception], ...] = (httptools.HttpParserError, httptools.HttpParserUpgrade)

    def read_fields(self, block: bytes) -> Fields | None:
        if _PLAIN.fullmatch(block) is None:
            return None
        seen = _Seen()
        try:
            self._parser(seen).feed_data(b"GET / HTTP/1.1\r\n%b\r\n" % block)
        except self._stopped:
            return None
        return fields_of(seen.fields) if seen.whole and len(seen.fields) == block.count(b"\n") else None


class _Seen:
    """What llhttp tells while it reads; the names of the methods are httptools'."""

    __slots__ = ("fields", "whole")

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.decode("ascii").lower(), value.decode("ascii").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.whole = True


def fastest_heads() -> HeadReader:
    """The fastest reader that is installed."""
    try:
        return HttptoolsHeads()
    except ImportError:
        return OrdinaryHeads()
