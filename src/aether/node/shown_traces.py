"""The traces of the Invoker as the admin API shows them.

Knows: who the members are.
Never: how calls are remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from aether.invocation.traced import TracedCall, TracedSpan, waterfall
from aether.invocation.traces_service import Traces
from aether.management.trace_view import ShownCall, ShownTrace
from aether.model.ids import NodeId


class ShownTraces:
    """Of one node. members  all that may know of a request"""

    def __init__(self, traces: Traces, members: Callable[[], Iterable[NodeId]]) -> None:
        self._traces = traces
        self._members = members

    def recent(self, limit: int) -> Sequence[ShownCall]:
        """See management.trace_view.TraceSource."""
        return [_shown(call, call.top, 0) for call in self._traces.recent(limit)]

    async def of(self, request_id: str) -> ShownTrace:
        """See management.trace_view.TraceSource."""
        found = await self._traces.of(request_id, self._members())
        if not found.calls:
            return ShownTrace(lines=(), unheard=found.unheard)
        lines = [_shown(found.calls[0], line.span, line.depth) for line in waterfall(found.calls)]
        return ShownTrace(lines=lines, unheard=found.unheard)


def _shown(call: TracedCall, span: TracedSpan, depth: int) -> ShownCall:
    return ShownCall(
        request_id=call.request_id,
        trace_id=call.trace_id,
        name=span.name,
        node=span.node,
        instance=span.instance,
        at=span.at,
        spent_s=span.spent_s,
        outcome=span.outcome,
        running=span.running,
        depth=depth,
    )
