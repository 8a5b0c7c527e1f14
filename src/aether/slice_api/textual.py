"""Values as text: path, query, header, cookie, environment, command line, and keys of JSON objects.

Knows: which types have one spelling as text, and how lists of them are given.
Never: JSON objects; the caller brings a reader for those.
Holds: text never becomes a value by guessing: `true` is a bool, `True` and `1` are not.
"""

from __future__ import annotations

import collections.abc
import enum
import typing
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from aether.slice_api.annotations import (
    NoCodec,
    TypeOf,
    bare,
    is_enum,
    is_literal,
    is_union,
    origin_of,
    type_name,
    union_members,
    without_none,
)
from aether.slice_api.misfit import Misfit, expected, items
from aether.slice_api.scalars import SCALARS, Kind, decode_int

SEQUENCES: Final[dict[Any, type]] = {
    list: list, tuple: tuple, set: set, frozenset: frozenset, collections.abc.Sequence: list,
    collections.abc.MutableSequence: list, collections.abc.Set: frozenset, collections.abc.MutableSet: set,
}  # fmt: skip
"""Containers that a list of texts may fill, and the class that is built."""

_ORDER: Final = (bool, int, float)  # in a union, the narrower spelling is tried first; `str` takes what is left


@attrs.frozen
class Text:
    """One type as text. exact  reading gives back what was written; not so for the text "7" as `int | str`"""

    name: str
    write: Callable[[Any], str]
    read: Callable[[str], Any]
    exact: bool = True


@attrs.frozen
class Texts:
    """One parameter as one or several texts: read(values) for repeated ones, split(text) for a comma-separated one."""

    read: Callable[[Sequence[str]], Any]
    many: bool

    def split(self, text: str) -> Any:
        return self.read(text.split(",") if self.many and text else [] if self.many else [text])


def text_of(tp: TypeOf) -> Text:
    """The textual codec of a type without parts. Raises NoCodec."""
    tp = bare(tp)
    if tp in SCALARS and tp is not type(None):
        scalar = SCALARS[tp]
        return Text(scalar.name, scalar.write, scalar.read)
    if is_literal(tp):
        return _listed(type_name(tp), [(plain_literal(value), value) for value in typing.get_args(tp)])
    if is_enum(tp):
        cls: Any = tp
        return _flag(cls) if issubclass(cls, enum.Flag) else _listed(cls.__name__, _enum_members(cls))
    if is_union(tp):
        return _union(tp)
    raise NoCodec(f"{type_name(tp)} has no spelling as text; use str, int, float, bool, an Enum, a date, ...")


def texts_of(tp: TypeOf) -> Texts:
    """The textual codec of a parameter, which may be a list of texts. Raises NoCodec."""
    inner = bare(without_none(tp)[0])
    made = SEQUENCES.get(origin_of(inner))
    arguments = typing.get_args(inner)
    if made is None or not arguments or (made is tuple and (len(arguments) != 2 or arguments[1] is not ...)):
        one = text_of(without_none(tp)[0])
        return Texts(lambda values: _single(one, values), many=False)
    item = text_of(arguments[0])

    def read(values: Sequence[str]) -> Any:
        build: Any = made
        return build(items(values, item.read))

    return Texts(read, many=True)


def enum_plain(cls: type[enum.Enum]) -> list[str | int]:
    """How each member is spelt as plain data: its value when all are text or all are integers, else its name."""
    values = [member.value for member in cls]
    if all(type(v) is str for v in values) or all(type(v) is int for v in values):
        return values
    return [member.name for member in cls]


def plain_literal(value: Any) -> Any:
    """A value of a Literal as plain data: enum members as their codec spells them."""
    if isinstance(value, enum.Enum):
        return enum_plain(type(value))[list(type(value)).index(value)]
    return value


def _single(one: Text, values: Sequence[str]) -> Any:
    if len(values) != 1:
        raise Misfit(("", f"expected one value, got {len(values)}"))
    return one.read(values[0])


def _listed(name: str, members: list[tuple[Any, Any]]) -> Text:
    def spell(plain: Any) -> str:
        return SCALARS[type(plain)].write(plain)

    by_text = {spell(plain): value for plain, value in members}
    by_value: dict[tuple[type[Any], Any], str] = {(type(value), value): spell(plain) for plain, value in members}
    if len(by_text) != len(members):
        raise NoCodec(f"{name} has two values with one spelling as text")
    allowed = f"one of {', '.join(by_text)}"

    def write(value: Any) -> str:
        try:
            return by_value[type(value), value]
        except (KeyError, TypeError):
            raise expected(allowed, value) from None

    def read(text: str) -> Any:
        if text not in by_text:
            raise expected(allowed, text)
        return by_text[text]

    return Text(name, write, read)


def _enum_members(cls: Any) -> list[tuple[Any, Any]]:
    return list(zip(enum_plain(cls), cls, strict=True))


def _flag(cls: type[enum.Flag]) -> Text:
    def write(value: Any) -> str:
        if not isinstance(value, cls):
            raise expected(cls.__name__, value)
        return str(value.value)

    def read(text: str) -> Any:
        return flag_member(cls, SCALARS[int].read(text))

    return Text(cls.__name__, write, read)


def flag_member(cls: type[enum.Flag], value: Any) -> enum.Flag:
    try:
        return cls(decode_int(value))
    except ValueError as error:
        raise error if isinstance(error, Misfit) else expected(cls.__name__, value) from None


def _union(tp: TypeOf) -> Text:
    members = [m for m in union_members(tp) if bare(m) is not type(None)]
    members.sort(key=lambda m: _ORDER.index(bare(m)) if bare(m) in _ORDER else len(_ORDER))
    if sum(SCALARS[bare(m)].kind is Kind.TEXT if bare(m) in SCALARS else True for m in members) > 1:
        raise NoCodec(f"{type_name(tp)} is ambiguous as text")
    texts = [text_of(m) for m in members]
    name = " or ".join(text.name for text in texts)

    def attempt(value: Any, how: str) -> Any:
        for text in texts:
            try:
                return getattr(text, how)(value)
            except Misfit:
                continue
        raise expected(name, value)

    return Text(
        name,
        lambda value: attempt(value, "write"),
        lambda value: attempt(value, "read"),
        exact=all(bare(m) in _ORDER for m in members),
    )
