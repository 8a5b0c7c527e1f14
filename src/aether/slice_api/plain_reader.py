"""Plain data from outside, read part by part: the first part that does not fit is named.

Knows: the types that JSON and msgpack have.
Never: what is described, which parts it must have.
Holds: types are exact: no bool is a number, and nothing is converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

import attrs

from aether.errors import BadInput

T = TypeVar("T")

_WORDS: Final[Mapping[type, str]] = {str: "text", bool: "a bool", int: "an integer", list: "a list"}
_SHOWN: Final = 60


@attrs.frozen
class PlainReader:
    """Of one kind of data. what  how an error begins; every method raises BadInput with the place and what is there"""

    what: str

    def misfit(self, where: str, expected: str, value: object) -> BadInput:
        """The error for a value that does not fit."""
        return BadInput(self.what, (f"{where}: expected {expected}, got {value!r:.{_SHOWN}}",))

    def table(self, plain: object, where: str) -> dict[str, Any]:
        if not isinstance(plain, dict) or not all(isinstance(key, str) for key in cast("dict[object, object]", plain)):
            raise self.misfit(where, "an object", cast("object", plain))
        return cast("dict[str, Any]", plain)

    def items(self, part: Mapping[str, object], name: str) -> list[object]:
        return cast("list[object]", self.exact(part, name, list))

    def text(self, part: Mapping[str, object], name: str) -> str:
        return self.exact(part, name, str)

    def flag(self, part: Mapping[str, object], name: str) -> bool:
        return self.exact(part, name, bool)

    def count(self, part: Mapping[str, object], name: str, least: int, most: int | None = None) -> int:
        value = self.exact(part, name, int)
        if value < least or (most is not None and value > most):
            raise self.misfit(name, f"at least {least}" if most is None else f"{least} to {most}", value)
        return value

    def exact(self, part: Mapping[str, object], name: str, kind: type[T]) -> T:
        return self.value(part.get(name), name, kind)

    def value(self, value: object, where: str, kind: type[T]) -> T:
        if type(value) is not kind:
            raise self.misfit(where, _WORDS[kind], value)
        return cast("T", value)
