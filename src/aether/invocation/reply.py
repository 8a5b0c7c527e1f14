"""What came of a call, as frozen values with one plain spelling.

Knows: the six outcomes that cross the wire and how they are spelt for msgpack.
Never: exceptions of a slice (rooms slice_api and hosting turn them into outcomes), who waits for the reply.
Holds: NotStarted means that no line of the method ran, so any method may be sent elsewhere; Abandoned means that it
       may have run in part.
"""

from __future__ import annotations

import enum
import math
from typing import Any, Final, TypeAlias, cast

import attrs

from aether import errors
from aether.errors import BadInput
from aether.invocation.hops import Hop, decode_hop, encode_hop
from aether.slice_api.faults import FaultPlain


class Form(enum.StrEnum):
    """How a payload is spelt."""

    WIRE = "wire"  # encoded arguments by name
    HTTP = "http"  # an HttpInput as plain data; the result is a JSON body
    JSON = "json"  # arguments by name in JSON's own types, and so is the result


FORMS: Final = {form.value: form for form in Form}
"""By spelling: each request that arrives looks its form up here."""


@attrs.frozen
class Done:
    """The method returned; `payload` is its encoded result."""

    payload: object


@attrs.frozen
class Faulted:
    """The method raised a Fault of its contract, or refused its arguments (name `BadInput`, status 422)."""

    fault: FaultPlain


@attrs.frozen(kw_only=True)
class Failed:
    """The method raised something foreign.

    kind, message  class name and text of the exception; traceback  its frames, the runtime's trimmed
    slice, method, instance, node  where it ran; attempt  which try of the call this was
    request_id  of the request that it was for
    original  the exception itself, on the node that raised it; never crosses the wire
    """

    kind: str
    message: str
    traceback: str = ""
    slice: str = ""
    method: str = ""
    instance: str = ""
    node: str = ""
    attempt: int = 1
    request_id: str = ""
    original: BaseException | None = attrs.field(default=None, eq=False, repr=False)


UNFINISHED: Final = frozenset(
    name for name in errors.__all__ if issubclass(getattr(errors, name), errors.TryAgain | errors.OutcomeUnknown)
)
"""Kinds of Failed that calls and map accesses of a method raise when something is down or full: it stopped half-way."""


@attrs.frozen
class NotStarted:
    """Nothing of the method ran. `reason`: draining, full, unknown instance, refused, late.

    limit          of calls running and waiting, when the reason is full
    retry_after_s  when there may be room, as far as the instance can tell; 0.0 = it does not
    """

    reason: str
    limit: int = 0
    retry_after_s: float = 0.0


@attrs.frozen
class TimedOut:
    """The deadline passed, or the method raised trio.TooSlowError. `hops` says where the time went."""

    hops: Hop


@attrs.frozen
class Abandoned:
    """The method was cut off while it ran (drain over, instance crashed): it may have happened in part."""

    reason: str


Reply: TypeAlias = Done | Faulted | Failed | NotStarted | TimedOut
Outcome: TypeAlias = Reply | Abandoned

DRAINING = "draining"
FULL = "full"
UNKNOWN_INSTANCE = "unknown instance"
REFUSED = "refused"  # no connection to the node, or its mailbox is full
STEPS_ASIDE = "the node steps aside"  # it can do nothing that has to be stored
LATE = "late"  # what time was left would not do, when the request arrived or when its turn came


NO_ROOM: Final = frozenset({FULL, LATE})
"""The instance has too much to do; asking the same one again at once is of no use."""


UNSENDABLE: Final = (errors.AetherError, TypeError, ValueError, OverflowError)
"""What spelling a message raises when no frame can carry it."""


BROKEN_STATUS: Final = 500
"""An answer over HTTP of this status or above says that something does not work."""
ERROR_CHARS_MAX: Final = 200


def is_broken(payload: object) -> bool:
    """Whether `payload`, an answer over HTTP or the head of one, says so: `[status, ...]`."""
    parts: Any = payload
    return isinstance(payload, list | tuple) and bool(parts) and type(parts[0]) is int and parts[0] >= BROKEN_STATUS


