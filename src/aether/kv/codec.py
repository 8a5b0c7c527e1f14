"""Rows <-> msgpack maps of plain data, strictly.

Knows: the plain form of each value type: text for artifacts, the value for enums, lists for tuples.
Never: which key a row has.
Holds: a value of the wrong type, a missing or an unknown field is BadInput with its path, never a silent conversion.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

import attrs
import cattrs
import cattrs.gen

from aether.errors import BadInput
from aether.kv.packing import UNPACK_ERRORS, pack, unpack
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.version import Version

T = TypeVar("T")


@attrs.frozen
class Codec(Generic[T]):
    """The two directions of one value type. `decode` raises BadInput."""

    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


def _exactly(wanted: type[Any]) -> Callable[[Any, Any], Any]:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not wanted:
            raise TypeError(f"{value!r} is no {wanted.__name__}")
        return value

    return check


def _member(value: Any, kind: type[enum.StrEnum]) -> enum.StrEnum:
    if type(value) is not str:
        raise TypeError(f"{value!r} is no text")
    return kind(value)


def _number_member(value: Any, kind: type[enum.IntEnum]) -> enum.IntEnum:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no number")
    return kind(value)


def _from_map(cls: type[Any], converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    fields = cattrs.gen.make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True)

    def structure(value: Any, kind: Any) -> Any:
        if type(value) is not dict:
            raise TypeError(f"{value!r} is no map")
        return fields(cast("dict[str, Any]", value), kind)

    return structure


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _text_map(value: Any, _: Any) -> dict[str, str]:
    if type(value) is not dict:
        raise TypeError(f"{value!r} is no map of text to text")
    plain = cast("dict[object, object]", value)
    if any(type(k) is not str or type(v) is not str for k, v in plain.items()):
        raise TypeError(f"{value!r} is no map of text to text")
    return cast("dict[str, str]", plain)


def _is_tuple(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is tuple


def _is_text_map(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) is Mapping and kind.__args__ == (str, str)


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)

    def structure_tuple(value: Any, kind: Any) -> tuple[Any, ...]:
        if type(value) is not tuple:
            raise TypeError(f"{value!r} is no list")
        item = kind.__args__[0]
        return tuple(converter.structure(part, item) for part in cast("tuple[object, ...]", value))

    def from_map(cls: Any) -> Callable[[Any, Any], Any]:
        return _from_map(cls, converter)

    for primitive in (int, str, bool, bytes):
        converter.register_structure_hook(primitive, _exactly(primitive))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(enum.StrEnum, _member)
    converter.register_structure_hook(enum.IntEnum, _number_member)
    converter.register_structure_hook_factory(attrs.has, from_map)
    converter.register_structure_hook_func(_is_tuple, structure_tuple)
    converter.register_structure_hook_func(_is_text_map, _text_map)
    for spelt in (Artifact, ArtifactBase, Version):
        converter.register_unstructure_hook(spelt, str)
        converter.register_structure_hook(spelt, _parsed)
    return converter


def _parsed(value: Any, kind: type[Artifact | ArtifactBase | Version]) -> Artifact | ArtifactBase | Version:
    if type(value) is not str:
        raise TypeError(f"{value!r} is no text")
    return kind.parse(value)


_CONVERTER: Final = _converter()
_MALFORMED: Final[tuple[type[Exception], ...]] = (cattrs.BaseValidationError, BadInput, *UNPACK_ERRORS)


def row_codec(cls: type[T]) -> Codec[T]:
    """Codec of an attrs class (or of a plain type): msgpack of its unstructured form."""

    def encode(value: T) -> bytes:
        return pack(_CONVERTER.unstructure(value, unstructure_as=cls))

    def decode(raw: bytes) -> T:
        try:
            return _CONVERTER.structure(unpack(raw), cls)
        except _MALFORMED as error:
            raise BadInput(f"malformed {cls.__name__}", _problems(error)) from error

    return Codec(encode, decode)


def plain_codec(cls: type[T]) -> tuple[Callable[[T], Any], Callable[[Any], T]]:
    """The same in two directions for values in JSON: to what `json.dumps` takes, and back from what `json.loads` gives.

    The second raises BadInput.
    """

    def encode(value: T) -> Any:
        return _CONVERTER.unstructure(value, unstructure_as=cls)

    def decode(plain: Any) -> T:
        try:
            return _CONVERTER.structure(_tuples(plain), cls)
        except _MALFORMED as error:
            raise BadInput(f"malformed {cls.__name__}", _problems(error)) from error

    return encode, decode


def _tuples(plain: Any) -> Any:
    """Lists as msgpack gives them here."""
    if isinstance(plain, list):
        return tuple(map(_tuples, cast("list[Any]", plain)))
    if isinstance(plain, dict):
        return {key: _tuples(value) for key, value in cast("dict[Any, Any]", plain).items()}
    return plain


def _problems(error: Exception) -> tuple[str, ...]:
    if isinstance(error, cattrs.BaseValidationError):
        return tuple(cattrs.transform_error(error, format_exception=lambda problem, _: str(problem)))
    return (str(error),)


def _same(raw: bytes) -> bytes:
    return raw


BYTES: Final = Codec[bytes](_same, _same)
"""User bytes, stored as they are."""
