"""The three messages of a call, and the table of all messages of this room.

Knows: their fields, their plain spelling, and the table that node/messages_table.py registers.
Never: lanes as objects, frames, who sends them.
Holds: tags are never reused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, cast

import attrs

from aether.errors import BadInput
from aether.invocation.health_messages import HEALTH_MESSAGES
from aether.invocation.message_spec import MessageSpec, fields_of
from aether.invocation.reply import FORMS, Form, Outcome, decode_reply, encode_reply
from aether.invocation.stream_messages import STREAM_MESSAGES
from aether.invocation.trace_messages import TRACE_MESSAGES
from aether.model.ids import InstanceId
from aether.model.limits import CALL_EXTRA_ENTRIES_MAX, CANCEL_REASON_CHARS_MAX

NO_EXTRA: Final[Mapping[str, object]] = MappingProxyType({})


class CallRequest(NamedTuple):
    """Caller to callee: run `method` of `instance`. A NamedTuple, as is its reply: each call makes one on both sides.

    call_id      the caller's correlation id, unique per process of the caller
    target       `group:artifact`; instance  the one that the caller chose
    form         how payload is spelt; payload  plain data
    remaining_s  seconds until the deadline, counted from arrival: clocks are never compared across nodes
    attempt      1 for the first try
    extra        what the call says of itself beside its arguments, plain: "key", "oneway", "prio", "trace", "state",
                 "ctx"; each entry is read and checked by the module that owns it, and unknown ones are ignored: nodes
                 differ in version. Without "trace", ids of both spans are made of request id and call_id
    """

    call_id: int
    target: str
    instance: InstanceId
    method: str
    form: Form
    remaining_s: float
    payload: object
    attempt: int = 1
    extra: Mapping[str, object] = NO_EXTRA


class CallReply(NamedTuple):
    """Callee to caller: what came of it."""

    call_id: int
    reply: Outcome


@attrs.frozen
class CallCancel:
    """Caller to callee: nobody waits for this call any more."""

    call_id: int
    reason: str


def encode_request(m: CallRequest) -> Sequence[object]:
    fields: list[object] = [
        m.call_id,
        m.target,
        m.instance,
        m.method,
        m.form.value,
        m.remaining_s,
        m.payload,
        m.attempt,
    ]
    if m.extra:
        fields.append(dict(m.extra))
    return fields


def decode_request(fields: Sequence[object]) -> CallRequest:
    extra = NO_EXTRA
    if len(fields) == 9:
        extra, fields = _extra(fields[8]), fields[:8]
    call_id, target, instance, method, form, remaining_s, payload, attempt = fields_of("a call", 8, fields)
    if not type(target) is type(instance) is type(method) is type(form) is str:
        raise BadInput("a name in a call request is no text")
    if type(call_id) is not int or type(attempt) is not int or type(remaining_s) is not float:
        raise BadInput("a number in a call request has the wrong type")
    if remaining_s != remaining_s:
        raise BadInput("the time left of a call request is no number")
    if form not in FORMS:
        raise BadInput(f"{form!r:.40} is no form of a call")
    return CallRequest(call_id, target, InstanceId(instance), method, FORMS[form], remaining_s, payload, attempt, extra)


def encode_call_reply(m: CallReply) -> Sequence[object]:
    return [m.call_id, encode_reply(m.reply)]


def decode_call_reply(fields: Sequence[object]) -> CallReply:
    call_id, reply = fields_of("a call", 2, fields)
    if type(call_id) is not int:
        raise BadInput("a call reply has no correlation id")
    return CallReply(call_id, decode_reply(reply))


def encode_cancel(m: CallCancel) -> Sequence[object]:
    return [m.call_id, m.reason]


def decode_cancel(fields: Sequence[object]) -> CallCancel:
    call_id, reason = fields_of("a call", 2, fields)
    if type(call_id) is not int or type(reason) is not str:
        raise BadInput("a field of a call cancellation has the wrong type")
    return CallCancel(call_id, reason[:CANCEL_REASON_CHARS_MAX])


def _extra(plain: object) -> Mapping[str, object]:
    entries = cast("dict[object, object]", plain) if isinstance(plain, dict) else None
    if entries is None or len(entries) > CALL_EXTRA_ENTRIES_MAX or not all(type(name) is str for name in entries):
        raise BadInput(f"{plain!r:.80} is nothing that a call says of itself")
    return cast("dict[str, object]", plain)


MESSAGES: Final = (
    MessageSpec(64, CallRequest, "CALLS", encode_request, decode_request),
    MessageSpec(65, CallReply, "CALLS", encode_call_reply, decode_call_reply),
    MessageSpec(66, CallCancel, "CALLS", encode_cancel, decode_cancel),
    *STREAM_MESSAGES,
    *HEALTH_MESSAGES,
    *TRACE_MESSAGES,
)
