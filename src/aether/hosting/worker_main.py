"""The worker process: one instance, its loop, and the way back to its node.

Knows: what to do with each message of the node; how to end.
Never: a listener, a store, other instances; standard input and output belong to user code.
Holds: it ends when its node ends, whatever user code does: by the kernel on Linux, by the end of the socket pair
       elsewhere.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import random
import signal
import socket
import sys
from typing import Any, Final

import trio

from aether.errors import BadInput
from aether.hosting.failures import Place, refused_arguments, trimmed
from aether.hosting.given import constructed, decode_given
from aether.hosting.instance import RunningInstance
from aether.hosting.worker_caller import NodeCaller, NodeMap, Questions
from aether.hosting.worker_link import Link
from aether.hosting.worker_log import ToNode
from aether.hosting.worker_mark import Mark
from aether.hosting.worker_messages import (
    PROTOCOL,
    Answer,
    Begin,
    Begun,
    Check,
    Describe,
    Described,
    Ended,
    Hello,
    Stop,
)
from aether.hosting.worker_program import load_program
from aether.hosting.worker_streams import OTHER_SIDE, STREAM_CLASSES, Sides
from aether.invocation.local import LocalInstance
from aether.invocation.messages import CallCancel, CallReply, CallRequest
from aether.invocation.reply import Abandoned, Done, Form
from aether.invocation.serving_service import CallServer, time_left_s
from aether.invocation.tracer import Tracer
from aether.model.ids import InstanceId, NodeId
from aether.model.limits import BLOCKING_THREADS_MAX, CALLS_IN_FLIGHT_MAX
from aether.slice_api.contract import Contract
from aether.slice_api.faults import leaving, text_of
from aether.work import ThreadWork

TEXT_CHARS_MAX: Final = 16 * 1024
_PR_SET_PDEATHSIG: Final = 1


class Worker:
    """Everything in this process. `run` ends with the instance, or with the node."""

    def __init__(self, end: socket.socket, mark: Mark) -> None:
        self._mark = mark
        self._link = Link(end, self._handlers(), self._accept_arrived)
        self._questions = Questions(lambda: self._link)
        self._arrived: dict[int, tuple[CallRequest, str]] = {}
        self._server: CallServer | None = None
        self._sides: Sides | None = None
        self._instance: InstanceId | None = None
        self._running: RunningInstance | None = None
        self._contract: Contract | None = None
        self._life = trio.CancelScope()
        self._stopping = False
        self._calls: trio.Nursery | None = None
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Until the instance has ended and its last word is sent."""
        logging.getLogger().handlers[:] = [ToNode(self._link, trio.lowlevel.current_trio_token())]
        async with trio.open_nursery() as self._nursery, trio.open_nursery() as self._calls:
            self._nursery.start_soon(self._link.write)
            self._nursery.start_soon(self._read)
            self._link.post(Hello(PROTOCOL, os.getpid()))
            await trio.sleep_forever()

    def find(self, instance: InstanceId) -> LocalInstance | None:
        """As LocalHost: the one that lives here."""
        return self._running if instance == self._instance else None

    async def _read(self) -> None:
        await self._link.read()
        os._exit(0)  # nobody is there to hear of anything that happens from now on

    def _handlers(self) -> dict[type, Any]:
        return {
            Begin: self._begin,
            Describe: self._describe,
            CallRequest: self._requested,
            CallCancel: self._cancelled,
            Check: self._check,
            Stop: self._stop,
            Answer: self._answered,
            **dict.fromkeys(STREAM_CLASSES, self._streamed),
        }

    def _streamed(self, m: object, request_id: str) -> None:
        if self._sides is None:
            raise BadInput("streams come after the beginning")
        self._sides.deliver(m, request_id)

    def _answered(self, m: Answer, _: str) -> None:
        self._questions.answered(m)

    def _send(self, _: NodeId, message: object, request_id: str) -> bool:
        return self._link.send(message, request_id)

    # --- life ---------------------------------------------------------------------------------------------------------

    def _begin(self, m: Begin, _: str) -> None:
        if self._instance is not None or self._nursery is None:
            raise BadInput("a worker begins once")
        self._instance = InstanceId(m.instance)
        tracer = Tracer(m.node, random.SystemRandom(), time_left_s)
        self._server = CallServer(NodeId(m.node), self._send, self, CALLS_IN_FLIGHT_MAX, tracer)
        self._nursery.start_soon(self._server.bound_cleanup)
        self._sides = Sides(NodeId(m.node), self._link.send, self, tracer)
        self._sides.begin(self._nursery)
        self._nursery.start_soon(self._live, m)

    def _describe(self, m: Describe, _: str) -> None:
        if self._nursery is None:
            raise BadInput("a worker runs before it is asked")
        self._nursery.start_soon(self._tell, m)

    async def _tell(self, m: Describe) -> None:
        from aether.hosting.worker_describer import described  # what an instance never needs

        bound_memory(m.data_bytes_max)
        logging.getLogger().setLevel(m.log_level)
        self._link.post(Described(described(m.slices)))
        await self._link.flushed()
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()

    async def _live(self, m: Begin) -> None:
        word = Ended("", "", "")
        try:
            with self._life:
                await self._lived(m)
        except Exception as error:  # noqa: BLE001 - user code; every error is told to the node
            word = last_word(error)
        except BaseExceptionGroup as group:
            _, rest = group.split(trio.Cancelled)
            word = word if rest is None else last_word(rest)
        self._link.post(word)
        await self._link.flushed()
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()

    async def _lived(self, m: Begin) -> None:
        bound_memory(m.data_bytes_max)
        logging.getLogger().setLevel(m.log_level)
        contract = self._contract = load_program(m.module, m.qualname, m.file, m.artifact)
        assert self._sides is not None
        caller = NodeCaller(self._questions, self._sides)
        arguments = constructed(contract, decode_given(m.fields), caller, lambda name: NodeMap(self._questions, name))
        place = Place(slice=contract.name, instance=m.instance, node=m.node)
        work = ThreadWork(min(BLOCKING_THREADS_MAX, contract.options.concurrency))
        running = self._running = RunningInstance(contract.cls(**arguments), contract, place, work, m.drain_s)
        if self._stopping:
            running.stop()
        async with trio.open_nursery() as nursery:
            await nursery.start(running.live)
            self._link.post(Begun(contract.name))

    def _stop(self, m: Stop, _: str) -> None:
        self._stopping = True
        if m.at_once:
            self._life.cancel()
        elif self._running is not None:
            self._running.stop()

    # --- calls --------------------------------------------------------------------------------------------------------

    def _requested(self, m: CallRequest, request_id: str) -> None:
        self._arrived[m.call_id] = (m, request_id)

    def _cancelled(self, m: CallCancel, _: str) -> None:
        """Its slot at the node is free from now on; what runs of it here keeps its own."""
        if self._arrived.pop(m.call_id, None) is None and self._server is not None:
            self._server.cancel(OTHER_SIDE, m.call_id, m.reason)
        self._link.post(CallReply(m.call_id, Abandoned(m.reason)))

    def _check(self, m: Check, request_id: str) -> None:
        """Nobody will hear of a one-way call that does not fit, so it is told before."""
        spec = None if self._contract is None else self._contract.methods.get(m.method)
        misfit = None if spec is None else refused_arguments(spec, m.payload, Form(m.form))
        self._link.send(CallReply(m.call_id, misfit or Done(None)), request_id)

    def _accept_arrived(self) -> None:
        """Begin the calls of one read that were not cancelled in the same one: a busy loop runs nothing in vain."""
        if not self._arrived:
            return
        if self._calls is None or self._server is None:
            raise BadInput("calls come after the beginning")
        arrived, self._arrived = self._arrived, {}
        self._mark.number = max(arrived)
        for request, request_id in arrived.values():
            self._server.accept(self._calls, OTHER_SIDE, request, request_id)


