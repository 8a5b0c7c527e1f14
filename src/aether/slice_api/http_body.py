"""Bodies: how a request's is read, and how an answer's is spelt.

Knows: JSON and msgpack text of plain data, media types.
Never: codecs, parameters.
Holds: msgpack carries the shape that JSON has; a body that could not be read says where. A browser lets a page of any
       origin send what has no media type, or that of a form, without asking first: from a page, neither is read.
Paper: RFC 8259 (JSON), 8.1 for UTF-8; the msgpack specification.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgpack

from aether.model.route import RouteKind
from aether.slice_api.http import HttpInput
from aether.slice_api.json_text import fastest_json
from aether.slice_api.negotiation import media_type
from aether.slice_api.request_misfit import RequestProblems

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
JSON_LINES: Final = "application/x-ndjson"
EVENTS: Final = "text/event-stream"
PRODUCED: Final[Mapping[RouteKind, tuple[str, ...]]] = {
    RouteKind.CALL: (JSON, MSGPACK),
    RouteKind.STREAM: (JSON_LINES, EVENTS),
}
"""Media types of answers that the codec spells, the default of each kind first."""
CONSUMED: Final = (JSON, MSGPACK)
_MSGPACK_NAMES: Final = frozenset({MSGPACK, "application/x-msgpack", "application/vnd.msgpack"})
ABSENT: Final = object()
UNREADABLE: Final = object()


def spell(plain: Any, media: str) -> bytes:
    """Plain data in JSON's own types as `media`."""
    if media == MSGPACK:
        packed: bytes = msgpack.packb(plain)
        return packed
    return fastest_json().write(plain)


def read_body(request: HttpInput, problems: RequestProblems) -> Any:
    """The body as plain data; ABSENT when there is none, UNREADABLE when `problems` says why."""
    if not request.body:
        return ABSENT
    if request.content_type == JSON:  # as nearly all spell it
        return _json(request.body, problems)
    kind = media_type(request.content_type)
    if not kind and "origin" in request.headers:
        problems.unreadable(f"a page says what it sends: {' or '.join(CONSUMED)} as Content-Type", status=415)
        return UNREADABLE
    if kind in _MSGPACK_NAMES:
        return _msgpack(request.body, problems)
    if kind and kind != JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        problems.unreadable(f"expected {' or '.join(CONSUMED)}, got {kind}", status=415)
        return UNREADABLE
    return _json(request.body, problems)


def _json(body: bytes, problems: RequestProblems) -> Any:
    try:
        return fastest_json().read(body)
    except json.JSONDecodeError as error:
        problems.unreadable(f"no JSON at line {error.lineno} column {error.colno}: {error.msg}")
    except UnicodeDecodeError as error:
        problems.unreadable(f"no UTF-8 at byte {error.start}")
    except RecursionError:
        problems.unreadable("nested too deeply")
    except ValueError as error:
        problems.unreadable(str(error))
    return UNREADABLE


def _msgpack(body: bytes, problems: RequestProblems) -> Any:
    """msgpack, whose lengths are believed only as far as the body could hold them."""
    most = len(body)
    try:
        return msgpack.unpackb(
            body, raw=False, strict_map_key=True, max_array_len=most, max_map_len=most, max_str_len=most,
            max_bin_len=most, max_ext_len=0,
        )  # fmt: skip
    except (ValueError, msgpack.UnpackException, UnicodeDecodeError, RecursionError) as error:
        problems.unreadable(f"no msgpack: {str(error) or type(error).__name__}")
    return UNREADABLE
