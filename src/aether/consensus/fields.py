"""Takes the plain values of a message apart, field by field, believing nothing.

Knows: whole numbers, flags, bytes, arrays.
Never: which messages there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from aether.errors import BadInput
from aether.model.ids import NodeId, is_name


def malformed(name: str, why: str) -> BadInput:
    """The refusal of one message."""
    return BadInput(f"malformed {name} message", (why,))


class Fields:
    """Takes the plain values of one message apart, in order, with types checked strictly: True is no number."""

    def __init__(self, name: str, values: Sequence[object], count: int) -> None:
        if len(values) != count:
            raise malformed(name, f"{len(values)} fields, {count} expected")
        self._name = name
        self._values = values
        self._position = 0

    def _next(self) -> object:
        value = self._values[self._position]
        self._position += 1
        return value

    def _refuse(self, value: object, wanted: str) -> BadInput:
        return malformed(self._name, f"field {self._position} is {value!r:.60}, {wanted} expected")

    def number(self, least: int = 0) -> int:
        value = self._next()
        if type(value) is not int or not least <= value < 2**63:
            raise self._refuse(value, f"a whole number >= {least}")
        return value

    def flag(self) -> bool:
        value = self._next()
        if type(value) is not bool:
            raise self._refuse(value, "true or false")
        return value

    def binary(self) -> bytes:
        value = self._next()
        if type(value) is not bytes:
            raise self._refuse(value, "bytes")
        return value

    def name(self) -> NodeId:
        value = self._next()
        if not isinstance(value, str) or not is_name(value):
            raise self._refuse(value, "a node id")
        return NodeId(value)

    def numbers(self) -> tuple[int, ...]:
        """An array of whole numbers."""
        values = self.sequence()
        if not all(type(value) is int and 0 <= value < 2**63 for value in values):
            raise self._refuse(values, "an array of whole numbers")
        return cast("tuple[int, ...]", tuple(values))

    def sequence(self) -> Sequence[object]:
        value = self._next()
        if not isinstance(value, list | tuple):
            raise self._refuse(value, "an array")
        return cast("Sequence[object]", value)
