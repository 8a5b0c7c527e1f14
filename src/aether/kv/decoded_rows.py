"""Values of rows, decoded once on a node for all that read them, and which rows cannot be read at all.

Knows: the version of a row names its value; which prefixes somebody follows.
Never: decodes what nobody asked for; values outside those prefixes, such as entries of user maps.
Holds: of a row that changed or went, nothing is remembered: there are never more values than rows. A row that cannot be
       read is named once, with its key, and is left out by all readers: it ends nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, cast

from aether.errors import BadInput
from aether.kv.key_kinds import Prefix
from aether.model.ids import Revision

T = TypeVar("T")
_log: Final = logging.getLogger("aether.kv")


class DecodedRows:
    """Of one store. Whoever changes rows says so with `changed` before anybody reads."""

    def __init__(self) -> None:
        self._followed: tuple[str, ...] = ()
        self._values: dict[str, tuple[Revision, Any]] = {}
        self._unreadable: dict[str, Revision] = {}

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

    @property
    def unreadable(self) -> Iterable[str]:
        """Keys of rows that somebody asked for, and that this version cannot read."""
        return self._unreadable.keys()

    def readable(self, text: str, raw: bytes, version: Revision, decode: Callable[[bytes], T]) -> tuple[T] | None:
        """As `value`, in a tuple of one; None when this version cannot read the row, which is said once."""
        if self._unreadable.get(text) == version:
            return None
        try:
            return (self.value(text, raw, version, decode),)
        except BadInput as error:
            self._unreadable[text] = version
            _log.warning("row %s cannot be read by this version, and is left out until it changes: %s", text, error)
            return None

    def changed(self, keys: Iterable[str]) -> None:
        """These rows are others now, or gone."""
        if self._values or self._unreadable:
            for text in keys:
                self._values.pop(text, None)
                self._unreadable.pop(text, None)

    def clear(self) -> None:
        """Every row may be another one now."""
        self._values.clear()
        self._unreadable.clear()
