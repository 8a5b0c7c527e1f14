"""The tries of one call: choose an instance, ask it, decide what to do when that came to nothing.

Knows: endpoints, loads, budgets; carries out what `balance` and `retry` decide.
Never: what a reply means to the caller, exceptions of user code, how an instance runs.
Holds: a call that may have run is sent again only when it is idempotent, inside its deadline and the budget.
"""

from __future__ import annotations

import math
import random
from typing import Final, cast

import attrs
import trio

from aether.errors import Draining, NoInstance, OutcomeUnknown, Overloaded, TryAgain
from aether.invocation.acceptance import ONE_WAY
from aether.invocation.balance import Load
from aether.invocation.chooser import Chooser
from aether.invocation.copying import over_msgpack
from aether.invocation.endpoints import Endpoint, EndpointRegistry, Terms
from aether.invocation.holding_service import Holding
from aether.invocation.keyed import KEY, Keyed
from aether.invocation.local import Around, LocalHost, LocalInstance
from aether.invocation.messages import CallRequest
from aether.invocation.outgoing import OutgoingCall
from aether.invocation.pending_service import Expired, PendingCalls, Send
from aether.invocation.priority import priority_of
from aether.invocation.reply import (
    FULL,
    NO_ROOM,
    REFUSED,
    STEPS_ASIDE,
    UNKNOWN_INSTANCE,
    Abandoned,
    Done,
    Failed,
    Form,
    NotStarted,
    Outcome,
    Reply,
    TimedOut,
    decode_reply,
    encode_reply,
    error_of,
    is_broken,
)
from aether.invocation.retry import GiveUp, Try, Verdict, decide_retry
from aether.invocation.retry_budget import RetryBudgets
from aether.invocation.serving_service import CallServer
from aether.invocation.streaming import Onward, Opened, Opening
from aether.invocation.streams_service import Streams
from aether.invocation.watched_stream import WatchedStream
from aether.metrics.method_counters import MethodCounter, MethodCounters
from aether.metrics.slow_calls import SlowCall
from aether.model.ids import NodeId
from aether.slice_api.call import PLAIN

OTHERS_S: Final = 0.00025
"""A loop over co-located calls whose methods wait for nothing lets other tasks run, and can be cancelled, as often."""
_NOTHING: Final = (NotStarted, Abandoned)


