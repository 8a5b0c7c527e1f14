"""Bytes of replicated maps as JSON, for people and audits.

Knows: msgpack and JSON as encodings of keys and values; base64 for anything else.
Never: the value classes of the slice that wrote them.
Holds: every byte string can be shown, and `cursor` gives back the exact key.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import cast

import msgpack

from aether.errors import BadInput


def shown_row(key: bytes, value: bytes, revision: int) -> dict[str, object]:
    """{key, value, revision, cursor}: key and value decoded where they can be, else {"base64": ...}."""
    return {"key": shown(key), "value": shown(value), "revision": revision, "cursor": cursor_of(key)}


def shown(raw: bytes) -> object:
    """`raw` read as msgpack, else as JSON, else as UTF-8 text, else as {"base64": text}."""
    try:
        return _plain(_unpack(raw))
    except (ValueError, msgpack.UnpackException, UnicodeDecodeError, RecursionError, TypeError):
        pass  # another encoding then
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return _base64(raw)
    try:
        return _plain(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _unpack(raw: bytes) -> object:
    return cast("object", msgpack.unpackb(raw, use_list=False, strict_map_key=False))  # pyright: ignore[reportUnknownMemberType] - untyped


def cursor_of(key: bytes) -> str:
    """`key` as a word for the query `after`."""
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def cursor_bytes(cursor: str) -> bytes:
    """Inverse of cursor_of. Raises BadInput."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        problems = (f"after: {cursor[:80]!r} is no cursor; take `next` of a page",)
        raise BadInput("the query does not fit", problems) from error


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return _base64(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {_name(key): _plain(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[object]", value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


def _name(key: object) -> str:
    return key if isinstance(key, str) else json.dumps(_plain(key), ensure_ascii=False)


def _base64(raw: bytes) -> dict[str, object]:
    return {"base64": base64.b64encode(raw).decode()}
