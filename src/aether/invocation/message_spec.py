"""How a message of this room is registered, and that it has as many fields as it should.

Knows: the shape of one row of the message table.
Never: any message, lanes as objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from aether.errors import BadInput


@attrs.frozen
class MessageSpec:
    """One row of the message table: `lane` is the name of a wire lane."""

    tag: int
    cls: type[Any]
    lane: str
    encode: Callable[[Any], Sequence[object]]
    decode: Callable[[Sequence[object]], Any]


def fields_of(what: str, count: int, fields: Sequence[object]) -> Sequence[Any]:
    """`fields`, of which a message of `what` has `count`. Raises BadInput for any other number."""
    if len(fields) != count:
        raise BadInput(f"{len(fields)} fields where a message of {what} has {count}")
    return fields
