"""What a node and its worker process say to each other: a table of messages.

Knows: their fields, each field's plain type, tags; calls and their replies are those between nodes (room invocation).
Never: sockets, processes, what a message makes anybody do.
Holds: the first message of a worker is its Hello, whose layout never changes; what does not fit its table row is
       BadInput, whoever sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import attrs

from aether.errors import BadInput
from aether.invocation.messages import MESSAGES as CALL_MESSAGES
from aether.wire.plain import pack, unpack

PROTOCOL: Final = 2
"""Raised with each change of a message that an older worker or node would misread."""


class Hello(NamedTuple):
    """Worker to node, first of all."""

    protocol: int
    pid: int


class Begin(NamedTuple):
    """Node to worker: become this instance.

    module, qualname  of the class; file  to load the module from where it cannot be imported by its name
    artifact, node, instance  who it is; drain_s  as for any instance
    log_level         of the node's root logger; data_bytes_max  of writable memory, 0 = no bound
    fields            what its fields were given, spelt by `given`
    """

    module: str
    qualname: str
    file: str
    artifact: str
    node: str
    instance: str
    drain_s: float
    log_level: int
    data_bytes_max: int
    fields: list[Any]


class Describe(NamedTuple):
    """Node to worker, in place of Begin: import these classes, tell what they are, and end.

    slices  `[module, qualname, artifact]` each; log_level, data_bytes_max  as in Begin
    """

    slices: list[Any]
    log_level: int
    data_bytes_max: int


class Described(NamedTuple):
    """Worker to node, last of all: `[description, problem]` of each slice."""

    answers: list[Any]


class Check(NamedTuple):
    """Node to worker: do these arguments fit? A CallReply with that number says Done, or refuses them."""

    call_id: int
    method: str
    form: str
    payload: object


class Begun(NamedTuple):
    """Worker to node: the lifespan has started; calls may come."""

    slice: str


class Ended(NamedTuple):
    """Worker to node, last of all: it stopped in order (kind ""), or this was raised."""

    kind: str
    message: str
    traceback: str


class Stop(NamedTuple):
    """Node to worker: drain and end; at_once  cancel everything instead of draining."""

    at_once: bool


class CallOut(NamedTuple):
    """Worker to node: carry out a call of a dependency.

    call_id    of the worker's own count, shared with MapAccess; remaining_s  as between nodes
    options    of CallOptions, those that were set
    """

    call_id: int
    target: str
    method: str
    remaining_s: float
    payload: object
    options: dict[str, Any]
    extra: dict[str, Any]


class MapAccess(NamedTuple):
    """Worker to node: `get`, `apply`, `scan` or `count` of a map that one of its fields was given."""

    call_id: int
    map_name: str
    operation: str
    arguments: list[Any]


class Withdraw(NamedTuple):
    """Worker to node: nobody waits for this answer any more."""

    call_id: int


class Answer(NamedTuple):
    """Node to worker: what came of a CallOut or MapAccess. error  spelt by `worker_errors`, [] = none"""

    call_id: int
    error: list[Any]
    value: object


class Log(NamedTuple):
    """Worker to node: one record. dropped  how many before it found no room"""

    level: int
    logger: str
    message: str
    created: float
    dropped: int


@attrs.frozen
class Spec:
    """One row of the table."""

    tag: int
    cls: type[Any]
    encode: Callable[[Any], Sequence[object]]
    decode: Callable[[Sequence[object]], Any]


def _fields(message: tuple[object, ...]) -> list[object]:
    return list(message)


def _row(tag: int, cls: Any, *types: type) -> Spec:
    """A message whose fields have exactly these plain types; `object` stands for any."""
    assert len(types) == len(cls._fields), cls

    def decode(fields: Sequence[object]) -> Any:
        if len(fields) != len(types):
            raise BadInput(f"{len(fields)} fields where {cls.__name__} has {len(types)}")
        for name, field, wanted in zip(cls._fields, fields, types, strict=True):
            if wanted is not object and type(field) is not wanted:
                raise BadInput(f"{cls.__name__}.{name} is {type(field).__name__}, not {wanted.__name__}")
        return cls(*fields)

    return Spec(tag, cls, _fields, decode)


SPECS: Final = (
    _row(1, Hello, int, int),
    _row(2, Begin, str, str, str, str, str, str, float, int, int, list),
    _row(3, Begun, str),
    _row(4, Ended, str, str, str),
    _row(5, Stop, bool),
    _row(6, CallOut, int, str, str, float, object, dict, dict),
    _row(7, MapAccess, int, str, str, list),
    _row(8, Withdraw, int),
    _row(9, Answer, int, list, object),
    _row(10, Log, int, str, str, float, int),
    _row(11, Describe, list, int, int),
    _row(12, Described, list),
    _row(13, Check, int, str, str, object),
    *(Spec(spec.tag, spec.cls, spec.encode, spec.decode) for spec in CALL_MESSAGES),
)
_BY_TAG: Final[Mapping[int, Spec]] = {spec.tag: spec for spec in SPECS}
_BY_CLASS: Final[Mapping[type, Spec]] = {spec.cls: spec for spec in SPECS}

assert len(_BY_TAG) == len(SPECS), "a tag stands for one message"


def encode_message(message: object, request_id: str = "") -> bytes:
    """`message` as the payload of a frame. Raises TypeError, ValueError or OverflowError for what msgpack has not."""
    spec = _BY_CLASS[type(message)]
    return pack((spec.tag, request_id, spec.encode(message)))


def decode_message(payload: bytes) -> tuple[Any, str]:
    """(message, request id). Raises BadInput for anything that is not one of the table."""
    try:
        plain = unpack(payload)
    except (ValueError, TypeError) as error:
        raise BadInput(f"a frame that is no msgpack: {error}") from None
    parts: list[Any] = cast("Any", plain) if isinstance(plain, list) else []
    if len(parts) != 3 or type(parts[0]) is not int or type(parts[1]) is not str or type(parts[2]) is not list:
        raise BadInput(f"{plain!r:.80} is no message")
    tag, request_id, fields = parts
    spec = _BY_TAG.get(tag)
    if spec is None:
        raise BadInput(f"no message has tag {tag}")
    return spec.decode(fields), request_id
