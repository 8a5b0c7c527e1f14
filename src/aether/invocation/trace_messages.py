"""The question what a node knows of a request, and its answer.

Knows: their fields and their plain spelling.
Never: lanes as objects, frames, who sends them.
Holds: what comes from outside is checked before anybody makes a tree of it (traced.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

from aether.errors import BadInput
from aether.invocation.message_spec import MessageSpec, fields_of
from aether.model.limits import REQUEST_ID_CHARS_MAX, TRACE_CALLS_TOLD_MAX


class TraceRequest(NamedTuple):
    """What do you know of the calls of this request? number  the asker's, unique in its process"""

    number: int
    asked_id: str


class TraceReply(NamedTuple):
    """calls  as traced.call_to_plain spells them, the oldest first"""

    number: int
    calls: Sequence[object]


def encode_trace_request(m: TraceRequest) -> Sequence[object]:
    return [m.number, m.asked_id]


def decode_trace_request(fields: Sequence[object]) -> TraceRequest:
    number, asked_id = fields_of("trace", 2, fields)
    if type(number) is not int or type(asked_id) is not str or len(asked_id) > REQUEST_ID_CHARS_MAX:
        raise BadInput("a field of a question for a trace has the wrong type, or is too long")
    return TraceRequest(number, asked_id)


def encode_trace_reply(m: TraceReply) -> Sequence[object]:
    return [m.number, list(m.calls)]


def decode_trace_reply(fields: Sequence[object]) -> TraceReply:
    number, calls = fields_of("trace", 2, fields)
    if type(number) is not int or not isinstance(calls, list | tuple):
        raise BadInput("a field of a told trace has the wrong type")
    told = cast("Sequence[Any]", calls)
    if len(told) > TRACE_CALLS_TOLD_MAX:
        raise BadInput(f"a trace of {len(told)} calls; at most {TRACE_CALLS_TOLD_MAX} are told")
    return TraceReply(number, told)


TRACE_MESSAGES: Final = (
    MessageSpec(75, TraceRequest, "CALLS", encode_trace_request, decode_trace_request),
    MessageSpec(76, TraceReply, "CALLS", encode_trace_reply, decode_trace_reply),
)
