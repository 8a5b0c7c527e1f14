"""The calls that are in one worker, as its node sees them.

Knows: slots, parked callers by call id, how a call travels to the worker and back.
Never: the life of the process; streams.
Holds: calls beyond the instance's concurrency wait here, so that a worker that dies takes none of them along. A slot is
       taken until the worker has answered, or has heard that nobody waits any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from aether.hosting.failures import refused_arguments
from aether.hosting.hosts import Birth
from aether.hosting.slots import Slots
from aether.hosting.worker_link import Link
from aether.hosting.worker_messages import Check
from aether.invocation.acceptance import Accepting
from aether.invocation.local import Around, Ran
from aether.invocation.messages import CallCancel, CallReply, CallRequest
from aether.invocation.outgoing import reserve_s
from aether.invocation.pending_service import reason_of
from aether.invocation.reply import FULL, Abandoned, Done, Form, NotStarted, Outcome, TimedOut
from aether.invocation.tracer import passed_on
from aether.slice_api.current import NORMAL, RUNNING
from aether.slice_api.methods import MethodSpec

DIED: Final = "its worker process has died"


@attrs.define(eq=False)
class _Call:
    """A call that was sent to the worker.

    method  "" for one that the contract has not; task  parked until its reply; None: nobody waits any more
    """

    method: str
    began: float
    task: Task | None


class WorkerCalls:
    """`serve` runs in the tasks of callers; the rest tells it what became of the worker.

    refusal  why calls are refused now, "" = they are not; link  to the worker
    """

    def __init__(self, birth: Birth, link: Callable[[], Link], refusal: str) -> None:
        options = birth.contract.options
        self._birth = birth
        self._link = link
        self._slots = Slots(options.concurrency, options.queue)
        self._calls: dict[int, _Call] = {}
        self._checks: dict[int, Task] = {}
        self._last_id = 0
        self.refusal: str = refusal

    def __len__(self) -> int:
        """Calls that are in the worker now."""
        return len(self._calls)

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return self._slots.waiting

    def admit(self) -> None:
        """The worker takes calls from now on."""
        self.refusal = ""

    def refuse(self, reason: str) -> None:
        """Send those that wait away, and refuse new ones."""
        self.refusal = self.refusal or reason
        self._slots.refuse_waiting(self.refusal)

    def replied(self, m: CallReply, _: str) -> None:
        asked = self._checks.pop(m.call_id, None)
        if asked is not None:
            trio.lowlevel.reschedule(asked, outcome.Value(m.reply))
        self._settle(m.call_id, m.reply)

    def lost(self, begun: int, reason: str) -> None:
        """The worker is gone. begun  the last call that it may have begun"""
        for asked in self._checks.values():
            trio.lowlevel.reschedule(asked, outcome.Value(NotStarted(reason)))
        self._checks.clear()
        for call_id in list(self._calls):
            self._settle(call_id, Abandoned(reason) if call_id <= begun else NotStarted(reason))

    def _settle(self, call_id: int, reply: Outcome) -> None:
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        held_s = None if call.task is None else trio.current_time() - call.began
        self._slots.give_back(call.method, held_s)
        if call.task is not None:
            trio.lowlevel.reschedule(call.task, outcome.Value(reply))

    async def serve(
        self, method: str, payload: object, form: Form, scope: trio.CancelScope, around: Around | None = None
    ) -> Ran:
        """One call, as LocalInstance promises. Raises FrameTooLarge, TypeError, ValueError for what cannot be sent."""
        if self.refusal:
            return NotStarted(self.refusal)
        with scope:
            if not self._slots.try_take():
                running = RUNNING.get()
                refusal = await self._slots.take(NORMAL if running is None else running.priority, method)
                if refusal is not None:
                    return refusal
            if around is None:
                return await self._called(method, payload, form)
            return await self._called_inside(around, method, payload, form)
        return None

    async def _called_inside(self, around: Around, method: str, payload: object, form: Form) -> Ran:
        spec = self._birth.contract.methods.get(method)
        sent = False

        async def run() -> Ran:
            nonlocal sent
            sent = True
            return await self._called(method, payload, form)

        try:
            misfit: Ran = None
            if isinstance(spec, MethodSpec):
                misfit = refused_arguments(spec, payload, form)
            elif isinstance(around, Accepting):
                misfit = await self._checked(method, payload, form)
            return await around(spec, run) if misfit is None else misfit
        finally:
            if not sent:
                self._slots.give_back()

    async def _checked(self, method: str, payload: object, form: Form) -> Ran:
        """The worker's refusal of arguments, where their types are known to it alone; None when they fit."""
        self._last_id += 1
        call_id = self._last_id

        def abort(_: RaiseCancelT) -> Abort:
            del self._checks[call_id]
            return Abort.SUCCEEDED

        if not self._link().send(Check(call_id, method, form.value, payload)):
            return NotStarted(DIED)
        self._checks[call_id] = trio.lowlevel.current_task()
        said: Ran = await trio.lowlevel.wait_task_rescheduled(abort)
        return None if isinstance(said, Done) else said

    async def _called(self, method: str, payload: object, form: Form) -> Ran:
        running = RUNNING.get()
        deadline = trio.current_effective_deadline()
        left_s = deadline - trio.current_time()
        kept_s = reserve_s(left_s)
        give_up_at = deadline - kept_s
        self._last_id += 1
        request = CallRequest(
            self._last_id,
            self._birth.contract.name,
            self._birth.instance,
            method,
            form,
            left_s - kept_s,
            payload,
            1,
            passed_on(running),
        )
        reply = await self._exchanged(request, "" if running is None else running.request_id)
        if not isinstance(reply, TimedOut):
            return reply
        if running is not None and running.span is not None:
            running.span.remote = reply.hops
        if trio.current_time() >= give_up_at:
            await trio.sleep_until(deadline)  # the time of the call is over: it ends by its scope
        raise trio.TooSlowError

    async def _exchanged(self, request: CallRequest, request_id: str) -> Outcome:
        call_id, link = request.call_id, self._link()

        def abort(cancelled: RaiseCancelT) -> Abort:
            call.task = None  # its slot stays taken until the worker has heard of it
            link.post(CallCancel(call_id, reason_of(cancelled)))
            return Abort.SUCCEEDED

        try:
            sent = link.send(request, request_id)
        except BaseException:
            self._slots.give_back()
            raise
        if not sent:
            self._slots.give_back()
            return NotStarted(FULL, self._slots.limit) if link.is_open else NotStarted(DIED)
        known = request.method if request.method in self._birth.contract.methods else ""
        call = self._calls[call_id] = _Call(known, trio.current_time(), trio.lowlevel.current_task())
        reply: Outcome = await trio.lowlevel.wait_task_rescheduled(abort)
        return reply
