"""Calls out: from a target and a method to what came of it.

Knows: what a call is made of: its deadline, its place in the tree of hops, who answers its messages.
Never: how an instance is chosen or runs, which instances exist, exceptions of user code.
Holds: deadlines cross nodes as remaining seconds, so clocks are never compared.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn, Unpack, cast

import attrs
import trio

from aether.errors import StreamBroken
from aether.invocation.attempts_service import Attempts
from aether.invocation.balance import Balancer
from aether.invocation.broadcast_service import Broadcasts
from aether.invocation.chooser import Chooser
from aether.invocation.endpoints import EndpointRegistry
from aether.invocation.handing import Reference
from aether.invocation.health_messages import CountsReply, CountsRequest, ShareRequest
from aether.invocation.health_service import HealthOfVersions
from aether.invocation.hedging_service import Hedges
from aether.invocation.holding_service import Holding, Wake, nobody_wakes
from aether.invocation.hops import Hop, path_text, tell
from aether.invocation.keyed import Keyed
from aether.invocation.keyed_service import KeptKeys
from aether.invocation.local import Around, LocalHost
from aether.invocation.messages import MESSAGES, CallCancel, CallReply, CallRequest
from aether.invocation.new_calls_service import NewCalls
from aether.invocation.otel import otel_spans
from aether.invocation.outgoing import OutgoingCall, reserve_s
from aether.invocation.pending_service import PendingCalls, Send
from aether.invocation.reply import Form, NotStarted, Outcome, Reply, TimedOut
from aether.invocation.serving_service import CallServer, StepsAside, never, time_left_s
from aether.invocation.span import Span
from aether.invocation.statistics import InvokerStatistics
from aether.invocation.stream_messages import StreamItem
from aether.invocation.streaming import Onward, Opening, OpenStream, StreamEnded, Wishes
from aether.invocation.streams_service import Streams, reading
from aether.invocation.trace_messages import TraceReply, TraceRequest
from aether.invocation.tracer import Tracer
from aether.invocation.traces_service import Traces
from aether.metrics.method_counters import MethodCounters
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId, NodeId
from aether.model.limits import CALLS_IN_FLIGHT_MAX, STREAM_HANDS_MAX
from aether.slice_api.call import PLAIN, CallOptions


class Invoker:
    """Makes and serves the calls of one node.

    send           the transport's: (peer, message, request id) -> False: no connection, or its mailbox is full
    wire           force co-located calls through msgpack, so that tests see what a remote caller would
    in_flight_max  calls made, and calls served, at the same time
    keys           keeps the answers of calls with an idempotency key; None = such a call is one like any other
    balancer       chooses among instances; None = power of two choices
    wall           seconds since the epoch
    wake           told when a call waits for a slice that sleeps
    steps_aside    whether another node had better serve a call of a slice, on its so-many-eth try
    """

    def __init__(
        self,
        node: NodeId,
        registry: EndpointRegistry,
        send: Send,
        host: LocalHost,
        *,
        rng: random.Random,
        wire: bool = False,
        in_flight_max: int = CALLS_IN_FLIGHT_MAX,
        balancer: Balancer | None = None,
        keys: KeptKeys | None = None,
        wake: Wake = nobody_wakes,
        wall: Callable[[], float] = time.time,
        steps_aside: StepsAside = never,
    ) -> None:
        self._node = node
        self._registry = registry
        self._transport_send = send
        rng = random.Random(rng.getrandbits(128))  # nothing drawn here is a secret, and the system's is dear
        self.tracer: Tracer = Tracer(node, rng, time_left_s)
        self._keys = keys
        self.traces: Traces = Traces(node, self.tracer, self._transport_send, wall)
        self._server = CallServer(
            node,
            self._send,
            host,
            in_flight_max,
            self.tracer,
            self._with_key,
            over=self.traces.ended,
            steps_aside=steps_aside,
        )
        self._pending = PendingCalls(self._send, rng.getrandbits(48))
        self._streams = Streams(
            node, send, host, self._pending.new_id, self.tracer, steps_aside, wire=wire, reopen=self._reopened
        )
        self._attempts = Attempts(
            node,
            registry,
            self._send,
            host,
            self._server,
            self._pending,
            self._streams,
            Chooser(node, registry, rng, trio.current_time, balancer),
            Holding(node, registry, in_flight_max, wake),
            rng=rng,
            wire=wire,
            in_flight_max=in_flight_max,
        )
        self._calls = NewCalls(registry, self._attempts, self.tracer)
        self._hedges = Hedges(self._attempts, registry)
        self._broadcasts = Broadcasts(self._attempts, registry)
        self.counters: MethodCounters = self._attempts.counters
        self.healths: HealthOfVersions = HealthOfVersions(
            node, rng.getrandbits(63), self.counters, self._transport_send
        )
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled; cancelling it cancels every served call, which has CLEANUP_S to clean up."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.tracer.spans = otel_spans()
            self._attempts.sending = True
            nursery.start_soon(self._server.bound_cleanup)
            self._streams.begin(nursery)
            if self._keys is not None:
                nursery.start_soon(self._keys.run)
            task_status.started()
            try:
                await self._pending.keep_deadlines()
            finally:
                self._nursery = None
                self._attempts.sending = False
                self._pending.abandon(f"node {self._node} stopped")
                self._streams.stop(f"node {self._node} stopped")
                nursery.cancel_scope.cancel(f"node {self._node} stopped")
                with trio.CancelScope(shield=True):
                    await self._server.ended()
                    await self._streams.ended()

    async def call(
        self,
        target: ArtifactBase,
        method: str,
        payload: object,
        *,
        form: Form,
        request_id: str = "",
        options: CallOptions = PLAIN,
    ) -> Reply:
        """Run `method` on some ACTIVE instance of `target`; never NotStarted.

        The deadline is the caller's own (trio.fail_after), capped by the default of the contract.
        Raises NoInstance just before the deadline when nobody could take the call, Overloaded when every instance is
        full, Draining when this node stopped, OutcomeUnknown when it may have happened.
        Cancelling the caller cancels the callee.
        """
        return await self._made(*self._calls.new(target, method, payload, form, request_id, options))

    def begin(
        self, target: ArtifactBase, method: str, payload: object, *, form: Form, request_id: str = ""
    ) -> Reply | Awaitable[Reply]:
        """As `call` without options, but what an instance of this node can answer in one step is answered already.

        All else is to be awaited, once.
        """
        call, parent = self._calls.new(target, method, payload, form, request_id, PLAIN)
        if self.tracer.recording(call.began) is not None:
            return self._made(call, parent)
        try:
            reply = self._attempts.at_once(call)
        except BaseException as error:
            self._over(call, parent, trio.current_time(), type(error).__name__, answered=False)
            raise
        if reply is None:
            return self._made(call, parent)
        self._over(call, parent, call.ended_at, type(reply).__name__, answered=type(reply) is not TimedOut)
        return reply

    async def _made(self, call: OutgoingCall, parent: Span | None) -> Reply:
        hedged = call.options.hedge_after is not None
        if hedged:
            call.wait(trio.current_effective_deadline())
        making = (self._hedges if hedged else self._attempts).answered(call)
        spans = self.tracer.recording(call.began)
        if spans is not None:
            call.recorded = True
            above = self.tracer.above(call.span) if call.span.said is not None else None
            making = spans.client(call.span, above, call.request_id, making)
        answered, outcome, ended_at = False, "", 0.0
        try:
            reply = await making
            outcome, ended_at = type(reply).__name__, call.ended_at  # by now: nothing was awaited since
            answered = type(reply) is not TimedOut
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            self._over(call, parent, ended_at or trio.current_time(), outcome, answered=answered)
        return reply

    def _over(self, call: OutgoingCall, parent: Span | None, now_s: float, outcome: str, *, answered: bool) -> None:
        call.span.close(now_s, answered=answered)
        if parent is None:
            self.traces.ended(call.request_id, call.span, outcome)

    async def each(
        self,
        target: ArtifactBase,
        method: str,
        payload: object,
        *,
        form: Form,
        request_id: str = "",
        options: CallOptions = PLAIN,
    ) -> dict[InstanceId, Outcome | Exception]:
        """What each instance of `target` that takes calls now answered, just before the deadline at the latest.

        NotStarted, Abandoned and TimedOut stand for themselves; an exception for a try that this node could not make.
        Raises NoInstance when there is none.
        """
        call, _ = self._calls.new(target, method, payload, form, request_id, options)
        call.wait(trio.current_effective_deadline())
        try:
            return await self._broadcasts.asked(call)
        finally:
            call.span.close(trio.current_time(), answered=True)

    @property
    def ruled_fields(self) -> frozenset[str]:
        """Parts of requests over HTTP that rules of traffic look at, which calls made inside them shall carry."""
        return self._registry.ruled_fields

    @property
    def in_flight(self) -> int:
        """Calls that run here, co-located ones included, and those to other nodes that wait for a reply."""
        return len(self._pending) + self._server.serving

    def statistics(self) -> InvokerStatistics:
        """What was counted so far."""
        return InvokerStatistics(
            in_flight=len(self._pending),
            serving=self._server.serving,
            versions=self.counters.versions(),
            targets={str(target): budget.statistics() for target, budget in self._attempts.budgets.items()},
        )

    @asynccontextmanager
    async def stream(
        self,
        target: ArtifactBase,
        method: str,
        payload: object,
        *,
        form: Form,
        request_id: str = "",
        options: CallOptions = PLAIN,
        **wishes: Unpack[Wishes],
    ) -> AsyncGenerator[OpenStream]:
        """Open the stream `method` of some ACTIVE instance of `target`, for as long as the block.

        inputs  by parameter: what the caller sends, as plain items; ahead  items that the callee may be ahead
        decode  what readers get for a plain item (Form.HTTP: JSON text); error  made of an end that is no Done

        The default deadline bounds the opening alone; the stream lasts as long as the caller's scope, or as the
        method's own deadline says. Raises `error(reply)` and all that `call` raises; iterating raises `error(reply)`
        at the end, StreamBroken when it was cut off. A method that is no stream, but takes some: `stream.outcome()`.
        """
        call, _ = self._calls.new(target, method, payload, form, request_id, options)
        call.wait(trio.current_effective_deadline())
        own_s = self._registry.terms(target, call.version).deadlines_s.get(method, math.inf)
        until = min(trio.current_effective_deadline(), call.began + own_s)
        call.opening = opening = Opening(
            until=until,
            give_up_at=until - reserve_s(until - call.began),
            name=call.span.name,
            **wishes,
        )
        async with reading(opening, call.span, self._opened(call, opening)) as stream:
            yield stream

    async def _opened(self, call: OutgoingCall, opening: Opening) -> object:
        """Opened or a Reply: what a method hands on is opened where it comes from."""
        answer: object = await self._attempts.answered(call)
        hands = 0
        while isinstance(answer, Onward):
            hands += 1
            if hands > STREAM_HANDS_MAX:
                raise StreamBroken(opening.name, 0, f"it was handed on more than {STREAM_HANDS_MAX} times")
            onward = Reference.from_plain(answer.reference)
            following, _ = self._calls.new(
                onward.target, onward.method, onward.payload, Form.WIRE, call.request_id, PLAIN
            )
            following.wait(trio.current_effective_deadline())
            following.opening = attrs.evolve(opening, inputs={})
            answer = await self._attempts.answered(following)
            following.span.close(trio.current_time(), answered=True)
        return answer

    def _reopened(
        self,
        source: Reference,
        decode: Callable[[Any], Any] | None,
        error: Callable[[Reply], BaseException] | None,
    ) -> AbstractAsyncContextManager[OpenStream]:
        return self.stream(
            source.target, source.method, source.payload, form=Form.WIRE, decode=decode, error=error or StreamEnded
        )

    def _send(self, to: NodeId, message: object, request_id: str) -> bool:
        """To a peer, or to this node itself, where a call that its caller does not wait for needs a task of its own."""
        if to == self._node:
            self.deliver(to, message, request_id)
            return True
        return self._transport_send(to, message, request_id)

    def handlers(self) -> Mapping[type, Callable[[NodeId, Any, str], None]]:
        """Who takes each message of this room: `deliver`, by a shorter way for items of streams."""
        return {**{spec.cls: self.deliver for spec in MESSAGES}, StreamItem: self._streams.item}

    def deliver(self, sender: NodeId, message: object, request_id: str) -> None:
        """A message of this room from a peer. Never blocks."""
        kind = type(message)
        if kind is CallReply:
            reply = cast("CallReply", message)
            self._pending.settle(sender, reply.call_id, reply.reply)
        elif kind is CallRequest:
            self._accept(sender, cast("CallRequest", message), request_id)
        elif kind is CallCancel:
            cancel = cast("CallCancel", message)
            self._server.cancel(sender, cancel.call_id, cancel.reason)
        elif kind is CountsRequest or kind is ShareRequest:
            self.healths.asked(sender, cast("CountsRequest | ShareRequest", message))
        elif kind is CountsReply:
            self.healths.told(sender, cast("CountsReply", message))
        elif kind is TraceRequest:
            self.traces.asked(sender, cast("TraceRequest", message))
        elif kind is TraceReply:
            self.traces.told(sender, cast("TraceReply", message))
        elif not self._streams.deliver(sender, message, request_id):
            raise TypeError(f"{kind.__name__} is no message of a call")

    def _accept(self, sender: NodeId, request: CallRequest, request_id: str) -> None:
        if self._nursery is not None:
            self._server.accept(self._nursery, sender, request, request_id)
        else:
            self._send(sender, CallReply(request.call_id, NotStarted("the node is stopping")), request_id)

    def _with_key(self, call: Keyed) -> Around | None:
        if self._keys is None:
            return None
        return self._keys.around(call, idempotent=call.method in self._registry.terms(call.target).idempotent)

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone: calls in flight to it end at once, calls served for it are cancelled."""
        self._pending.peer_lost(node)
        self._server.peer_lost(node)
        self._streams.peer_lost(node)
        self.healths.peer_lost(node)
        self.traces.peer_lost(node)

    def endpoints_changed(self) -> None:
        """The registry was rebuilt: wake calls that wait for an instance."""
        self.healths.shares_changed(self._registry.shares())
        self._attempts.endpoints_changed()

    def too_slow(self, hops: Hop) -> trio.TooSlowError:
        """The exception for a call that timed out, with where its time went as message and note."""
        return tell(trio.TooSlowError(path_text(hops)), hops)
