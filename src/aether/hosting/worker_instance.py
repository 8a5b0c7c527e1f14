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

import trio

from aether.errors import BadInput
from aether.hosting.given import encode_given
from aether.hosting.hosts import Birth, Living
from aether.hosting.instance import NOT_READY, STOPPED
from aether.hosting.worker_calls import DIED, WorkerCalls
from aether.hosting.worker_errors import WorkerDied, WorkerFailed
from aether.hosting.worker_link import Link, Mail
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
from aether.hosting.worker_streams import STREAM_CLASSES, NodeStreams, Send
from aether.invocation.local import Around, Ran
from aether.invocation.messages import CallReply
from aether.invocation.reply import (
    DRAINING,
    Form,
    NotStarted,
)
from aether.invocation.streaming import InputStream, ServedSink
from aether.model.limits import WORKER_EXIT_S, WORKER_HALT_S, WORKER_MEMORY_LOOK_S
from aether.slice_api.program import Program

_log = logging.getLogger("aether.hosting")

DATA_SHARE: Final = 2  # of memory_mb that a worker may reserve for writing before malloc fails in it
DATA_EXTRA_BYTES: Final = 512 * 2**20  # stacks of threads, reserved and hardly used
_MIB: Final = 2**20
_SETTLES_S: Final = 1.0  # between the end of a process and that of its socket, whichever is seen first

MakeOutward = Callable[[Birth, Mail], Outward]
MakeStreams = Callable[[Birth, Send], NodeStreams]


class WorkerInstance(Living):
    """Implements Living. `live` is its life; everything else is called from other tasks of the loop."""

    def __init__(self, birth: Birth, program: Program, make_outward: MakeOutward, make_streams: MakeStreams) -> None:
        self._birth = birth
        self._program = program
        self._outward = make_outward(birth, self)
        self._calls = WorkerCalls(birth, self._linked, NOT_READY)
        self._streams = make_streams(birth, self.send)
        self._stopping = False
        self._streaming = 0
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
        """Calls and streams that are in the worker now."""
        return len(self._calls) + self._streaming

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return self._calls.waiting

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
        self._calls.refuse(DRAINING)
        self._stopping = True
        self.post(Stop(at_once=False))

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        await self._begun.wait()
        if self._over.is_set():
            return
        if not self._stopping:
            self._calls.admit()
        task_status.started()
        await self._over.wait()

    async def _plumb(self, scope: trio.CancelScope, process: WorkerProcess, link: Link) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.write)
                nursery.start_soon(self._watch_memory, process)
                await nursery.start(self._outward.run)
                await nursery.start(self._streams.run)
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
        with trio.move_on_after(_SETTLES_S) as patience:  # whoever closes its end is about to be gone
            await process.wait()
        if patience.cancelled_caught:
            self._kill(process, "closed its connection with the node, and stayed")
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
        process.reap()
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
        self._calls.refuse(STOPPED if self._stopping else DIED)
        self._calls.lost(0 if self._process is None else self._process.mark.number, DIED)
        self._streams.lost()

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
            CallReply: self._calls.replied,
            **dict.fromkeys(STREAM_CLASSES, self._streams.deliver),
            CallOut: self._outward.call,
            MapAccess: self._outward.access,
            Withdraw: self._outward.withdraw,
            Log: lambda m, request_id: told(m, request_id, process.pid),
        }

    def send(self, message: object, request_id: str = "") -> bool:
        """As Mail, to the worker; False while there is none."""
        return self._link is not None and self._link.send(message, request_id)

    def post(self, message: object, request_id: str = "") -> None:
        """As Mail, to the worker."""
        if self._link is not None:
            self._link.post(message, request_id)

    def _linked(self) -> Link:
        assert self._link is not None, "calls come after the start"
        return self._link

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

    # --- calls --------------------------------------------------------------------------------------------------------

    async def serve(
        self, method: str, payload: object, form: Form, scope: trio.CancelScope, around: Around | None = None
    ) -> Ran:
        """One call, as LocalInstance promises. Raises FrameTooLarge, TypeError, ValueError for what cannot be sent."""
        return await self._calls.serve(method, payload, form, scope, around)

    async def serve_stream(
        self,
        method: str,
        payload: object,
        form: Form,
        scope: trio.CancelScope,
        sink: ServedSink,
        inputs: Mapping[str, InputStream],
    ) -> Ran:
        """One stream, or one call that takes some, as LocalInstance promises."""
        if self._calls.refusal:
            return NotStarted(self._calls.refusal)
        self._streaming += 1
        try:
            with scope:
                return await self._streams.serve(method, payload, form, sink, inputs)
        finally:
            self._streaming -= 1
        return None
