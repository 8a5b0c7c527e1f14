"""Keys of maps as bytes that sort as the keys do.

Knows: text, integers, bytes, dates, UUIDs, enums and tuples of them.
       Not moments and decimals: two spellings of one value would be two keys.
Never: values, storage.
Holds: the order of the bytes is the order of the keys (text by code point, integers by size), and the bytes of a
       tuple start with those of its first items.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

import attrs

from aether.slice_api.annotations import NoCodec, TypeOf, bare, is_named_tuple, origin_of, parts_of, type_name
from aether.slice_api.misfit import Misfit, expected
from aether.slice_api.scalars import INT_MIN, SCALARS, encode_int
from aether.slice_api.textual import text_of

_END: Final = b"\x00"
_ESCAPES: Final = ((b"\x01", b"\x01\x02"), (b"\x00", b"\x01\x01"))


@attrs.frozen
class KeyCodec:
    """encode(key), decode(bytes); prefix  bytes that all keys with this beginning share. All raise Misfit."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    prefix: Callable[[Any], bytes]


def key_codec(tp: TypeOf) -> KeyCodec:
    """The codec of a key type. Raises NoCodec for types that have no order as bytes."""
    inner = bare(tp)
    arguments = typing.get_args(inner)
    if origin_of(inner) is tuple and arguments and arguments[-1] is not ...:
        return _tuple(inner, tuple, [_item(a, f"[{i}]") for i, a in enumerate(arguments)])
    if is_named_tuple(inner):
        return _tuple(inner, inner, [_item(p.type, f".{p.name}") for p in parts_of(inner)])
    encode, decode = _item(tp, "")
    return KeyCodec(encode, decode, encode if inner in (str, bytes) else _no_prefix(inner))


def _item(tp: TypeOf, path: str) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    inner = bare(tp)
    if inner is int:
        return _encode_int, _decode_int
    if inner is bytes:
        return SCALARS[bytes].encode, SCALARS[bytes].decode
    try:
        text = text_of(tp)
    except NoCodec:
        text = None
    # Equal values must have equal bytes: not so for Decimal (1.0, 1.00), float and moments in two zones.
    if text is None or not text.exact or (inner in SCALARS and inner not in (str, bool, date, UUID)):
        raise NoCodec(
            f"{type_name(tp)} is no key of a map; use str, int, bytes, date, UUID, an Enum, or a tuple of them", path
        )
    write, read = text.write, text.read
    return lambda value: write(value).encode("utf-8", "surrogatepass"), lambda raw: read(_text(raw))


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise expected("key in UTF-8", raw) from None


def _encode_int(value: Any) -> bytes:
    return (encode_int(value) - INT_MIN).to_bytes(8)


def _decode_int(raw: bytes) -> int:
    if len(raw) != 8:
        raise expected("key of 8 bytes", raw)
    return int.from_bytes(raw) + INT_MIN


def _tuple(tp: TypeOf, made: Any, items: Sequence[tuple[Callable[[Any], bytes], Callable[[bytes], Any]]]) -> KeyCodec:
    name = type_name(tp)

    def joined(values: tuple[Any, ...]) -> Iterator[bytes]:
        for (encode, _), value in zip(items, values, strict=False):
            yield _escaped(encode(value)) + _END

    def encode(value: Any) -> bytes:
        if not _is_tuple(value) or len(value) != len(items):
            raise expected(name, value)
        return b"".join(joined(value))

    def decode(raw: bytes) -> Any:
        parts = raw.split(_END)
        if len(parts) != len(items) + 1 or parts[-1]:
            raise expected(f"key of {len(items)} items", raw)
        values = [decode_item(_plain(part)) for (_, decode_item), part in zip(items, parts, strict=False)]
        return tuple(values) if made is tuple else made(*values)

    def prefix(value: Any) -> bytes:
        if not _is_tuple(value) or len(value) > len(items):
            raise expected(f"the first items of a key {name}, as a tuple", value)
        return b"".join(joined(value))

    return KeyCodec(encode, decode, prefix)


def _is_tuple(value: Any) -> bool:
    return isinstance(value, tuple)


def _escaped(raw: bytes) -> bytes:
    for plain, escape in _ESCAPES:
        raw = raw.replace(plain, escape)
    return raw


def _plain(raw: bytes) -> bytes:
    for plain, escape in reversed(_ESCAPES):
        raw = raw.replace(escape, plain)
    return raw


def _no_prefix(tp: TypeOf) -> Callable[[Any], bytes]:
    def refuse(value: Any) -> bytes:
        raise Misfit(("", f"keys of {type_name(tp)} have no prefix; only text, bytes and tuples have"))

    return refuse
