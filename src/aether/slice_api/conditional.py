"""Requests that depend on what the client has already: whether it is still good, and which part it lacks.

Knows: validators, preconditions and byte ranges as fields of text.
Never: files, responses.
Holds: a field that cannot be read is as if it had not been sent; several ranges at once are answered with the whole.
Paper: RFC 9110 13.1 and 13.2.2 (preconditions and their order), 14.1.2 and 14.2 (ranges), 13.1.5 (If-Range).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

import attrs

_TAG: Final = re.compile(r'(?:W/)?"[!\x23-\x7e\x80-\xff]*"')
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)


@attrs.frozen
class Validators:
    """What tells one state of a thing from another. tag  strong, with its quotes; modified_s  whole seconds"""

    tag: str
    modified_s: int

    @property
    def headers(self) -> dict[str, str]:
        return {"ETag": self.tag, "Last-Modified": formatdate(self.modified_s, usegmt=True)}


def precondition(headers: Mapping[str, str], now: Validators) -> int:
    """200 when the request goes on, 304 when the client has it already, 412 when it wanted another state. GET alone."""
    if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
    if if_match is not None:
        if if_match.strip() != "*" and now.tag not in _tags(if_match, weak=False):
            return 412
    elif (limit := _seconds(headers.get("if-unmodified-since"))) is not None and now.modified_s > limit:
        return 412
    if if_none_match is not None:
        return 304 if is_known(now.tag, if_none_match) else 200
    since = _seconds(headers.get("if-modified-since"))
    return 304 if since is not None and now.modified_s <= since else 200


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether a client that sends this If-None-Match has what `tag`, with its quotes, stands for."""
    return if_none_match.strip() == "*" or tag in _tags(if_none_match, weak=True)


def wanted_range(headers: Mapping[str, str], now: Validators, size: int) -> tuple[int, int] | None:
    """(first byte, byte behind the last) of a thing of `size` bytes; None for all of it.

    Raises ValueError for a range that lies behind the end: 416.
    """
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or not any(found.groups()) or not _still(headers.get("if-range"), now):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise ValueError(f"there are {size} bytes")
    return start, stop


def _still(if_range: str | None, now: Validators) -> bool:
    if if_range is None:
        return True
    if if_range.lstrip().startswith(('"', "W/")):
        return if_range.strip() == now.tag
    return _seconds(if_range) == now.modified_s


def _tags(field: str, *, weak: bool) -> frozenset[str]:
    """The tags in `field`; weak ones count as strong where a weak comparison is asked for, and not at all elsewhere."""
    found = _TAG.findall(field)
    return frozenset(tag.removeprefix("W/") for tag in found if weak or not tag.startswith("W/"))


def _seconds(date: str | None) -> int | None:
    try:
        return None if date is None else int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError):
        return None
