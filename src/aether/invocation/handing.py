"""A stream handed on: what its last reader needs to open it at its source.

Knows: the plain spelling of a stream that was asked for and not opened.
Never: opening it.
Holds: a reference says no more than a call would: which method of which slice, with which arguments.
"""

from __future__ import annotations

from typing import Any, cast

import attrs

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase


@attrs.frozen
class Reference:
    """The stream `method` of `target`. payload  its encoded arguments"""

    target: ArtifactBase
    method: str
    payload: object

    def to_plain(self) -> list[object]:
        return [str(self.target), self.method, self.payload]

    @classmethod
    def from_plain(cls, plain: object) -> Reference:
        """Inverse of `to_plain`. Raises BadInput."""
        parts: list[Any] = cast("list[Any]", plain) if isinstance(plain, list) else []
        match parts:
            case [str(target), str(method), payload]:
                return cls(ArtifactBase.parse(target), method, payload)
            case _:
                raise BadInput(f"{plain!r:.80} is no reference to a stream")