def error_of(outcome: Outcome | None) -> str:
    """What went wrong, in one line; "" for an answer. None: its caller's time was over."""
    match outcome:
        case Faulted(fault):
            return f"{fault.name} ({fault.status})"
        case Failed(kind=kind, message=message):
            return f"{kind}: {message}"[:ERROR_CHARS_MAX]
        case TimedOut() | None:
            return "the time was over"
        case Abandoned(reason) | NotStarted(reason):
            return reason[:ERROR_CHARS_MAX]
        case _:
            return ""  # Done, or a stream that was opened


def encode_reply(reply: Outcome) -> list[object]:
    """`[kind, ...fields]`, plain data for msgpack."""
    if type(reply) is Done:  # nearly all are
        return ["done", reply.payload]
    match reply:
        case Done(payload):
            return ["done", payload]
        case Faulted(fault):
            return ["fault", fault.name, fault.status, fault.title, fault.detail, dict(fault.fields)]
        case Failed():
            return ["failed", *(getattr(reply, name) for name in _FAILED_FIELDS)]
        case NotStarted(reason, limit, retry_after_s):
            return ["not started", reason, limit, retry_after_s]
        case TimedOut(hops):
            return ["timed out", encode_hop(hops)]
        case Abandoned(reason):
            return ["abandoned", reason]


def decode_reply(plain: object) -> Outcome:
    """Inverse of encode_reply. Raises BadInput for anything else."""
    parts: list[Any] = cast("list[Any]", plain) if isinstance(plain, list) else []
    if len(parts) == 2 and parts[0] == "done":  # nearly all are
        return Done(parts[1])
    match parts:
        case ["fault", str(name), int(status), str(title), str(detail), fields]:
            return Faulted(FaultPlain(name=name, status=status, title=title, detail=detail, fields=_named(fields)))
        case ["failed", *facts] if len(facts) == len(_FAILED_FIELDS):
            return _failed(facts)
        case ["not started", str(reason), int(limit)]:
            return NotStarted(reason, limit)  # as nodes before retry_after_s say it
        case ["not started", str(reason), int(limit), float(retry_after_s)] if 0.0 <= retry_after_s < math.inf:
            return NotStarted(reason, limit, retry_after_s)
        case ["timed out", hops]:
            return TimedOut(decode_hop(hops))
        case ["abandoned", str(reason)]:
            return Abandoned(reason)
        case _:
            raise BadInput(f"{plain!r:.80} is no reply to a call")


_FAILED_FIELDS = ("kind", "message", "traceback", "slice", "method", "instance", "node", "request_id", "attempt")


def _failed(facts: list[Any]) -> Failed:
    *texts, attempt = facts
    if not all(isinstance(text, str) for text in texts) or not isinstance(attempt, int):
        raise BadInput(f"{facts!r:.80} are no facts of a failed call")
    kind, message, traceback, slice_, method, instance, node, request_id = (str(text) for text in texts)
    return Failed(
        kind=kind,
        message=message,
        traceback=traceback,
        slice=slice_,
        method=method,
        instance=instance,
        node=node,
        attempt=attempt,
        request_id=request_id,
    )


def unsendable(
    error: Exception, *, target: str = "", method: str = "", instance: str = "", node: str = "", attempt: int = 1
) -> Failed:
    """What travels in place of an outcome that no frame can carry, by whoever caught UNSENDABLE."""
    return Failed(
        kind=type(error).__name__,
        message=f"the result cannot be sent: {error}",
        slice=target,
        method=method,
        instance=instance,
        node=node,
        attempt=attempt,
    )


def _named(plain: object) -> dict[str, object]:
    fields = cast("dict[object, object]", plain) if isinstance(plain, dict) else {None: None}
    if not all(isinstance(name, str) for name in fields):
        raise BadInput(f"{fields!r:.80} are no fields of a fault")
    return {str(name): value for name, value in fields.items()}
