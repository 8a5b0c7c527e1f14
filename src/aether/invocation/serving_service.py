"""Calls in: each one that may wait has a task for itself, with the time that its caller has left.

Knows: served calls by caller and call id; how cancellation, deadline and drain end one.
Never: who should be called, retries, exceptions of user code.
Holds: a call is in the table from its arrival to its reply; at most `in_flight_max` are, co-located ones included.
       A task that has served one call may serve another, in context variables as new as a new task's.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Final, NoReturn, TypeAlias

import attrs
import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from aether.invocation.acceptance import ONE_WAY, Accepting, read_one_way
from aether.invocation.cleanup_service import LOOK_S, RunningCalls
from aether.invocation.keyed import KEY, Keyed, WithKey, no_keys, read_key
from aether.invocation.local import Around, LocalHost, LocalInstance, Ran, RanAtOnce
from aether.invocation.messages import CallReply, CallRequest
from aether.invocation.pending_service import Send
from aether.invocation.reply import (
    FULL,
    LATE,
    STEPS_ASIDE,
    UNKNOWN_INSTANCE,
    UNSENDABLE,
    Abandoned,
    Done,
    Failed,
    Form,
    NotStarted,
    Outcome,
    TimedOut,
    unsendable,
)
from aether.invocation.span import Span
from aether.invocation.tracer import Tracer
from aether.model.artifact import ArtifactBase
from aether.model.ids import NodeId
from aether.slice_api.current import RUNNING, Running
from aether.slice_api.faults import text_of

REPLY_TRIES_MAX: Final = 8
REPLY_PAUSE_S: Final = 0.01

CALLS_REMEMBERED: Final = 2_048  # and at most twice as many
IDLE_TASKS_MAX: Final = 64
"""Tasks kept for the next call: to start and end one costs a fifth of serving it."""

_log = logging.getLogger(__name__)

_Arrived: TypeAlias = tuple[NodeId, CallRequest, str, trio.CancelScope]


Over: TypeAlias = Callable[[str, Span, str], None]
"""Told that a call is over: its request id, its span, what it came to. Never blocks."""
StepsAside: TypeAlias = Callable[[str | ArtifactBase, int], bool]
"""Whether another node had better serve a call of a slice, on its so-many-eth try."""


def never(target: str | ArtifactBase, attempt: int) -> bool:
    """This node takes every call."""
    return False


def nobody_looks(request_id: str, span: Span, outcome: str) -> None:
    """Nobody keeps what a call came to."""


class CallServer:
    """Serves the calls that arrive at one node."""

    def __init__(
        self,
        node: NodeId,
        send: Send,
        host: LocalHost,
        in_flight_max: int,
        tracer: Tracer,
        with_key: WithKey | None = None,
        over: Over = nobody_looks,
        steps_aside: StepsAside = never,
    ) -> None:
        """with_key  what keeps the keys of calls that have one; None = somebody does that before
        over  told of each call from another node that is over
        steps_aside  whether another node had better serve a call
        """
        self.steps_aside: StepsAside = steps_aside
        self._over = over
        self._node = node
        self._send = send
        self._host = host
        self._in_flight_max = in_flight_max
        self.tracer: Tracer = tracer
        self.with_key: WithKey = with_key or no_keys
        self._served: dict[tuple[NodeId, int], trio.CancelScope] = {}
        self._arrived = RunningCalls()  # those of _served, and cancelled ones that clean up
        self._here = RunningCalls()
        self._ended: dict[tuple[NodeId, int], None] = {}  # the last that ended or were cancelled, oldest first
        self._pristine = copy_context()
        self._idle: list[Task] = []  # parked, the one that served last at the end

    @property
    def serving(self) -> int:
        """Calls that run here, co-located ones included."""
        return len(self._arrived) + len(self._here)

    @property
    def full(self) -> bool:
        return len(self._arrived) + len(self._here) >= self._in_flight_max

    async def bound_cleanup(self) -> NoReturn:
        """See that no cancelled call cleans up for longer than CLEANUP_S; until cancelled."""
        while True:
            await trio.sleep(LOOK_S)
            for calls in (self._arrived, self._here):
                if calls:
                    calls.look()

    async def ended(self) -> None:
        """Return when every call that arrived, all being cancelled, has ended or has had CLEANUP_S for it."""
        await self._arrived.ended()

    def accept(self, nursery: trio.Nursery, sender: NodeId, request: CallRequest, request_id: str) -> None:
        """Start serving `request`, or refuse it at once. One that was sent twice is served once."""
        key = (sender, request.call_id)
        if key in self._served or key in self._ended:
            return
        if self.full:
            self._send(sender, CallReply(request.call_id, NotStarted(FULL, self._in_flight_max)), request_id)
        elif request.remaining_s <= 0:
            self._send(sender, CallReply(request.call_id, NotStarted(LATE)), request_id)
        elif not self._accept_at_once(nursery, sender, request, request_id):
            scope = trio.CancelScope(deadline=trio.current_time() + request.remaining_s)
            self._served[key] = scope
            self._arrived[scope] = (request.target, request.method)
            arrived = (sender, request, request_id, scope)
            if self._idle:
                trio.lowlevel.reschedule(self._idle.pop(), outcome.Value(arrived))
            else:
                nursery.start_soon(self._work, arrived)

    def _accept_at_once(self, nursery: trio.Nursery, sender: NodeId, request: CallRequest, request_id: str) -> bool:
        """Serve `request` before this returns, where its method awaits nothing."""
        instance, extra, now = self._host.find(request.instance), request.extra, trio.current_time()
        if (
            instance is None
            or not instance.awaits_nothing(request.method)
            or KEY in extra
            or ONE_WAY in extra
            or self.steps_aside(request.target, request.attempt)
            or self.tracer.recording(now) is not None
        ):
            return False
        span = Span(f"{instance.name}.{request.method}", now)
        span.instance, until = request.instance, now + request.remaining_s
        serve = self._pristine.copy().run  # what a method sets is not for the next call
        reply: Outcome | None
        try:
            running = self.tracer.served(span, request_id, extra, request.call_id)
            reply = serve(self.serve_at_once, instance, request.method, request.payload, request.form, running, until)
        except Exception as error:  # noqa: BLE001 - and least of all the task that reads from the connection
            reply = self._broken(request, error)
        if reply is None:
            return False
        if isinstance(reply, Failed) and request.attempt != 1:
            reply = attrs.evolve(reply, attempt=request.attempt)
        self._remember((sender, request.call_id))
        span.close(trio.current_time(), answered=True)
        self._over(request_id, span, type(reply).__name__)
        if not self._answered(sender, request, reply, request_id):
            nursery.start_soon(self._answer_later, sender, request, reply, request_id, until)
        return True

    def cancel(self, sender: NodeId, call_id: int, reason: str) -> None:
        """The caller waits no more. `reason` is what the method finds in trio.Cancelled, and hands on to its own."""
        scope = self._served.pop((sender, call_id), None)
        self._remember((sender, call_id))  # a long request may be overtaken by this: then it does not begin
        if scope is not None:
            scope.cancel(reason)

    def peer_lost(self, node: NodeId) -> None:
        """Nobody can receive the replies to `node`: cancel what is served for it."""
        for sender, call_id in [key for key in self._served if key[0] == node]:
            self.cancel(sender, call_id, "the connection to its caller was lost")

    def serve_at_once(
        self, instance: LocalInstance, method: str, payload: object, form: Form, running: Running, until: float
    ) -> RanAtOnce | TimedOut:
        """A call of a method that awaits nothing; None = nothing was done, and it has to be served otherwise.

        until  when its time is over; tasks that it leaves behind are not bound by that
        """
        token, running.span.until = RUNNING.set(running), until
        try:
            return instance.serve_at_once(method, payload, form, running.span.began_s)
        except trio.TooSlowError:
            return TimedOut(running.span.hop(trio.current_time()))
        finally:
            running.span.until = math.inf
            RUNNING.reset(token)

    async def serve_here(
        self,
        instance: LocalInstance,
        method: str,
        payload: object,
        form: Form,
        running: Running,
        scope: trio.CancelScope,
        around: Around | None = None,
    ) -> Outcome:
        """A co-located call: the same path, in the caller's own task."""
        if self.full:
            return NotStarted(FULL, self._in_flight_max)
        self._here[scope] = (instance.name, method)
        try:
            serving = outcome_of(instance.serve(method, payload, form, scope, around), scope, running)
            spans = self.tracer.recording(running.span.began_s)
            if spans is None:
                return await serving
            return await spans.server(running.span, None, running.request_id, serving)
        finally:
            self._here.over(scope)

    async def _work(self, arrived: _Arrived) -> None:
        """Serve one call after another, for as long as few tasks are idle."""
        task, pristine = trio.lowlevel.current_task(), copy_context()

        def abort(_: RaiseCancelT) -> Abort:
            self._idle.remove(task)
            return Abort.SUCCEEDED

        while True:
            await self._serve(*arrived)
            if len(self._idle) >= IDLE_TASKS_MAX:
                return
            task.context = pristine.copy()  # what a method sets is not for the next call
            self._idle.append(task)
            arrived = await trio.lowlevel.wait_task_rescheduled(abort)

    async def _serve(self, sender: NodeId, request: CallRequest, request_id: str, scope: trio.CancelScope) -> None:
        key = (sender, request.call_id)
        try:
            reply = await self._outcome(sender, request, request_id, scope)
        except Exception as error:  # noqa: BLE001 - one call ends, not the node
            reply = self._broken(request, error)
        finally:
            self._arrived.over(scope)
            self._remember(key)
        if self._served.get(key) is not scope:
            return  # cancelled by the caller, or the caller is gone
        try:
            if not self._answered(sender, request, reply, request_id):
                await self._answer_later(sender, request, reply, request_id, scope.deadline)
        finally:
            self._served.pop(key, None)

    async def _outcome(self, sender: NodeId, request: CallRequest, request_id: str, scope: trio.CancelScope) -> Outcome:
        instance = self._host.find(request.instance)
        if instance is None:
            return NotStarted(UNKNOWN_INSTANCE)
        if self.steps_aside(request.target, request.attempt):
            return NotStarted(STEPS_ASIDE)
        span = Span(f"{instance.name}.{request.method}", trio.current_time())
        span.instance = request.instance
        running = self.tracer.served(span, request_id, request.extra, request.call_id)
        around = None
        if KEY in request.extra or ONE_WAY in request.extra:
            around = self._around(sender, instance, request, request_id, scope)
        serving = instance.serve(request.method, request.payload, request.form, scope, around)
        making = outcome_of(serving, scope, running)
        spans = self.tracer.recording(span.began_s)
        if spans is not None:
            making = spans.server(span, self.tracer.above(span), request_id, making)
        outcome = ""
        try:
            reply = await making
            outcome = type(reply).__name__
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            span.close(trio.current_time(), answered=True)
            self._over(request_id, span, outcome)
        if isinstance(reply, Failed) and request.attempt != 1:
            return attrs.evolve(reply, attempt=request.attempt)
        return reply

    def _broken(self, request: CallRequest, error: Exception) -> Failed:
        """What went wrong beside the method must end one call, not the node."""
        _log.error("serving %s of %s failed outside the method", request.method, request.target, exc_info=error)
        return Failed(kind=type(error).__name__, message=text_of(error), node=self._node)

    def _remember(self, key: tuple[NodeId, int]) -> None:
        """So that a request that arrives once more, or too late, is known: a process never uses a call id twice."""
        self._ended[key] = None
        if len(self._ended) > 2 * CALLS_REMEMBERED:
            self._ended = dict.fromkeys(list(self._ended)[CALLS_REMEMBERED:])

    def _around(
        self,
        sender: NodeId,
        instance: LocalInstance,
        request: CallRequest,
        request_id: str,
        scope: trio.CancelScope,
    ) -> Around | None:
        """What the entries of the request ask for beside running the method."""
        key, lasts_s = read_key(request.extra), read_one_way(request.extra)
        name = f"{instance.name}.{request.method}"
        around = None
        if key:
            around = self.with_key(
                Keyed(
                    target=ArtifactBase.parse(request.target),
                    method=request.method,
                    instance=request.instance,
                    key=key,
                    payload=request.payload,
                    form=request.form,
                    name=name,
                    left_s=scope.deadline - trio.current_time() if lasts_s is None else lasts_s,
                )
            )
        if lasts_s is None:
            return around

        def accept() -> None:
            """Nobody waits from now on, so nobody's going ends it."""
            if self._served.pop((sender, request.call_id), None) is not None:
                scope.deadline = trio.current_time() + lasts_s
                self._answered(sender, request, Done(None), request_id)

        return Accepting(accept, around, name)

    def _answered(self, sender: NodeId, request: CallRequest, reply: Outcome, request_id: str) -> bool:
        """Send the reply, or that it cannot be sent; False: the mailbox is full."""
        try:
            return self._send(sender, CallReply(request.call_id, reply), request_id)
        except UNSENDABLE as error:
            failed = unsendable(
                error,
                target=request.target,
                method=request.method,
                instance=request.instance,
                node=self._node,
                attempt=request.attempt,
            )
            return self._send(sender, CallReply(request.call_id, failed), request_id)

    async def _answer_later(
        self, sender: NodeId, request: CallRequest, reply: Outcome, request_id: str, deadline: float
    ) -> None:
        for _ in range(1, REPLY_TRIES_MAX):
            if trio.current_time() >= deadline:
                break
            await trio.sleep(REPLY_PAUSE_S)
            if self._answered(sender, request, reply, request_id):
                return
        _log.warning("reply of %s.%s to %s dropped: its mailbox stayed full", request.target, request.method, sender)


def time_left_s(until: float = math.inf) -> float:
    """Until the deadline of the current scope, or the time `until`; in the thread of a blocking method, of the task
    that waits for it.
    """
    try:
        return min(trio.current_effective_deadline(), until) - trio.current_time()
    except RuntimeError:
        pass
    try:
        return trio.from_thread.run_sync(time_left_s, until)
    except RuntimeError:  # neither in the loop nor in a thread of it
        return math.inf


async def outcome_of(serving: Awaitable[Ran], scope: trio.CancelScope, running: Running) -> Outcome:
    """What came of `serving`, which enters `scope`; calls made meanwhile are told as `running`'s."""
    token = RUNNING.set(running)
    try:
        outcome = await serving
    except trio.TooSlowError:
        return TimedOut(running.span.hop(trio.current_time()))
    finally:
        RUNNING.reset(token)
    if outcome is not None:
        return outcome
    if trio.current_time() >= scope.deadline:
        return TimedOut(running.span.hop(trio.current_time()))
    return Abandoned("the instance stopped before the method ended")
