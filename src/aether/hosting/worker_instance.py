"""One instance in a worker process, as its node sees it.

Knows: the life of the process from start to end, the calls that are in it, which of them may have begun.
Never: user code; it runs in the worker.
Holds: whatever happens to the process, each call gets an outcome, `live` ends, and nothing of the process is left.
       Calls beyond the instance's concurrency wait here, so that a worker that dies takes none of them along.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from aether.errors import BadInput
from aether.hosting.failures import refused_arguments
from aether.hosting.given import encode_given
from aether.hosting.hosts import Birth
from aether.hosting.slots import Slots
from aether.hosting.worker_errors import WorkerDied, WorkerFailed
from aether.hosting.worker_link import Link
from aether.hosting.worker_log import told
from aether.hosting.worker_messages import (
    PROTOCOL,
    Begin,
    Begun,
    CallOut,
    Ended,
    Hello,
    Log,
    MapAccess,
    Stop,
    Withdraw,
)
from aether.hosting.worker_outward import Outward
from aether.hosting.worker_process import WorkerProcess, how_it_ended, start_worker
from aether.hosting.worker_program import Program
from aether.invocation.local import Around, Ran
from aether.invocation.messages import CallCancel, CallReply, CallRequest
from aether.invocation.outgoing import reserve_s
from aether.invocation.pending_service import reason_of
from aether.invocation.reply import (
    DRAINING,
    FULL,
    Abandoned,
    Failed,
    Form,
    NotStarted,
    Outcome,
    TimedOut,
)
from aether.invocation.streaming import InputStream, ServedSink
from aether.invocation.tracer import passed_on
from aether.model.limits import WORKER_EXIT_S, WORKER_HALT_S, WORKER_MEMORY_LOOK_S
from aether.slice_api.current import NORMAL, RUNNING

_log = logging.getLogger("aether.hosting")

NOT_READY: Final = "not started"
STOPPED: Final = "stopped"
DIED: Final = "its worker process has died"
DATA_SHARE: Final = 2  # of memory_mb that a worker may reserve for writing before malloc fails in it
DATA_EXTRA_BYTES: Final = 512 * 2**20  # stacks of threads, reserved and hardly used
_MIB: Final = 2**20
_SETTLES_S: Final = 1.0  # between the end of a process and that of its socket, whichever is seen first

MakeOutward = Callable[[Callable[[object], bool]], Outward]


@attrs.define(eq=False)
class _Call:
    """A call that was sent to the worker. task  parked until its reply; None: nobody waits any more"""

    task: Task | None


class WorkerInstance:
    """Implements Living. `live` is its life; everything else is called from other tasks of the loop."""

    def __init__(self, birth: Birth, program: Program, make_outward: MakeOutward) -> None:
        options = birth.contract.options
        self._birth = birth
        self._program = program
        self._slots = Slots(options.concurrency, options.queue)
        self._outward = make_outward(self._send)
        self._calls: dict[int, _Call] = {}
        self._last_id = 0
        self._refusal = NOT_READY
        self._stopping = False
        self._process: WorkerProcess | None = None
        self._link: Link | None = None
        self._begun = trio.Event()
        self._heard = trio.Event()
        self._over = trio.Event()
        self._last_word: Ended | None = None
        self._why = ""  # this side ended it, and knows why

    @property
    def name(self) -> str:
        return self._birth.contract.name

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    @property
    def running(self) -> int:
        """Calls that are in the worker now."""
        return len(self._calls)

    @property
    def pid(self) -> int | None:
        """Of its process; None when there is none."""
        return None if self._process is None else self._process.pid

    # --- life ---------------------------------------------------------------------------------------------------------

    async def live(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """As Living promises. Raises WorkerFailed for what user code raised, WorkerDied for an end of the process."""
        process = self._process = start_worker(self._program.path)
        link = self._link = Link(process.end, self._handlers(process))
        try:
            async with trio.open_nursery() as nursery:
                plumbing = trio.CancelScope(shield=True)  # messages pass until the process has ended
                nursery.start_soon(self._plumb, plumbing, process, link)
                try:
                    await self._serve(task_status)
                except trio.Cancelled:
                    await self._halt(link)
                    raise
                finally:
                    await self._end(process)
                    plumbing.cancel()
        finally:
            link.close()
            process.mark.close()
        self._raise_failure(process)

    def stop(self) -> None:
        """Refuse new calls and let the worker drain. Never blocks; `live` returns when all is over."""
        self._refuse(DRAINING)
        self._stopping = True
        if self._link is not None:
            self._link.post(Stop(at_once=False))

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        await self._begun.wait()
        if self._over.is_set():
            return
        if not self._stopping:
            self._refusal = ""
        task_status.started()
        await self._over.wait()

    async def _plumb(self, scope: trio.CancelScope, process: WorkerProcess, link: Link) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.write)
                nursery.start_soon(self._watch_memory, process)
                await nursery.start(self._outward.run)
                nursery.start_soon(self._read, process, link)
                await process.wait()
                with trio.move_on_after(_SETTLES_S):  # its last words; a process that it left may hold its end open
                    await self._heard.wait()
                self._is_over()

    async def _read(self, process: WorkerProcess, link: Link) -> None:
        try:
            await link.read()
        except BadInput as error:
            self._kill(process, f"said what no worker says: {error}")
        self._heard.set()
        with trio.move_on_after(_SETTLES_S):  # whoever closes its end is about to be gone
            await process.wait()
        process.kill()

    async def _watch_memory(self, process: WorkerProcess) -> None:
        limit_mb = self._birth.memory_mb
        while limit_mb is not None:
            await trio.sleep(WORKER_MEMORY_LOOK_S)
            used_mb = process.resident_bytes() / _MIB
            if used_mb > limit_mb:
                self._kill(process, f"used {used_mb:.0f} MiB; memory_mb={limit_mb} is its limit")
                return

    async def _halt(self, link: Link) -> None:
        """Let it leave its lifespan, cancelled; not for long."""
        link.post(Stop(at_once=True))
        with trio.move_on_after(WORKER_HALT_S, shield=True):
            await self._over.wait()

    async def _end(self, process: WorkerProcess) -> None:
        """Return once nothing of the process is left."""
        with trio.CancelScope(shield=True):
            if self._last_word is not None:
                with trio.move_on_after(WORKER_EXIT_S) as grace:
                    await process.wait()
                if grace.cancelled_caught:
                    _log.warning("worker process %d of %s spoke its last word and stayed", process.pid, self.name)
            process.kill()
            await process.wait()
        self._is_over()

    def _kill(self, process: WorkerProcess, why: str) -> None:
        if not self._over.is_set():
            self._why = self._why or why
            _log.error("worker process %d of %s (instance %s) %s", process.pid, self.name, self._birth.instance, why)
            process.kill()

    def _is_over(self) -> None:
        """Nothing more comes from the worker: every call gets its outcome."""
        self._begun.set()
        self._over.set()
        self._refuse(STOPPED if self._stopping else DIED)
        begun = 0 if self._process is None else self._process.mark.number
        for call_id in list(self._calls):
            may_have_run = call_id <= begun
            self._settle(call_id, Abandoned(DIED) if may_have_run else NotStarted(DIED))

    def _refuse(self, reason: str) -> None:
        self._refusal = self._refusal or reason
        self._slots.refuse_waiting(self._refusal)

    def _raise_failure(self, process: WorkerProcess) -> None:
        word = self._last_word
        if word is None:
            raise WorkerDied(self.name, process.pid, self._why or how_it_ended(process.status))
        if word.kind:
            raise WorkerFailed(word.kind, word.message, word.traceback)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _handlers(self, process: WorkerProcess) -> dict[type, Callable[[Any, str], None]]:
        return {
            Hello: self._hello,
            Begun: lambda m, _: self._begun.set(),
            Ended: self._ended,
            CallReply: self._replied,
            CallOut: self._outward.call,
            MapAccess: self._outward.access,
            Withdraw: self._outward.withdraw,
            Log: lambda m, request_id: told(m, request_id, process.pid),
        }

    def _send(self, message: object) -> bool:
        return self._link is not None and self._link.send(message)

    def _hello(self, m: Hello, _: str) -> None:
        if m.protocol != PROTOCOL:
            raise BadInput(
                f"protocol {m.protocol} of workers, where this node speaks {PROTOCOL}: install the same release"
            )
        assert self._link is not None
        birth, program = self._birth, self._program
        limit = birth.memory_mb
        self._link.post(
            Begin(
                module=program.module,
                qualname=program.qualname,
                file=program.file,
                artifact=str(birth.contract.artifact),
                node=birth.place.node,
                instance=birth.instance,
                drain_s=float(birth.drain_s),
                log_level=logging.getLogger().getEffectiveLevel(),
                data_bytes_max=0 if limit is None else DATA_SHARE * limit * _MIB + DATA_EXTRA_BYTES,
                fields=encode_given(birth.given),
            )
        )

    def _ended(self, m: Ended, _: str) -> None:
        self._last_word = m
        self._is_over()

    def _replied(self, m: CallReply, _: str) -> None:
        self._settle(m.call_id, m.reply)

    def _settle(self, call_id: int, reply: Outcome) -> None:
        call = self._calls.pop(call_id, None)
        if call is not None:
            self._slots.give_back()
            if call.task is not None:
                trio.lowlevel.reschedule(call.task, outcome.Value(reply))

    # --- calls --------------------------------------------------------------------------------------------------------

    async def serve(
        self, method: str, payload: object, form: Form, scope: trio.CancelScope, around: Around | None = None
    ) -> Ran:
        """One call, as LocalInstance promises. Raises FrameTooLarge, TypeError, ValueError for what cannot be sent."""
        if self._refusal:
            return NotStarted(self._refusal)
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

    async def serve_stream(
        self,
        method: str,
        payload: object,
        form: Form,
        scope: trio.CancelScope,
        sink: ServedSink,
        inputs: Mapping[str, InputStream],
    ) -> Failed:
        """Only instances inside the node's own process serve streams: says so to the caller."""
        place = self._birth.place
        return Failed(
            kind="NotInContract",
            message=f'{place.slice}.{method} is a stream, which needs an instance with host="in-process"',
            slice=place.slice,
            method=method,
            instance=place.instance,
            node=place.node,
        )

    async def _called_inside(self, around: Around, method: str, payload: object, form: Form) -> Ran:
        spec = self._birth.contract.methods.get(method)
        sent = False

        async def run() -> Ran:
            nonlocal sent
            sent = True
            return await self._called(method, payload, form)

        try:
            misfit = None if spec is None else refused_arguments(spec, payload, form)
            return await around(spec, run) if misfit is None else misfit
        finally:
            if not sent:
                self._slots.give_back()

    async def _called(self, method: str, payload: object, form: Form) -> Ran:
        running = RUNNING.get()
        deadline = trio.current_effective_deadline()
        left_s = deadline - trio.current_time()
        kept_s = reserve_s(left_s)
        give_up_at = deadline - kept_s
        self._last_id += 1
        request = CallRequest(
            self._last_id,
            self.name,
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
        call_id, link = request.call_id, self._link
        assert link is not None, "calls come after the start"

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
            return NotStarted(FULL, self._slots.limit)
        call = self._calls[call_id] = _Call(trio.lowlevel.current_task())
        reply: Outcome = await trio.lowlevel.wait_task_rescheduled(abort)
        return reply
