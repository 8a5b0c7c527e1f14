"""How a worker process ends badly, and errors of the runtime, spelt so that they arrive in a worker as what they were.

Knows: the classes of `aether.errors`, a closed table, and their fields.
Never: exceptions of user code (they are outcomes of calls), tracebacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeGuard, cast

import attrs

from aether import errors
from aether.errors import AetherError, BadInput, CallFailed
from aether.invocation.reply import Failed, Outcome, decode_reply, encode_reply
from aether.model.ids import InstanceId


class WorkerDied(Exception):
    """A worker process ended without a last word: killed, crashed, out of memory. pid  of it; how  it ended"""

    def __init__(self, slice_: str, pid: int, how: str) -> None:
        super().__init__(f"worker process {pid} of {slice_} {how}")
        self.pid = pid
        self.how = how


class WorkerFailed(Exception):
    """User code of an instance in a worker process raised: its lifespan, a background task, or its construction."""

    def __init__(self, kind: str, message: str, traceback: str) -> None:
        super().__init__(f"{kind}: {message}")
        if traceback:
            self.add_note(f"in the worker process:\n{traceback.rstrip()}")


_MESSAGE: Final = "OutcomeUnknown"  # the one without fields
_CLASSES: Final[dict[str, Any]] = {
    name: getattr(errors, name) for name in errors.__all__ if attrs.has(getattr(errors, name)) or name == _MESSAGE
}


def encode_error(error: Exception) -> list[Any]:
    """`[class, fields]`; what is none of the table goes as CallFailed with its class and text."""
    name = type(error).__name__
    cls = _CLASSES.get(name)
    if cls is type(error) and name == _MESSAGE:
        return [name, {"message": str(error)}]
    if cls is type(error):
        return [name, {field.name: _plain(getattr(error, field.name)) for field in attrs.fields(cast("Any", cls))}]
    return ["CallFailed", {"kind": name, "message": str(error)}]


def decode_error(plain: list[Any]) -> AetherError:
    """Inverse of encode_error. Raises BadInput for what is none of the table, or does not fit its class."""
    match plain:
        case [str(name), dict()] if name in _CLASSES:
            try:
                error: AetherError = _CLASSES[name](**plain[1])
            except TypeError as problem:
                raise BadInput(f"{name} cannot be made: {problem}") from None
            return error
        case _:
            raise BadInput(f"{plain!r:.80} is no error")


def _plain(value: Any) -> object:
    if isinstance(value, tuple | list):
        return [str(each) for each in cast("list[Any]", value)]
    return value if isinstance(value, str | int | float | None) else str(value)


def encode_heard(heard: Mapping[InstanceId, Outcome | Exception]) -> list[Any]:
    """What each instance answered, as `[instance, error or [], reply or None]` each."""
    return [
        [name, encode_error(said), None] if isinstance(said, Exception) else [name, [], encode_reply(said)]
        for name, said in heard.items()
    ]


def decode_heard(plain: object) -> dict[InstanceId, Outcome | Exception]:
    """Inverse of encode_heard. Raises BadInput."""
    found: dict[InstanceId, Outcome | Exception] = {}
    for each in cast("list[Any]", plain):
        match each:
            case [str(name), [], reply]:
                found[InstanceId(name)] = decode_reply(reply)
            case [str(name), [_, _] as error, None]:
                found[InstanceId(name)] = decode_error(cast("list[Any]", error))
            case _:
                raise BadInput(f"{each!r:.80} is no answer of an instance")
    return found


def spelt_error(error: Exception) -> Failed:
    """An error of the runtime as the outcome of a stream: none that a method can have, for its attempt is 0."""
    return Failed(kind=type(error).__name__, message=json.dumps(encode_error(error)), attempt=_NO_ATTEMPT)


def is_spelt(reply: Outcome) -> TypeGuard[Failed]:
    """Whether `reply` stands for an error of the runtime."""
    return isinstance(reply, Failed) and reply.attempt == _NO_ATTEMPT


def said_error(reply: Failed) -> AetherError:
    """Inverse of spelt_error. Raises BadInput."""
    try:
        return decode_error(json.loads(reply.message))
    except ValueError as problem:
        raise BadInput(f"{reply.message!r:.80} is no error") from problem


_NO_ATTEMPT: Final = 0
assert CallFailed.__name__ in _CLASSES, "the one for everything else"