def last_word(error: BaseException) -> Ended:
    """What ended the instance."""
    cause = leaving(error)
    return Ended(type(cause).__name__, text_of(cause)[:TEXT_CHARS_MAX], trimmed(cause)[-TEXT_CHARS_MAX:])


def bound_memory(data_bytes_max: int) -> None:
    """Let one allocation that is far beyond the limit fail here, before the machine feels it. 0 = no bound."""
    if data_bytes_max:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes_max, data_bytes_max))


def die_with(parent: int) -> None:
    """On Linux, SIGKILL when the thread that started this process has ended; at once when it has already."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _ignore(_number: int, _frame: object) -> None:
    """Not SIG_IGN, which programs that user code starts would inherit."""


def main(end: int, page: int, parent: int) -> None:
    """Be a worker of process `parent`, over the socket `end`, with the shared page `page`: inherited descriptors."""
    die_with(parent)
    faulthandler.enable()
    printed: Any = sys.stdout
    if printed is not None:
        printed.reconfigure(line_buffering=True)  # what user code prints is seen when it is printed
    for ending in (signal.SIGINT, signal.SIGTERM):  # of a terminal or a service manager, to the group: the node decides
        signal.signal(ending, _ignore)
    mark = Mark(page)
    os.close(page)
    link = socket.socket(fileno=end)
    link.set_inheritable(False)  # a program that user code starts must not hold the node's end open
    trio.run(Worker(link, mark).run)
