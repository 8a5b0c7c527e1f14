"""Which number stands for which message, and how its fields are spelt.

Knows: tags, lanes, the envelope `[tag, request id, fields]` in msgpack, and its limits.
Never: any message class: whoever assembles a node registers them.
Holds: a tag means one class with the same fields for ever; nothing but a registered class, Unknown or BadInput comes
       out of `decode`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast

import attrs

from aether.errors import BadInput
from aether.model.limits import FRAME_BYTES_MAX, REQUEST_ID_CHARS_MAX
from aether.wire.frames import FrameTooLarge
from aether.wire.lane import Lane
from aether.wire.plain import pack, unpack

M = TypeVar("M")
TAG_MAX: Final = 0xFFFF
_MALFORMED: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


@attrs.frozen
class Unknown:
    """A message under a tag that this release does not have: a newer one sent it."""

    tag: int


@attrs.frozen
class _Row:
    tag: int
    cls: type[Any]
    lane: Lane
    is_urgent: bool
    encode: Callable[[Any], Sequence[object]]
    decode: Callable[[Sequence[object]], Any]


@attrs.define
class MessageTable:
    """The messages that two nodes can exchange. Filled once at assembly, then only read."""

    _by_class: dict[type[Any], _Row] = attrs.field(factory=dict[type[Any], _Row], init=False)
    _by_tag: dict[int, _Row] = attrs.field(factory=dict[int, _Row], init=False)

    def register(
        self,
        tag: int,
        cls: type[M],
        lane: Lane,
        encode: Callable[[M], Sequence[object]],
        decode: Callable[[Sequence[object]], M],
        *,
        urgent: bool = False,
    ) -> None:
        """Let `tag` stand for `cls` on `lane`. `encode` gives plain fields; `decode` builds the message or raises.

        urgent  a short message that overtakes all that waits on its lane
        `decode` may raise BadInput, ValueError, TypeError, LookupError, AttributeError or ArithmeticError for fields
        that do not fit. Raises ValueError when the tag or the class is taken: a bug of the assembly.
        """
        if not 0 <= tag <= TAG_MAX:
            raise ValueError(f"tag {tag} of {cls.__name__} is outside 0..{TAG_MAX}")
        if tag in self._by_tag:
            raise ValueError(f"tag {tag} is taken by {self._by_tag[tag].cls.__name__}; give {cls.__name__} another")
        if cls in self._by_class:
            raise ValueError(f"{cls.__name__} has tag {self._by_class[cls].tag} already")
        self._by_tag[tag] = self._by_class[cls] = _Row(tag, cls, lane, urgent, encode, decode)

    def lane_of(self, cls: type[object]) -> Lane:
        """The lane of `cls`. Raises KeyError when it was never registered: a bug of the assembly."""
        return self._by_class[cls].lane

    def is_urgent(self, cls: type[object]) -> bool:
        """Whether messages of `cls` overtake others. Raises KeyError as `lane_of`."""
        return self._by_class[cls].is_urgent

    def encode(self, message: object, request_id: str) -> tuple[Lane, bytes]:
        """The lane of `message` and the payload of its frame. Raises FrameTooLarge above FRAME_BYTES_MAX.

        Fields that msgpack cannot spell raise its TypeError, ValueError or OverflowError: a bug of the encoder.
        """
        assert len(request_id) <= REQUEST_ID_CHARS_MAX, f"a request id of {len(request_id)} characters"
        row = self._by_class[type(message)]
        payload = pack((row.tag, request_id, row.encode(message)))
        if len(payload) > FRAME_BYTES_MAX:
            raise FrameTooLarge.of(len(payload), FRAME_BYTES_MAX)
        return row.lane, payload

    def decode(self, payload: bytes) -> tuple[object, str]:
        """The message in `payload`, or Unknown, and its request id. Raises BadInput: malformed, unfit fields."""
        try:
            tag, request_id, fields = cast("Any", unpack(payload))
        except _MALFORMED as error:
            raise BadInput("malformed message", (str(error),)) from error
        if type(tag) is not int or type(request_id) is not str or type(fields) is not list:
            raise BadInput("malformed message", ("the envelope is not [tag, request id, fields]",))
        if len(request_id) > REQUEST_ID_CHARS_MAX:
            raise BadInput("malformed message", (f"a request id of {len(request_id)} characters",))
        row = self._by_tag.get(tag)
        if row is None:
            if not 0 <= tag <= TAG_MAX:
                raise BadInput("malformed message", (f"a message tag of {tag}",))
            return Unknown(tag), request_id
        try:
            return row.decode(cast("list[object]", fields)), request_id
        except _MALFORMED as error:
            raise BadInput(f"malformed {row.cls.__name__}", (str(error) or type(error).__name__,)) from error
