"""How a message of this room is registered.

Knows: the shape of one row of the message table.
Never: any message, lanes as objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs


@attrs.frozen
class MessageSpec:
    """One row of the message table: `lane` is the name of a wire lane."""

    tag: int
    cls: type[Any]
    lane: str
    encode: Callable[[Any], Sequence[object]]
    decode: Callable[[Sequence[object]], Any]
