"""The last calls of this node, and what all nodes know of one request.

Knows: the spans of calls that are over, for a while; questions to other nodes.
Never: which nodes there are, who looks.
Holds: TRACES_KEPT calls are kept, each with a bounded tree; a call costs an append, and what is shown of it is made
       when somebody looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import attrs
import trio

from aether.errors import BadInput
from aether.invocation.pending_service import Send
from aether.invocation.questions_service import Questions
from aether.invocation.span import Span
from aether.invocation.trace_messages import TraceReply, TraceRequest
from aether.invocation.traced import TracedCall, call_from_plain, call_to_plain, prune, traced
from aether.invocation.tracer import Tracer
from aether.model.ids import NodeId
from aether.model.limits import TRACE_CALLS_TOLD_MAX, TRACES_KEPT


@attrs.frozen(kw_only=True)
class Trace:
    """What is known of one request. unheard  nodes that did not say"""

    request_id: str
    calls: tuple[TracedCall, ...]
    unheard: tuple[NodeId, ...]


class Traces:
    """Of one node. wall  seconds since the epoch"""

    def __init__(self, node: NodeId, tracer: Tracer, send: Send, wall: Callable[[], float]) -> None:
        self._node = node
        self._tracer = tracer
        self._send = send
        self._wall = wall
        self._kept: deque[Span] = deque(maxlen=TRACES_KEPT)
        self._questions: Questions[Sequence[object]] = Questions(node, "traces", send)

    def ended(self, request_id: str, span: Span, outcome: str) -> None:
        """A call that this node made for somebody outside, or served for another, is over, `span` closed. Cheap."""
        if span.children:
            prune(span)
        span.request_id, span.outcome = request_id, outcome
        self._kept.append(span)

    def recent(self, limit: int) -> list[TracedCall]:
        """The last calls of this node, the newest first."""
        newest = list(self._kept)[: -limit - 1 : -1]
        return [self._told(span) for span in newest]

    async def of(self, request_id: str, nodes: Iterable[NodeId]) -> Trace:
        """What this node and `nodes` know of a request. Raises Overloaded when too many ask at a time."""
        peers = sorted(set(nodes) - {self._node})
        told = await self._questions.ask(peers, lambda number: TraceRequest(number, request_id))
        calls = self._of(request_id)
        unheard: list[NodeId] = []
        for peer in peers:
            try:
                calls += [call_from_plain(plain, peer) for plain in told[peer]]
            except (KeyError, BadInput):  # it was silent, or said nonsense
                unheard.append(peer)
        return Trace(request_id=request_id, calls=tuple(calls), unheard=tuple(unheard))

    # --- messages -----------------------------------------------------------------------------------------------------

    def asked(self, sender: NodeId, m: TraceRequest) -> None:
        """A question of another node. Never blocks."""
        self._send(sender, TraceReply(m.number, [call_to_plain(call) for call in self._of(m.asked_id)]), "")

    def told(self, sender: NodeId, m: TraceReply) -> None:
        """An answer."""
        self._questions.told(sender, m.number, m.calls)

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone: it will not answer."""
        self._questions.peer_lost(node)

    def _of(self, request_id: str) -> list[TracedCall]:
        found = [span for span in self._kept if span.request_id == request_id]
        return [self._told(span) for span in found[-TRACE_CALLS_TOLD_MAX:]]

    def _told(self, span: Span) -> TracedCall:
        now_s = trio.current_time()
        offset_s = self._wall() - now_s
        place, above = self._tracer.place(span), self._tracer.above(span)
        return TracedCall(
            request_id=span.request_id,
            trace_id=place.trace_id,
            above="" if above is None else above.span_id,
            top=traced(span, self._node, lambda at: at + offset_s, now_s, span.outcome),
        )
