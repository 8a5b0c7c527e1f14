"""Calls out: from a target and a method to what came of it.

Knows: pending calls by correlation id, deadlines by cancel scopes; carries out what `retry` and `balance` decide.
Never: how an instance runs, which instances exist, exceptions of user code.
Holds: the pending table is touched by this object alone, and only from the loop; a call is in it exactly while its
       task is parked. Deadlines cross nodes as remaining seconds, so clocks are never compared.
"""

from __future__ import annotations

import random
from typing import Final, NoReturn

import attrs
import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT

from aether.errors import NoInstance, OutcomeUnknown, Overloaded
from aether.invocation.balance import Loads, choose
from aether.invocation.copying import over_msgpack
from aether.invocation.endpoints import Endpoint, EndpointRegistry
from aether.invocation.hops import Hop, describe, path_text
from aether.invocation.local import LocalHost
from aether.invocation.messages import CallCancel, CallReply, CallRequest
from aether.invocation.reply import (
    FULL,
    REFUSED,
    UNKNOWN_INSTANCE,
    Abandoned,
    Failed,
    Form,
    NotStarted,
    Outcome,
    Reply,
    TimedOut,
    decode_reply,
    encode_reply,
)
from aether.invocation.retry import GiveUp, RetryBudget, Try, Verdict, decide_retry
from aether.invocation.serving_service import CallServer, Send
from aether.invocation.span import RUNNING, Span, call_name
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId, NodeId
from aether.model.limits import CALLS_IN_FLIGHT_MAX

RESERVE_MAX_S: Final = (
    0.005  # a callee gets this much less than its caller has, so that its account of the time arrives
)
RESERVE_SHARE: Final = 0.01


@attrs.define(eq=False)
class _Call:
    """One call while it is tried.

    deadline    when the caller stops waiting; give_up_at  a little earlier: what callees get, so that they can answer
    full        every try so far was refused as full
    """

    target: ArtifactBase
    method: str
    payload: object
    form: Form
    request_id: str
    span: Span
    idempotent: bool
    deadline: float
    give_up_at: float
    attempt: int = 0
    excluded: frozenset[InstanceId] = frozenset()
    full: bool = True


@attrs.define(eq=False)
class _Pending:
    """A parked task and the node whose reply wakes it."""

    task: trio.lowlevel.Task
    node: NodeId


