"""Calls out: from a target and a method to what came of it.

Knows: pending calls by correlation id, deadlines by cancel scopes; carries out what `retry` and `balance` decide.
Never: how an instance runs, which instances exist, exceptions of user code.
Holds: the pending table is touched by this object alone, and only from the loop; a call is in it exactly while its
       task is parked. Deadlines cross nodes as remaining seconds, so clocks are never compared.
"""

from __future__ import annotations

import math
import random
from typing import Final, NoReturn, cast

import attrs
import trio

from aether.errors import Draining, NoInstance, OutcomeUnknown, Overloaded, TryAgain
from aether.invocation.balance import Balancer
from aether.invocation.chooser import Chooser
from aether.invocation.copying import over_msgpack
from aether.invocation.endpoints import Endpoint, EndpointRegistry
from aether.invocation.hops import Hop, describe, path_text
from aether.invocation.local import LocalHost
from aether.invocation.messages import CallCancel, CallReply, CallRequest
from aether.invocation.pending_service import Expired, PendingCalls, Send
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
from aether.invocation.serving_service import CallServer
from aether.invocation.span import RUNNING, Running, Span, call_name
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId, NodeId
from aether.model.limits import CALLS_IN_FLIGHT_MAX, REQUEST_ID_CHARS_MAX
from aether.model.version import Version
from aether.slice_api.call import PLAIN, CallOptions

RESERVE_MAX_S: Final = (
    0.005  # a callee gets this much less than its caller has, so that its account of the time arrives
)
RESERVE_SHARE: Final = 0.01
RESERVE_FULL_S: Final = RESERVE_MAX_S / RESERVE_SHARE  # with more time than this, the reserve is RESERVE_MAX_S
_NOTHING: Final = (NotStarted, Abandoned)


@attrs.define(eq=False)
class _Call:
    """One call while it is tried.

    deadline    when the caller stops waiting; own  it is the contract's default, no scope of the caller ends the wait
    give_up_at  a little earlier: what callees get, so that they can answer in time
    full        every try so far was refused as full; cut_off  where it may have run in part, "" = nowhere
    """

    target: ArtifactBase
    method: str
    payload: object
    form: Form
    request_id: str
    options: CallOptions
    span: Span
    idempotent: bool
    deadline: float
    own: bool
    give_up_at: float
    began: float
    attempt: int = 0
    excluded: frozenset[InstanceId] = frozenset()
    full: bool = True
    cut_off: str = ""
    version: Version | None = None

    def scope(self) -> trio.CancelScope:
        """For running it in the caller's task: a deadline in force already needs no second one."""
        return trio.CancelScope(deadline=self.deadline) if self.own else trio.CancelScope()


