"""Calls as OpenTelemetry spans, where its API is installed (extra `otel`) and the application has set a provider.

Knows: client and server spans, their attributes, how a span becomes the place of a call in its trace.
Never: exporters, sampling, providers: they are the application's. Importing aether does not import OpenTelemetry.
Holds: a span is current while its call runs, so that spans of the author and of other libraries are below it; ids that
       the next hop gets are those of the spans.
Paper: OpenTelemetry semantic conventions for RPC.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, TypeVar

from aether.invocation.reply import Abandoned, Done, Failed, Faulted, NotStarted, Outcome, TimedOut
from aether.model.trace import TraceContext

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import SpanKind

    from aether.invocation.span import Span

T = TypeVar("T", bound=Outcome)

SYSTEM: Final = "aether"
LOOK_S: Final = 0.1  # a provider that is set later is noticed within this; to ask costs more than all else here


def otel_spans() -> OtelSpans | None:
    """What makes spans of calls; None where OpenTelemetry is not installed."""
    return OtelSpans() if importlib.util.find_spec("opentelemetry") is not None else None


class OtelSpans:
    """Makes spans of the calls of one node, as long as a provider is set."""

    def __init__(self) -> None:
        from opentelemetry import trace

        self._proxy = trace.ProxyTracerProvider
        self._provider = trace.get_tracer_provider
        self._client = trace.SpanKind.CLIENT
        self._server = trace.SpanKind.SERVER
        self._is_set = False
        self._look_at = -math.inf

    def is_on(self, now_s: float) -> bool:
        """Whether a provider is set. While there is none, calls are not handed to `client` and `server` at all."""
        if not self._is_set and now_s >= self._look_at:
            self._look_at = now_s + LOOK_S
            self._is_set = not isinstance(self._provider(), self._proxy)
        return self._is_set

    async def client(self, span: Span, above: TraceContext | None, request_id: str, work: Awaitable[T]) -> T:
        """Await `work`, a call that this node makes, inside a client span. above  where it comes from, from outside"""
        return await self._inside(self._client, span, above, request_id, work)

    async def server(self, span: Span, above: TraceContext | None, request_id: str, work: Awaitable[T]) -> T:
        """Await `work`, a call that this node serves, inside a server span. above  None = the caller is of this task"""
        return await self._inside(self._server, span, above, request_id, work)

    async def _inside(
        self, kind: SpanKind, span: Span, above: TraceContext | None, request_id: str, work: Awaitable[T]
    ) -> T:
        provider = self._provider()
        from opentelemetry import context
        from opentelemetry.trace import set_span_in_context

        service, _, method = span.name.rpartition(".")
        attributes = {
            "rpc.system": SYSTEM,
            "rpc.service": service,
            "rpc.method": method,
            "aether.request_id": request_id,
            **({"aether.instance": span.instance} if span.instance else {}),
        }
        name = f"{service}/{method}"
        made = provider.get_tracer(SYSTEM).start_span(name, _parent(above), kind, attributes)
        span.trace = _place(made)
        token = context.attach(set_span_in_context(made))
        try:
            outcome = await work
        except BaseException as error:
            _failed(made, type(error).__name__, str(error))
            raise
        else:
            _record(made, outcome)
            return outcome
        finally:
            context.detach(token)
            made.end()


def _parent(above: TraceContext | None) -> Context | None:
    """The parent that comes from elsewhere; None = the span that is current here."""
    if above is None:
        return None
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        TraceState,
        set_span_in_context,
    )

    state = TraceState.from_header([above.state]) if above.state else None
    flags = TraceFlags(TraceFlags.SAMPLED if above.sampled else TraceFlags.DEFAULT)
    where = SpanContext(int(above.trace_id, 16), int(above.span_id, 16), True, flags, state)
    return set_span_in_context(NonRecordingSpan(where))


def _place(made: OtelSpan) -> TraceContext:
    found = made.get_span_context()
    return TraceContext(
        f"{found.trace_id:032x}", f"{found.span_id:016x}", found.trace_flags.sampled, found.trace_state.to_header()
    )


def _record(made: OtelSpan, outcome: Outcome) -> None:
    match outcome:
        case Done():
            pass
        case Faulted(fault) if fault.status < 500:
            made.set_attribute("error.type", fault.name)  # an answer of the contract, no failure
        case Faulted(fault):
            _failed(made, fault.name, fault.detail)
        case Failed(kind=kind, message=message):
            _failed(made, kind, message)
        case TimedOut():
            _failed(made, "TooSlowError", "the deadline passed")
        case NotStarted(reason) | Abandoned(reason):
            _failed(made, type(outcome).__name__, reason)


def _failed(made: OtelSpan, kind: str, message: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    made.set_attribute("error.type", kind)
    made.set_status(Status(StatusCode.ERROR, message[:200]))
