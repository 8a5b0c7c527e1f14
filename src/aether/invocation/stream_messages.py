"""The six messages of a stream.

Knows: their fields and their plain spelling. Channel 0 carries the callee's items to the caller, channel n the n-th
       parameter that is a stream, from the caller to the callee; credit and stops travel against the items.
Never: lanes as objects, who sends them.
Holds: every number is a running total, so that a message may come twice, or after a newer one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from aether.errors import BadInput
from aether.invocation.message_spec import MessageSpec, fields_of
from aether.invocation.reply import FORMS, Form, Outcome, decode_reply, encode_reply
from aether.model.ids import InstanceId
from aether.model.limits import (
    CALL_EXTRA_ENTRIES_MAX,
    CANCEL_REASON_CHARS_MAX,
    STREAM_AHEAD_ITEMS_MAX,
    STREAM_INPUTS_MAX,
)


class StreamRequest(NamedTuple):
    """Caller to callee: open the stream `method` of `instance`. Fields as in CallRequest, and:

    remaining_s   seconds that it may last; infinity when the caller set no deadline
    items, bytes  credit for the callee's items
    inputs        parameters that are streams, for channels 1, 2, ...: None, or where the callee reads it itself
    extra         as in CallRequest; unknown keys are ignored
    """

    call_id: int
    target: str
    instance: InstanceId
    method: str
    form: Form
    remaining_s: float
    payload: object
    attempt: int
    items: int
    bytes: int
    inputs: Mapping[str, object] = {}
    extra: Mapping[str, object] = {}


class StreamOpened(NamedTuple):
    """Callee to caller: the method has begun.

    items, bytes  credit for each input
    onward        where the stream comes from when the method handed it on: spelt by `handing`; None when it did not
    """

    call_id: int
    items: int
    bytes: int
    onward: object = None


class StreamItem(NamedTuple):
    """One item: its place in the channel, counted from 0, and its msgpack."""

    call_id: int
    channel: int
    number: int
    body: bytes


class StreamCredit(NamedTuple):
    """Reader to sender of a channel: totals that may be sent."""

    call_id: int
    channel: int
    items: int
    bytes: int


class StreamEnd(NamedTuple):
    """Sender to reader of a channel: `items` were sent, and this is what came of it."""

    call_id: int
    channel: int
    items: int
    outcome: Outcome


class StreamStop(NamedTuple):
    """Reader to sender of a channel: send no more. On channel 0 it ends the whole call."""

    call_id: int
    channel: int
    reason: str


def encode_stream_request(m: StreamRequest) -> Sequence[object]:
    first = [m.call_id, m.target, m.instance, m.method, m.form.value, m.remaining_s, m.payload, m.attempt]
    return [*first, m.items, m.bytes, dict(m.inputs), dict(m.extra)]


def decode_stream_request(fields: Sequence[object]) -> StreamRequest:
    call_id, target, instance, method, form, remaining_s, payload, attempt, items, bytes_, inputs, extra = fields_of(
        "a stream", 12, fields
    )
    _numbers(call_id, attempt, items, bytes_)
    if not type(target) is type(instance) is type(method) is type(form) is str:
        raise BadInput("a name in a stream request is no text")
    if type(remaining_s) is not float or remaining_s != remaining_s or items > STREAM_AHEAD_ITEMS_MAX:
        raise BadInput("a number in a stream request is out of range")
    if form not in FORMS:
        raise BadInput(f"{form!r:.40} is no form of a call")
    return StreamRequest(
        call_id, target, InstanceId(instance), method, FORMS[form], remaining_s, payload, attempt, items, bytes_,
        _named(inputs, STREAM_INPUTS_MAX), _named(extra, CALL_EXTRA_ENTRIES_MAX),
    )  # fmt: skip


def encode_opened(m: StreamOpened) -> Sequence[object]:
    return list(m)


def decode_opened(fields: Sequence[object]) -> StreamOpened:
    call_id, items, bytes_, onward = fields_of("a stream", 4, fields)
    _numbers(call_id, items, bytes_)
    return StreamOpened(call_id, items, bytes_, onward)


def encode_item(m: StreamItem) -> Sequence[object]:
    return m


def decode_item(fields: Sequence[object]) -> StreamItem:
    call_id, channel, number, body = fields_of("a stream", 4, fields)
    if not (type(call_id) is type(channel) is type(number) is int and type(body) is bytes) or number < 0:
        raise BadInput("a field of a stream's item has the wrong type")
    return StreamItem(call_id, channel, number, body)


def encode_credit(m: StreamCredit) -> Sequence[object]:
    return list(m)


def decode_credit(fields: Sequence[object]) -> StreamCredit:
    call_id, channel, items, bytes_ = fields_of("a stream", 4, fields)
    _numbers(call_id, channel, items, bytes_)
    return StreamCredit(call_id, channel, items, bytes_)


def encode_end(m: StreamEnd) -> Sequence[object]:
    return [m.call_id, m.channel, m.items, encode_reply(m.outcome)]


def decode_end(fields: Sequence[object]) -> StreamEnd:
    call_id, channel, items, outcome = fields_of("a stream", 4, fields)
    _numbers(call_id, channel, items)
    return StreamEnd(call_id, channel, items, decode_reply(outcome))


def encode_stop(m: StreamStop) -> Sequence[object]:
    return list(m)


def decode_stop(fields: Sequence[object]) -> StreamStop:
    call_id, channel, reason = fields_of("a stream", 3, fields)
    _numbers(call_id, channel)
    if type(reason) is not str or len(reason) > CANCEL_REASON_CHARS_MAX:
        raise BadInput("the reason of a stream's stop is no text, or too long")
    return StreamStop(call_id, channel, reason)


def _named(plain: object, most: int) -> Mapping[str, object]:
    entries: dict[object, object] = cast("dict[object, object]", plain) if type(plain) is dict else {None: None}
    if len(entries) > most or any(type(name) is not str for name in entries):
        raise BadInput("a stream request has too many inputs or facts beside its arguments, or they have no names")
    return {str(name): value for name, value in entries.items()}


def _numbers(*values: object) -> None:
    for value in values:
        if type(value) is not int or value < 0:
            raise BadInput(f"{value!r:.40} is no number of a stream")


STREAM_MESSAGES: Final = (
    MessageSpec(67, StreamRequest, "CALLS", encode_stream_request, decode_stream_request),
    MessageSpec(68, StreamOpened, "CALLS", encode_opened, decode_opened),
    MessageSpec(69, StreamItem, "CALLS", encode_item, decode_item),
    MessageSpec(70, StreamCredit, "CALLS", encode_credit, decode_credit),
    MessageSpec(71, StreamEnd, "CALLS", encode_end, decode_end),
    MessageSpec(72, StreamStop, "CALLS", encode_stop, decode_stop),
)
