"""The three messages of a call.

Knows: their fields, their plain spelling, and the table that node/messages_table.py registers.
Never: lanes as objects, frames, who sends them.
Holds: tags are never reused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from aether.errors import BadInput
from aether.invocation.reply import Form, Outcome, decode_reply, encode_reply
from aether.model.ids import InstanceId


@attrs.frozen
class CallRequest:
    """Caller to callee: run `method` of `instance`.

    call_id      the caller's correlation id, unique per process of the caller
    target       `group:artifact`; instance  the one that the caller chose
    form         how payload is spelt; payload  plain data
    remaining_s  seconds until the deadline, counted from arrival: clocks are never compared across nodes
    attempt      1 for the first try
    """

    call_id: int
    target: str
    instance: InstanceId
    method: str
    form: Form
    remaining_s: float
    payload: object
    attempt: int = 1


@attrs.frozen
class CallReply:
    """Callee to caller: what came of it."""

    call_id: int
    reply: Outcome


@attrs.frozen
class CallCancel:
    """Caller to callee: nobody waits for this call any more."""

    call_id: int
    reason: str


@attrs.frozen
class MessageSpec:
    """One row of the message table: `lane` is the name of a wire lane."""

    tag: int
    cls: type[Any]
    lane: str
    encode: Callable[[Any], Sequence[object]]
    decode: Callable[[Sequence[object]], Any]


def encode_request(m: CallRequest) -> Sequence[object]:
    return [m.call_id, m.target, m.instance, m.method, m.form.value, m.remaining_s, m.payload, m.attempt]


def decode_request(fields: Sequence[object]) -> CallRequest:
    match list[Any](fields):
        case [
            int(call),
            str(target),
            str(instance),
            str(method),
            "wire" | "http" as form,
            float(left),
            payload,
            int(nth),
        ]:
            return CallRequest(call, target, InstanceId(instance), method, Form(form), left, payload, nth)
        case _:
            raise BadInput("a call request has the wrong fields")


def encode_call_reply(m: CallReply) -> Sequence[object]:
    return [m.call_id, *encode_reply(m.reply)]


def decode_call_reply(fields: Sequence[object]) -> CallReply:
    match list[Any](fields):
        case [int(call), *reply]:
            return CallReply(call, decode_reply(reply))
        case _:
            raise BadInput("a call reply has the wrong fields")


def encode_cancel(m: CallCancel) -> Sequence[object]:
    return [m.call_id, m.reason]


def decode_cancel(fields: Sequence[object]) -> CallCancel:
    match list[Any](fields):
        case [int(call), str(reason)]:
            return CallCancel(call, reason)
        case _:
            raise BadInput("a call cancellation has the wrong fields")


MESSAGES: Final = (
    MessageSpec(64, CallRequest, "CALLS", encode_request, decode_request),
    MessageSpec(65, CallReply, "CALLS", encode_call_reply, decode_call_reply),
    MessageSpec(66, CallCancel, "CALLS", encode_cancel, decode_cancel),
)
