"""Values without parts: how each is spelt as plain data, as JSON and as text.

Knows: the strict rules: no bool for int, no fraction for int, only text for `str`; 64-bit integers; finite floats in
       JSON.
Never: containers, classes.
Holds: reading what was written gives an equal value; anything else is an error, never a conversion.
Paper: ISO 8601 for dates, times and durations; RFC 4648 section 4 for bytes in JSON.
"""

from __future__ import annotations

import base64
import binascii
import enum
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import attrs

from aether.slice_api.misfit import Misfit, expected

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1


class Kind(enum.Enum):
    """What a plain value looks like in JSON. A union is decided by it."""

    NULL = "null"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "string"
    LIST = "list"
    OBJECT = "object"


@attrs.frozen
class Scalar:
    """One type. encode, decode  for the wire; json_*  for JSON; write, read  for text."""

    name: str
    kind: Kind
    encode: Callable[[Any], Any]
    decode: Callable[..., Any]
    json_encode: Callable[[Any], Any]
    json_decode: Callable[..., Any]
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def encode_str(value: Any) -> str:
    if value.__class__ is str:
        return value if value.isascii() else _encodable(value)
    if isinstance(value, str):
        return _encodable(str.__str__(value))
    raise expected("str", value)


def decode_str(value: Any, _: Any = None) -> str:
    if value.__class__ is str:
        return value if value.isascii() else _encodable(value)
    raise expected("str", value)


def _encodable(value: str) -> str:
    # JSON's "\ud800" becomes a lone surrogate, which neither UTF-8 nor msgpack can write again.
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Misfit(("", f"expected text, got a lone surrogate at character {error.start}")) from None
    return value


def encode_int(value: Any) -> int:
    if value.__class__ is not int and (not isinstance(value, int) or isinstance(value, bool)):
        raise expected("int", value)
    number = int(value)
    if INT_MIN <= number <= INT_MAX:
        return number
    raise Misfit(("", "expected an int of 64 bits, got a larger one; use Decimal or str"))


def decode_int(value: Any, _: Any = None) -> int:
    if value.__class__ is int and INT_MIN <= value <= INT_MAX:
        return value
    if value.__class__ is int:
        raise Misfit(("", "expected an int of 64 bits, got a larger one; use Decimal or str"))
    raise expected("int", value)


def _bool(value: Any, _: Any = None) -> bool:
    if value is True or value is False:
        return value
    raise expected("bool", value)


def _float(value: Any, _: Any = None) -> float:
    if value.__class__ is float:
        return value
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        try:
            return float(value)
        except OverflowError:
            raise expected("float", value) from None
    raise expected("float", value)


def _finite(value: Any, _: Any = None) -> float:
    number = _float(value)
    if math.isfinite(number):
        return number
    raise Misfit(("", f"expected a finite float: JSON has no {number}"))


def _null(value: Any, _: Any = None) -> None:
    if value is not None:
        raise expected("null", value)


def _bytes(value: Any, _: Any = None) -> bytes:
    if value.__class__ is bytes:
        return value
    raise expected("bytes", value)


def _write_base64(value: Any) -> str:
    return base64.b64encode(_bytes(value)).decode("ascii")


def _read_base64(value: Any, _: Any = None) -> bytes:
    try:
        return base64.b64decode(decode_str(value).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise expected("bytes in base64", value) from None


def _writer(cls: type, spell: Callable[[Any], str], but_not: tuple[type, ...] = ()) -> Callable[[Any], str]:
    def write(value: Any) -> str:
        if isinstance(value, cls) and not isinstance(value, but_not):
            return spell(value)
        raise expected(cls.__name__, value)

    return write


def _reader(what: str, pattern: str, read: Callable[[str], Any]) -> Callable[..., Any]:
    match = re.compile(pattern, re.ASCII).fullmatch

    def decode(value: Any, _: Any = None) -> Any:
        if value.__class__ is str and match(value):
            try:
                return read(value)
            except (ValueError, ArithmeticError):  # in form, but no such day, hour or size
                raise expected(what, value) from None
        raise expected(what, value)

    return decode


def _spell_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise expected("a finite Decimal", value)
    return str(value)


def _spell_duration(value: timedelta) -> str:
    if value.days < 0:
        return "-" + _spell_duration(-value)
    fraction = f".{value.microseconds:06d}" if value.microseconds else ""
    return f"P{value.days}DT{value.seconds}{fraction}S"


def _spell_time(value: time) -> str:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise Misfit(("", f"expected a time that is naive or has a fixed offset, got one in {value.tzinfo}"))
    return value.isoformat()


_DURATION: Final = r"(-?)P(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})(?:\.(\d{1,6}))?S)?)?"


def _read_duration(text: str) -> timedelta:
    match = re.fullmatch(_DURATION, text)
    if match is None or text.endswith(("P", "T")):
        raise ValueError(text)
    sign, days, hours, minutes, seconds, fraction = match.groups()
    whole = timedelta(
        days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0), seconds=int(seconds or 0),
        microseconds=int((fraction or "0").ljust(6, "0")),
    )  # fmt: skip
    return -whole if sign else whole


def _write_int(value: Any) -> str:
    return str(encode_int(value))


def _read_int(text: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,19}", text) is None:
        raise expected("int", text)
    return decode_int(int(text))


def _read_float(text: str) -> float:
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text) is None:
        raise expected("float", text)
    return _finite(float(text))


def _read_bool(text: str) -> bool:
    if text in ("true", "false"):
        return text == "true"
    raise expected("true or false", text)


def _as_text(
    name: str, cls: type, pattern: str, spell: Callable[[Any], str], read: Callable[[str], Any], *but_not: type
) -> Scalar:
    encode, decode = _writer(cls, spell, but_not), _reader(name, pattern, read)
    return Scalar(name, Kind.TEXT, encode, decode, encode, decode, encode, decode)


_DAY: Final = r"\d{4}-\d{2}-\d{2}"
_HOUR: Final = r"\d{2}:\d{2}(:\d{2}([.,]\d{1,6})?)?(Z|[+-]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?"
_MOMENT: Final = f"{_DAY}[T ]{_HOUR}"

SCALARS: Final[Mapping[object, Scalar]] = {
    str: Scalar("str", Kind.TEXT, encode_str, decode_str, encode_str, decode_str, encode_str, decode_str),
    int: Scalar("int", Kind.INT, encode_int, decode_int, encode_int, decode_int, _write_int, _read_int),
    bool: Scalar("bool", Kind.BOOL, _bool, _bool, _bool, _bool, lambda v: "true" if _bool(v) else "false", _read_bool),
    float: Scalar("float", Kind.FLOAT, _float, _float, _finite, _finite, lambda v: repr(_finite(v)), _read_float),
    bytes: Scalar("bytes", Kind.TEXT, _bytes, _bytes, _write_base64, _read_base64, _write_base64, _read_base64),
    type(None): Scalar("null", Kind.NULL, _null, _null, _null, _null, lambda _: "", _null),
    Decimal: _as_text("Decimal as text", Decimal, r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", _spell_decimal, Decimal),
    UUID: _as_text("UUID as text", UUID, r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", str, UUID),
    datetime: _as_text("datetime in ISO 8601", datetime, _MOMENT, datetime.isoformat, datetime.fromisoformat),
    date: _as_text("date in ISO 8601", date, _DAY, date.isoformat, date.fromisoformat, datetime),
    time: _as_text("time in ISO 8601", time, _HOUR, _spell_time, time.fromisoformat),
    timedelta: _as_text("duration in ISO 8601", timedelta, _DURATION, _spell_duration, _read_duration),
}  # fmt: skip
