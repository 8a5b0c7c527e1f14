"""What a call tells the next one of where it comes from: trace, context variables, priority.

Knows: spans, the entries "trace", "state", "ctx" and "prio" that a request has beside its arguments.
Never: clocks; randomness is passed in. Ids of spans are made when somebody asks for them: most calls need none.
Holds: all calls of one request have one trace id, from the HTTP edge to the last hop; what a peer says is checked.
       A call that nothing else caused does not say its ids: both its nodes make them of what the request says anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from aether.invocation.messages import NO_EXTRA
from aether.invocation.otel import OtelSpans
from aether.invocation.priority import PRIORITY, read_priority
from aether.invocation.span import Span, TraceSource
from aether.model.trace import TraceContext, parse_trace
from aether.slice_api.context_variable import read_carried
from aether.slice_api.current import NORMAL, NOTHING_CARRIED, RUNNING, CurrentCall, Running

TRACE: Final = "trace"
STATE: Final = "state"
CARRIED: Final = "ctx"
_NEITHER_IS_ZERO: Final = 1 << 128 | 1  # neither the 64 bits of a span's id nor the 128 of its trace's


def passed_on(running: Running | None) -> dict[str, object]:
    """What a request made on behalf of `running` says beside its arguments, for who has no tracer at hand."""
    if running is None or running.describe is None:
        return {}
    call = running.describe(running)
    said: dict[str, object] = {TRACE: call.traceparent}
    if call.tracestate:
        said[STATE] = call.tracestate
    if running.carried:
        said[CARRIED] = dict(running.carried)
    return said


class Bits(Protocol):
    """The part of random.Random that ids need."""

    def getrandbits(self, k: int, /) -> int: ...


class Tracer:
    """Makes and reads what calls of one node say of where they come from.

    left_s  what is left of the time until one that is given, and in the current scope
    """

    def __init__(self, node: str, random: Bits, left_s: Callable[[float], float]) -> None:
        self.node: str = node
        self._random = random
        self._left_s = left_s
        self._describe = self.describe  # bound once, not for each call
        self.spans: OtelSpans | None = None
        """Spans for whoever looks at traces; None where nobody can."""

    def recording(self, now_s: float) -> OtelSpans | None:
        """What makes a span of each call; None when nobody records them."""
        spans = self.spans
        return spans if spans is not None and spans.is_on(now_s) else None

    def request_id(self) -> str:
        """For a request that brings none."""
        return f"{self._random.getrandbits(64):016x}"

    def place(self, span: Span) -> TraceContext:
        """Where `span` stands in its trace: a new trace when it comes from none."""
        if span.trace is None:
            above = self.above(span)
            if above is None:
                made_of = span.made_of
                bits = self._random.getrandbits(192) if made_of is None else _digest(made_of)
                span.trace = _context(bits)
            else:
                span_id = f"{self._random.getrandbits(64) or 1:016x}"
                span.trace = TraceContext(above.trace_id, span_id, above.sampled, above.state)
        return span.trace

    def beside(self, span: Span, priority: str = NORMAL, made_of: TraceSource | None = None) -> dict[str, object]:
        """What a request of `span` says beside its arguments.

        made_of  of a call whose receiver knows it as well: then a first span need not say where it stands
        """
        said: dict[str, object] = {}
        alone = span.outer is None and span.said is None and span.trace is None and span.made_of is None
        if alone and made_of is not None:
            span.made_of = made_of
        else:
            trace = self.place(span)
            said[TRACE] = trace.traceparent
            if trace.state:
                said[STATE] = trace.state
        running = RUNNING.get()
        if running is not None and running.carried:
            said[CARRIED] = dict(running.carried)
        if priority != NORMAL:
            said[PRIORITY] = priority
        return said

    def served(
        self, span: Span, request_id: str, extra: Mapping[str, object] = NO_EXTRA, number: int | None = None
    ) -> Running:
        """For the task that serves a call from another node, whose request said `extra`.

        number  of a call that, when it says of no trace, stands where `beside` put it
        """
        if not extra:
            span.said = None if number is None else (request_id, number)
            return Running(span, request_id, NOTHING_CARRIED, None, self._describe, NORMAL)
        trace, state, carried = extra.get(TRACE), extra.get(STATE), extra.get(CARRIED)
        if isinstance(trace, str):
            span.said = (parse_trace(trace, state) if isinstance(state, str) else trace) or trace
        elif number is not None:
            span.said = request_id, number
        values = NOTHING_CARRIED if carried is None else read_carried(carried)
        return Running(span, request_id, values, None, self._describe, read_priority(extra))

    def served_here(self, span: Span, request_id: str, priority: str = NORMAL) -> Running:
        """For a call that the caller's own task serves."""
        running = RUNNING.get()
        carried = NOTHING_CARRIED if running is None else running.carried
        return Running(span, request_id, carried, None, self._describe, priority)

    def describe(self, running: Running) -> CurrentCall:
        """What user code may know of the call."""
        span: Span = running.span
        slice_name, _, method = span.name.rpartition(".")
        trace = self.place(span)
        return CurrentCall(
            request_id=running.request_id,
            trace_id=trace.trace_id,
            span_id=trace.span_id,
            traceparent=trace.traceparent,
            tracestate=trace.state,
            slice=slice_name,
            method=method,
            instance=span.instance,
            node=self.node,
            remaining_s=self._left_s(span.until),
        )

    def above(self, span: Span) -> TraceContext | None:
        """Where whoever caused `span` stands; None when nobody did."""
        if span.outer is not None:
            return self.place(span.outer)
        said = span.said
        if said is None or isinstance(said, TraceContext):
            return said
        return parse_trace(said) if isinstance(said, str) else _context(_digest(said))


def _digest(source: TraceSource) -> int:
    """As many bits as ids of a trace and a span have, the same on every node."""
    text = "{}/{}".format(*source)
    return int.from_bytes(hashlib.blake2b(text.encode(errors="backslashreplace"), digest_size=24).digest(), "big")


def _context(bits: int) -> TraceContext:
    """Of 192 bits, the 128 of a trace and the 64 of its first span."""
    ids = f"{bits | _NEITHER_IS_ZERO:048x}"
    return TraceContext(ids[16:], ids[:16])
