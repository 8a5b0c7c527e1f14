"""Bytes of replicated maps as JSON, for people and audits.

Knows: how keys sort as bytes (text, integers, tuples of them), msgpack and JSON as encodings of values, base64.
Never: the value classes of the slice that wrote them.
Holds: every byte string can be shown; a cursor gives back the exact key, and that of a text key is the text itself.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Final, cast

import msgpack

from aether.errors import BadInput

_BASE64: Final = "base64:"
_INT_BYTES: Final = 8
_INT_MIN: Final = -(2**63)


def shown_row(key: bytes, value: bytes, revision: int) -> dict[str, object]:
    """{key, value, revision, cursor}: key and value decoded where they can be, else {"base64": ...}."""
    return {"key": shown_key(key), "value": shown_value(value), "revision": revision, "cursor": cursor_of(key)}


def shown_key(raw: bytes) -> object:
    """A key as its type spells it, as far as bytes tell: text, integer, a list for a tuple, else {"base64": text}."""
    whole = _scalar(raw)
    if isinstance(whole, int) or (whole is not None and "\x00" not in whole):
        return whole
    if raw.endswith(b"\x00"):
        items = [_scalar(_unescaped(item)) for item in raw[:-1].split(b"\x00")]
        if None not in items:
            return items
    return _base64(raw)


def _scalar(raw: bytes) -> str | int | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return int.from_bytes(raw) + _INT_MIN if len(raw) == _INT_BYTES else None


def _unescaped(item: bytes) -> bytes:
    return item.replace(b"\x01\x01", b"\x00").replace(b"\x01\x02", b"\x01")


def shown_value(raw: bytes) -> object:
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
    """`key` as a word for the query `after`: a text key is itself."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = _BASE64
    return _BASE64 + base64.urlsafe_b64encode(key).decode() if text.startswith(_BASE64) else text


def cursor_bytes(cursor: str) -> bytes:
    """Inverse of cursor_of. Raises BadInput."""
    if not cursor.startswith(_BASE64):
        return cursor.encode()
    try:
        return base64.b64decode(cursor.removeprefix(_BASE64).encode(), altchars=b"-_", validate=True)
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
    return {"base64": base64_of(raw)}


def base64_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