class Invoker:
    """Makes and serves the calls of one node.

    send           the transport's: (peer, message, request id) -> False: no connection, or its mailbox is full
    wire           force co-located calls through msgpack, so that tests see what a remote caller would
    in_flight_max  calls made, and calls served, at the same time
    balancer       chooses among instances; None = power of two choices
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
    ) -> None:
        self._node = node
        self._registry = registry
        self._send = send
        self._host = host
        self._random = rng
        self._wire = wire
        self._in_flight_max = in_flight_max
        self._server = CallServer(node, send, host, in_flight_max)
        self._pending = PendingCalls(send, self._random.getrandbits(48))
        self._chooser = Chooser(node, registry, rng, trio.current_time, balancer)
        self._budget = RetryBudget()
        self._changed = trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled; cancelling it cancels every served call."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await self._pending.keep_deadlines()
            finally:
                self._nursery = None
                self._pending.abandon(f"node {self._node} stopped")

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
        now = trio.current_time()
        terms = self._registry.terms(target)
        running = RUNNING.get()
        name = call_name(target.name, method)
        if running is None:
            span = Span(name, now)
        else:
            span = running.span.child(name, now)
            request_id = request_id or running.request_id
        if len(request_id) > REQUEST_ID_CHARS_MAX:
            request_id = request_id[:REQUEST_ID_CHARS_MAX]
        deadline = now + terms.deadline_of(method)
        in_force = trio.current_effective_deadline()
        own = deadline < in_force
        if not own:
            deadline = in_force
        left_s = deadline - now
        give_up_at = deadline - (RESERVE_MAX_S if left_s > RESERVE_FULL_S else RESERVE_SHARE * max(left_s, 0.0))
        call = _Call(
            target=target,
            method=method,
            payload=payload,
            form=form,
            request_id=request_id,
            options=options,
            span=span,
            idempotent=method in terms.idempotent,
            deadline=deadline,
            own=own,
            give_up_at=give_up_at,
            began=now,
        )
        self._budget.earn()
        if running is None:
            return await self._tries(call)
        answered = False
        try:
            reply = await self._tries(call)
            answered = type(reply) is not TimedOut
            return reply
        finally:
            span.close(trio.current_time(), answered=answered)

    def deliver(self, sender: NodeId, message: object, request_id: str) -> None:
        """A message of this room from a peer. Never blocks."""
        kind = type(message)
        if kind is CallReply:
            reply = cast("CallReply", message)
            self._pending.settle(sender, reply.call_id, reply.reply)
        elif kind is CallRequest:
            self._accept(sender, cast("CallRequest", message), request_id)
        elif kind is CallCancel:
            self._server.cancel(sender, cast("CallCancel", message).call_id)
        else:
            raise TypeError(f"{kind.__name__} is no message of a call")

    def _accept(self, sender: NodeId, request: CallRequest, request_id: str) -> None:
        if self._nursery is not None:
            self._server.accept(self._nursery, sender, request, request_id)
        else:
            self._send(sender, CallReply(request.call_id, NotStarted("the node is stopping")), request_id)

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone: calls in flight to it end at once, calls served for it are cancelled."""
        self._pending.peer_lost(node)
        self._server.peer_lost(node)

    def endpoints_changed(self) -> None:
        """The registry was rebuilt: wake calls that wait for an instance."""
        self._chooser.endpoints_changed()
        self._changed.unpark_all()

    # --- tries --------------------------------------------------------------------------------------------------------

    async def _tries(self, call: _Call) -> Reply:
        try:
            return await self._until_answered(call)
        except TryAgain as error:
            if not call.cut_off:
                raise
            raise OutcomeUnknown(f"{call.cut_off}; then: {error}") from error  # an earlier try may have run

    async def _until_answered(self, call: _Call) -> Reply:
        while True:
            endpoint = self._chooser.choose(call)
            if endpoint is None:
                await self._endpoint_appears(call)
                # The contract's row arrives with the first endpoint, so a call that waited learns its terms now.
                call.idempotent = call.method in self._registry.terms(call.target).idempotent
                continue
            call.attempt += 1
            result = await self._try(call, endpoint)
            if not isinstance(result, _NOTHING):
                return result
            await self._after_nothing(call, endpoint, result)

    async def _endpoint_appears(self, call: _Call) -> None:
        call.excluded = frozenset()
        if len(self._changed) >= self._in_flight_max:
            raise Overloaded(f"node {self._node}, calls that wait for an instance", self._in_flight_max)
        with trio.move_on_at(call.give_up_at):
            while not self._registry.endpoints(call.target):
                await self._changed.park()
            return
        raise NoInstance(str(call.target), *self._registry.state(call.target))

    async def _after_nothing(self, call: _Call, endpoint: Endpoint, failure: NotStarted | Abandoned) -> None:
        """Prepare the next try, after the pause it needs; or raise."""
        call.full = call.full and failure.reason == FULL
        if isinstance(failure, Abandoned):
            call.cut_off = f"{call.span.name} may have run on {endpoint.node}: {failure.reason}"
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
        return OutcomeUnknown(f"{call.cut_off}; repeat it only if that does no harm")

    async def _try(self, call: _Call, endpoint: Endpoint) -> Outcome:
        load = self._chooser.began(endpoint)
        began = call.began if call.attempt == 1 else trio.current_time()
        result = None
        try:
            if endpoint.node == self._node:
                result = await self._try_here(call, endpoint)
            else:
                result = await self._try_there(call, endpoint, began)
            return result
        finally:
            now = trio.current_time()
            late = result is None and now >= call.give_up_at  # a scope of the caller ended it, as its deadline said
            self._chooser.ended(endpoint, load, result, now - began, late=late)

    async def _try_here(self, call: _Call, endpoint: Endpoint) -> Outcome:
        instance = self._host.find(endpoint.instance)
        if instance is None:
            return NotStarted(UNKNOWN_INSTANCE)
        payload = over_msgpack(call.payload) if self._wire else call.payload
        result = await self._server.serve_here(
            instance, call.method, payload, call.form, Running(call.span, call.request_id), call.scope()
        )
        if isinstance(result, Failed) and call.attempt != 1:
            result = attrs.evolve(result, attempt=call.attempt)
        return decode_reply(over_msgpack(encode_reply(result))) if self._wire else result

    async def _try_there(self, call: _Call, endpoint: Endpoint, now: float) -> Outcome:
        pending = self._pending
        if self._nursery is None:
            raise Draining(self._node)
        if len(pending) >= self._in_flight_max:
            raise Overloaded(f"node {self._node}, calls in flight", self._in_flight_max)
        left_s = call.give_up_at - now
        if left_s <= 0:
            await trio.sleep_until(call.deadline)
            return TimedOut(call.span.hop(trio.current_time()))
        call_id = pending.new_id()
        request = CallRequest(
            call_id, str(call.target), endpoint.instance, call.method, call.form, left_s, call.payload, call.attempt
        )
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

    def too_slow(self, hops: Hop) -> trio.TooSlowError:
        """The exception for a call that timed out, with where its time went as message and note."""
        error = trio.TooSlowError(path_text(hops))
        error.add_note(f"where the time went:\n{describe(hops)}")
        return error