class Attempts:
    """Makes the tries of one node's calls.

    sending  whether this node takes calls to others; set by its owner
    """

    def __init__(
        self,
        node: NodeId,
        registry: EndpointRegistry,
        send: Send,
        host: LocalHost,
        server: CallServer,
        pending: PendingCalls,
        streams: Streams,
        chooser: Chooser,
        holding: Holding,
        *,
        rng: random.Random,
        wire: bool,
        in_flight_max: int,
    ) -> None:
        self._node = node
        self._registry = registry
        self._send = send
        self._host = host
        self._server = server
        self._pending = pending
        self._streams = streams
        self._chooser = chooser
        self.counters: MethodCounters = chooser.counters
        self._holding = holding
        self._random = rng
        self._wire = wire
        self._in_flight_max = in_flight_max
        self.sending: bool = False
        self.budgets: RetryBudgets = RetryBudgets()
        self._others_at = -math.inf  # when the next co-located call lets other tasks run first

    def endpoints_changed(self) -> None:
        """The registry was rebuilt: wake calls that wait for an instance."""
        self._chooser.endpoints_changed()
        self._holding.changed()

    async def answered(self, call: OutgoingCall) -> Reply:
        """Try until there is a reply. Never NotStarted; raises as Invoker.call says."""
        if call.chosen is None:
            reply = self.at_once(call)
            if reply is not None:
                return reply
        endpoint = call.chosen
        if not call.waits:
            call.wait(trio.current_effective_deadline())
        try:
            while True:
                if endpoint is None:
                    await self._endpoint_appears(call)
                else:
                    call.attempt += 1
                    result = await self.once(call, endpoint)
                    if not isinstance(result, _NOTHING):
                        return result
                    await self._after_nothing(call, endpoint, result)
                endpoint = self._chooser.choose(call)
        except TryAgain as error:
            if not call.cut_off:
                raise
            raise OutcomeUnknown(f"{call.cut_off}; then: {error}") from error  # an earlier try may have run

    def at_once(self, call: OutgoingCall) -> Reply | None:
        """The reply of an instance of this node whose method awaits nothing; None = no more was done than to choose.

        Nobody waits meanwhile, so no deadline needs to be known. Raises what the choice raises.
        """
        endpoint = call.chosen = self._chooser.choose(call)
        if endpoint is None or endpoint.node != self._node:
            return None
        instance, server, options = self._host.find(endpoint.instance), self._server, call.options
        others_first = call.form is Form.WIRE and call.began >= self._others_at  # HTTP: it waited for its socket
        if (
            instance is None
            or others_first
            or not instance.awaits_nothing(call.method)
            or call.opening is not None
            or call.attempt  # the second leg of a hedged call is another try, with times of its own
            or (options is not PLAIN and (options.key or options.one_way))
            or self._wire
            or server.full
            or server.steps_aside(call.target, 1)
            or call.recorded
        ):
            return None
        call.attempt, call.at = 1, endpoint.instance
        load, counter = self._chooser.began(endpoint, call.method)
        span, reply = call.span, None
        span.instance = endpoint.instance
        running = server.tracer.served_here(span, call.request_id, priority_of(options))
        try:
            until = call.began + call.within_s
            reply = server.serve_at_once(instance, call.method, call.payload, call.form, running, until)
        finally:
            self._ended(call, endpoint, load, counter, reply, call.began)
        if reply is None:
            call.attempt = 0
        return reply

    async def _endpoint_appears(self, call: OutgoingCall) -> None:
        call.excluded = frozenset()
        await self._holding.endpoint_appears(call, self._chooser.has_any)
        # The contract's row arrives with the first endpoint, so a call that waited learns its terms now.
        idempotent = call.method in self._registry.terms(call.target, call.version).idempotent
        call.idempotent = idempotent or bool(call.options.key)

    def settle_version(self, call: OutgoingCall) -> Terms:
        """Choose the version that takes the call before its first try; what is known of that one's contract."""
        return self._registry.terms(call.target, self._chooser.settle_version(call))

    async def _after_nothing(self, call: OutgoingCall, endpoint: Endpoint, failure: NotStarted | Abandoned) -> None:
        """Prepare the next try, after the pause it needs; or raise."""
        call.full = call.full and failure.reason in NO_ROOM and not call.held
        if isinstance(failure, Abandoned):
            call.cut_off = f"{call.span.name} may have run on {endpoint.node}: {failure.reason}"
        endpoints = self._registry.endpoints(call.target)
        out = call.excluded | {endpoint.instance}
        budget = self.budgets[call.target]
        decision = decide_retry(
            Try(
                failure=failure,
                tried=endpoint.instance,
                excluded=call.excluded,
                others=sum(other.instance not in out for other in endpoints),
                attempt=call.attempt,
                time_left_s=call.give_up_at - trio.current_time(),
                idempotent=call.idempotent,
                budget_left=budget.left,
                jitter=self._random.random(),
                all_full=call.full,
            )
        )
        if isinstance(decision, GiveUp):
            if isinstance(failure, NotStarted):
                self._chooser.given_up(endpoint, call.method)
            budget.refused += isinstance(failure, Abandoned) and call.idempotent and not budget.left
            raise self._error(call, endpoint, decision.verdict, failure)
        call.excluded = decision.exclude
        if isinstance(failure, Abandoned):
            budget.spend()
            budget.repeats += 1
            await trio.sleep(decision.after_s)
            return
        budget.moved += 1
        if decision.after_s > 0:
            await self._holding.pause(decision.after_s)
            if trio.current_time() >= call.give_up_at:
                raise self._error(call, endpoint, Verdict.NO_INSTANCE, failure)

    def _error(
        self, call: OutgoingCall, endpoint: Endpoint, verdict: Verdict, failure: NotStarted | Abandoned
    ) -> Exception:
        if verdict is Verdict.OVERLOADED and isinstance(failure, NotStarted):
            return Overloaded(f"each instance of {call.target}", failure.limit, failure.retry_after_s or 1.0)
        if verdict is Verdict.NO_INSTANCE:
            state, _ = self._registry.state(call.target)
            return NoInstance(str(call.target), state, f"the last one asked ({endpoint.instance}) was {failure.reason}")
        return OutcomeUnknown(f"{call.cut_off}; repeat it only if that does no harm")

    async def once(self, call: OutgoingCall, endpoint: Endpoint) -> Outcome:
        """One try, at `endpoint`."""
        is_here = endpoint.node == self._node and not call.options.one_way
        call.at = endpoint.instance
        # Before anything else runs, or others would choose as if it were not.
        load, counter = self._chooser.began(endpoint, call.method)
        began = call.began if call.attempt == 1 else trio.current_time()
        result: Outcome | None = None
        try:
            if is_here and call.began >= self._others_at and call.form is Form.WIRE:  # HTTP: it waited for its socket
                await trio.lowlevel.checkpoint()
                self._others_at = trio.current_time() + OTHERS_S
            if is_here and self._server.steps_aside(call.target, call.attempt):
                result = NotStarted(STEPS_ASIDE)
            elif call.opening is not None:
                result = await self._open(call, endpoint, call.opening, load, counter)
            elif is_here:
                result = await self._try_here(call, endpoint)
            else:
                result = await self._try_there(call, endpoint, began)
            return result
        finally:
            self._ended(call, endpoint, load, counter, result, began)

    def _ended(
        self,
        call: OutgoingCall,
        endpoint: Endpoint,
        load: Load,
        counter: MethodCounter,
        result: Outcome | None,
        began: float,
    ) -> None:
        """Count a try. None: it was cancelled."""
        now = call.ended_at = trio.current_time()
        late = result is None and now >= call.give_up_at  # a scope of the caller ended it, as its deadline said
        broken = call.form is Form.HTTP and type(result) is Done and is_broken(result.payload)
        slow = now - began > counter.slow_over_s
        self._chooser.ended(endpoint, load, counter, result, now - began, late=late, broken=broken)
        if call.opening is not None:
            _opened(load, counter, result, now - began)
        if slow and not isinstance(result, NotStarted) and (result is not None or late):
            trace_id = self._server.tracer.place(call.span).trace_id  # a first call has none until somebody asks
            counter.was_slow(_slow(call, endpoint, result, now, now - began, trace_id, broken=broken))

    async def _open(
        self, call: OutgoingCall, endpoint: Endpoint, opening: Opening, load: Load, counter: MethodCounter
    ) -> Outcome:
        """The first word of a stream; Opened stands for a reply, as nothing is tried again after it."""
        result: Opened | Onward | Outcome | None = None
        watched = WatchedStream(opening, load, counter, http=call.form is Form.HTTP)
        with _scope(call):
            result = await self._streams.open(endpoint, call, watched.opening)
        if isinstance(result, Opened):
            result = watched.opened(result)
        return cast("Outcome", result or TimedOut(call.span.hop(trio.current_time())))

    async def _try_here(self, call: OutgoingCall, endpoint: Endpoint) -> Outcome:
        instance = self._host.find(endpoint.instance)
        if instance is None:
            return NotStarted(UNKNOWN_INSTANCE)
        payload = over_msgpack(call.payload) if self._wire else call.payload
        call.span.instance = endpoint.instance
        running = self._server.tracer.served_here(call.span, call.request_id, priority_of(call.options))
        around = None if call.options is PLAIN else self._around(call, instance, endpoint)
        result = await self._server.serve_here(instance, call.method, payload, call.form, running, _scope(call), around)
        if isinstance(result, Failed) and call.attempt != 1:
            result = attrs.evolve(result, attempt=call.attempt)
        return decode_reply(over_msgpack(encode_reply(result))) if self._wire else result

    def _around(self, call: OutgoingCall, instance: LocalInstance, endpoint: Endpoint) -> Around | None:
        """What the options of a co-located call ask for beside running the method."""
        if not call.options.key:
            return None
        return self._server.with_key(
            Keyed(
                target=call.target,
                method=call.method,
                instance=endpoint.instance,
                key=call.options.key,
                payload=call.payload,
                form=call.form,
                name=f"{instance.name}.{call.method}",
                left_s=call.deadline - trio.current_time(),
            )
        )

    def _extra(self, call: OutgoingCall, call_id: int) -> dict[str, object]:
        """What the request says beside its arguments."""
        extra = self._server.tracer.beside(call.span, priority_of(call.options), (call.request_id, call_id))
        if call.options.key:
            extra[KEY] = call.options.key
        if call.options.one_way:
            extra[ONE_WAY] = self._registry.terms(call.target, call.version).deadline_of(call.method)
        return extra

    async def _try_there(self, call: OutgoingCall, endpoint: Endpoint, now: float) -> Outcome:
        pending = self._pending
        if not self.sending:
            raise Draining(self._node)
        if len(pending) >= self._in_flight_max:
            raise Overloaded(f"node {self._node}, calls in flight", self._in_flight_max)
        left_s = call.give_up_at - now
        if left_s <= 0:
            await trio.sleep_until(call.deadline)
            return TimedOut(call.span.hop(trio.current_time()))
        call_id = pending.new_id()
        request = CallRequest(
            call_id,
            str(call.target),
            endpoint.instance,
            call.method,
            call.form,
            left_s,
            over_msgpack(call.payload) if endpoint.node == self._node else call.payload,
            call.attempt,
            self._extra(call, call_id),
        )
        if endpoint.node == self._node and self._server.full:
            return NotStarted(FULL, self._in_flight_max)
        if not self._send(endpoint.node, request, call.request_id):
            return NotStarted(REFUSED)
        ends = call.deadline if call.own else math.inf
        result = await pending.reply(endpoint.node, call_id, call.request_id, ends)
        if isinstance(result, Expired):
            return TimedOut(call.span.hop(trio.current_time()))
        if type(result) is TimedOut:
            call.span.remote = result.hops
            if trio.current_time() >= call.give_up_at:
                # The time of the call is over too; let it end by its scope, so that fail_after and move_on_after
                # keep their meaning.
                await trio.sleep_until(call.deadline)
            return TimedOut(call.span.hop(trio.current_time()))
        return result


def _opened(load: Load, counter: MethodCounter, result: object, latency_s: float) -> None:
    """What the first word of a stream means for the load of its instance, and for the counts of its method."""
    if isinstance(result, Opened | Onward):
        counter.answered(latency_s)
    if isinstance(result, Opened):
        load.opened()
        counter.in_flight += 1


def _slow(
    call: OutgoingCall,
    endpoint: Endpoint,
    result: Outcome | None,
    now: float,
    latency_s: float,
    trace_id: str,
    *,
    broken: bool,
) -> SlowCall:
    """For the list of slow calls."""
    return SlowCall(
        at_s=now,
        latency_s=latency_s,
        request_id=call.request_id,
        instance=endpoint.instance,
        error="it answered that it is broken" if broken else error_of(result),
        trace_id=trace_id,
    )


def _scope(call: OutgoingCall) -> trio.CancelScope:
    """For running it in the caller's task: a deadline in force already needs no second one."""
    return trio.CancelScope(deadline=call.deadline) if call.own else trio.CancelScope()
