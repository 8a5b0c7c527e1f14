"""Values of rows, decoded once on a node for all that read them.

Knows: the version of a row names its value; which prefixes somebody follows.
Never: decodes what nobody asked for; values outside those prefixes, such as entries of user maps.
Holds: of a row that changed or went, nothing is remembered: there are never more values than rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from aether.kv.keys import Prefix
from aether.model.ids import Revision

T = TypeVar("T")


class DecodedRows:
    """Of one store. Whoever changes rows says so with `changed` before anybody reads."""

    def __init__(self) -> None:
        self._followed: tuple[str, ...] = ()
        self._values: dict[str, tuple[Revision, Any]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def follow(self, prefix: Prefix[Any]) -> None:
        """Remember values under `prefix` from now on."""
        if not prefix.startswith(self._followed):
            self._followed += (prefix,)

    def value(self, text: str, raw: bytes, version: Revision, decode: Callable[[bytes], T]) -> T:
        """The value of the row, the same object as long as it does not change. Raises BadInput when malformed."""
        known = self._values.get(text)
        if known is not None and known[0] == version:
            return cast("T", known[1])
        value = decode(raw)
        if text.startswith(self._followed):
            self._values[text] = version, value
        return value

    def changed(self, keys: Iterable[str]) -> None:
        """These rows are others now, or gone."""
        if self._values:
            for text in keys:
                self._values.pop(text, None)

    def clear(self) -> None:
        """Every row may be another one now."""
        self._values.clear()