class Invoker:
    """Makes and serves the calls of one node.

    send           the transport's: (peer, message, request id) -> False: no connection, or its mailbox is full
    wire           force co-located calls through msgpack, so that tests see what a remote caller would
    in_flight_max  calls made, and calls served, at the same time
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
    ) -> None:
        self._node = node
        self._registry = registry
        self._send = send
        self._host = host
        self._random = rng
        self._wire = wire
        self._in_flight_max = in_flight_max
        self._server = CallServer(node, send, host, in_flight_max)
        self._pending: dict[int, _Pending] = {}
        # A random start: a reply to an earlier process of this node must not match a call of this one.
        self._last_call = self._random.getrandbits(48)
        self._loads = Loads()
        self._budget = RetryBudget()
        self._changed = trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled; cancelling it cancels every served call."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None
        raise AssertionError("sleep_forever returned")

    async def call(
        self, target: ArtifactBase, method: str, payload: object, *, form: Form, request_id: str = ""
    ) -> Reply:
        """Run `method` on some ACTIVE instance of `target`; never NotStarted.

        The deadline is the caller's own (trio.fail_after), capped by the default of the contract.
        Raises NoInstance just before the deadline when nobody could take the call, Overloaded when every instance is
        full, OutcomeUnknown when it may have happened. Cancelling the caller cancels the callee.
        """
        now = trio.current_time()
        terms = self._registry.terms(target)
        running = RUNNING.get()
        name = call_name(target.name, method)
        span = Span(name, now) if running is None else running.span.child(name, now)
        if running is not None and not request_id:
            request_id = running.request_id
        deadline = now + terms.deadline_s
        in_force = trio.current_effective_deadline()
        ends = min(deadline, in_force)
        give_up_at = ends - min(RESERVE_MAX_S, RESERVE_SHARE * max(ends - now, 0.0))
        call = _Call(target, method, payload, form, request_id, span, method in terms.idempotent, ends, give_up_at)
        self._budget.earn()
        answered = False
        try:
            reply: Reply | None = None
            if in_force <= deadline:  # a scope costs as much as the rest of a co-located call
                reply = await self._tries(call)
            else:
                with trio.CancelScope(deadline=deadline):
                    reply = await self._tries(call)
            if reply is None:
                return TimedOut(span.hop(trio.current_time()))
            answered = not isinstance(reply, TimedOut)
            return reply
        finally:
            span.close(trio.current_time(), answered=answered)

    def deliver(self, sender: NodeId, message: object, request_id: str) -> None:
        """A message of this room from a peer. Never blocks."""
        match message:
            case CallReply(call_id, reply):
                self._settle(sender, call_id, reply)
            case CallRequest():
                if self._nursery is not None:
                    self._server.accept(self._nursery, sender, message, request_id)
                else:
                    self._send(sender, CallReply(message.call_id, NotStarted("the node is stopping")), request_id)
            case CallCancel(call_id):
                self._server.cancel(sender, call_id)
            case _:
                raise TypeError(f"{type(message).__name__} is no message of a call")

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone: calls in flight to it end at once, calls served for it are cancelled."""
        for call_id in [call_id for call_id, pending in self._pending.items() if pending.node == node]:
            self._settle(node, call_id, Abandoned(f"the connection to {node} was lost"))
        self._server.peer_lost(node)

    def endpoints_changed(self) -> None:
        """The registry was rebuilt: wake calls that wait for an instance."""
        self._loads.keep(self._registry.instances())
        self._changed.unpark_all()

    # --- tries --------------------------------------------------------------------------------------------------------

    async def _tries(self, call: _Call) -> Reply:
        while True:
            endpoint = choose(self._registry.endpoints(call.target), self._loads, self._random, call.excluded)
            if endpoint is None:
                await self._endpoint_appears(call)
                continue
            call.attempt += 1
            result = await self._try(call, endpoint)
            if not isinstance(result, NotStarted | Abandoned):
                return result
            await self._after_nothing(call, endpoint, result)

    async def _endpoint_appears(self, call: _Call) -> None:
        call.excluded = frozenset()
        with trio.move_on_at(call.give_up_at):
            while not self._registry.endpoints(call.target):
                await self._changed.park()
            return
        raise NoInstance(str(call.target), *self._registry.state(call.target))

    async def _after_nothing(self, call: _Call, endpoint: Endpoint, failure: NotStarted | Abandoned) -> None:
        """Prepare the next try, after the pause it needs; or raise."""
        call.full = call.full and failure.reason == FULL
        endpoints = self._registry.endpoints(call.target)
        out = call.excluded | {endpoint.instance}
        decision = decide_retry(
            Try(
                failure=failure,
                tried=endpoint.instance,
                excluded=call.excluded,
                others=sum(other.instance not in out for other in endpoints),
                attempt=call.attempt,
                time_left_s=call.give_up_at - trio.current_time(),
                idempotent=call.idempotent,
                budget_left=self._budget.left,
                jitter=self._random.random(),
                all_full=call.full,
            )
        )
        if isinstance(decision, GiveUp):
            raise self._error(call, endpoint, decision.verdict, failure)
        call.excluded = decision.exclude
        if isinstance(failure, Abandoned):
            self._budget.spend()
            await trio.sleep(decision.after_s)
        elif decision.after_s > 0:
            with trio.move_on_after(decision.after_s):
                await self._changed.park()  # somebody new may be there before the pause is over
            if trio.current_time() >= call.give_up_at:
                raise self._error(call, endpoint, Verdict.NO_INSTANCE, failure)

    def _error(self, call: _Call, endpoint: Endpoint, verdict: Verdict, failure: NotStarted | Abandoned) -> Exception:
        if verdict is Verdict.OVERLOADED and isinstance(failure, NotStarted):
            return Overloaded(f"each instance of {call.target}", failure.limit)
        if verdict is Verdict.NO_INSTANCE:
            state, _ = self._registry.state(call.target)
            return NoInstance(str(call.target), state, f"the last one asked ({endpoint.instance}) was {failure.reason}")
        return OutcomeUnknown(
            f"{call.span.name} may have run on {endpoint.node}: {failure.reason}; repeat it only if that does no harm"
        )

    async def _try(self, call: _Call, endpoint: Endpoint) -> Outcome:
        load = self._loads.of(endpoint.instance)
        load.in_flight += 1
        began = trio.current_time()
        latency_s = None
        try:
            if endpoint.node == self._node:
                result = await self._try_here(call, endpoint)
            else:
                result = await self._try_there(call, endpoint)
            if not isinstance(result, NotStarted | Abandoned | Failed):
                latency_s = trio.current_time() - began
            return result
        finally:
            self._loads.ended(load, latency_s)

    async def _try_here(self, call: _Call, endpoint: Endpoint) -> Outcome:
        instance = self._host.find(endpoint.instance)
        if instance is None:
            return NotStarted(UNKNOWN_INSTANCE)
        payload = over_msgpack(call.payload) if self._wire else call.payload
        result = await self._server.serve_here(instance, call.method, payload, call.form, call.request_id, call.span)
        if isinstance(result, Failed) and call.attempt != 1:
            result = attrs.evolve(result, attempt=call.attempt)
        return decode_reply(over_msgpack(encode_reply(result))) if self._wire else result

    async def _try_there(self, call: _Call, endpoint: Endpoint) -> Outcome:
        if len(self._pending) >= self._in_flight_max:
            raise Overloaded(f"node {self._node}, calls in flight", self._in_flight_max)
        left_s = call.give_up_at - trio.current_time()
        if left_s <= 0:
            await trio.sleep_until(call.deadline)
        self._last_call += 1
        call_id = self._last_call
        request = CallRequest(
            call_id, str(call.target), endpoint.instance, call.method, call.form, left_s, call.payload, call.attempt
        )
        if not self._send(endpoint.node, request, call.request_id):
            return NotStarted(REFUSED)
        result = await self._reply(endpoint.node, call_id, call.request_id)
        if isinstance(result, TimedOut):
            call.span.remote = result.hops
            if trio.current_time() >= call.give_up_at:
                # Our own scope ends now too; let it, so that fail_after and move_on_after keep their meaning.
                await trio.sleep_until(call.deadline)
        return result

    async def _reply(self, node: NodeId, call_id: int, request_id: str) -> Outcome:
        def abort(_: RaiseCancelT) -> Abort:
            del self._pending[call_id]
            self._send(node, CallCancel(call_id, "the caller was cancelled"), request_id)
            return Abort.SUCCEEDED

        self._pending[call_id] = _Pending(trio.lowlevel.current_task(), node)
        result: Outcome = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def _settle(self, sender: NodeId, call_id: int, reply: Outcome) -> None:
        pending = self._pending.get(call_id)
        if pending is None or pending.node != sender:
            return  # late: the caller was cancelled, or the reply is a duplicate
        del self._pending[call_id]
        trio.lowlevel.reschedule(pending.task, outcome.Value(reply))

    def too_slow(self, hops: Hop) -> trio.TooSlowError:
        """The exception for a call that timed out, with where its time went as message and note."""
        error = trio.TooSlowError(path_text(hops))
        error.add_note(f"where the time went:\n{describe(hops)}")
        return error
