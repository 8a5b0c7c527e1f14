"""Answers in the place of a connection's worker, while that sleeps between two requests.

Knows: the parser, the handler, what watches descriptors.
Never: time limits, answers that have to be waited for.
Holds: a request that can be answered at once costs no task switch; all else wakes the worker, which finds what came and
       what has begun. It is woken once, by whoever comes first; then nothing is watched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context

import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from aether.web.checked_head import Refusal
from aether.web.connection import HttpConnection, Wait
from aether.web.line_service import Line
from aether.web.ready_service import Ready
from aether.web.receive_service import Receiver
from aether.web.request import Handler, Request, Response
from aether.web.serving import Server, spelt


class Attendant:
    """Of one connection.

    ready     what watches it; None = nothing does, and `is_possible` is False
    answered  called when an answer is out and the connection idle again
    step      what came while the worker slept; begun  the answer to that request, or what makes it; rest  what is left
              of an answer that the kernel did not take whole. Taken by the worker when it wakes
    """

    __slots__ = (
        "_answered", "_handler", "_http", "_input", "_line", "_ready", "_server", "_task", "begun", "rest", "step",
    )  # fmt: skip

    def __init__(
        self,
        http: HttpConnection,
        received: Receiver,
        line: Line,
        server: Server,
        handler: Handler,
        ready: Ready | None,
        answered: Callable[[], None],
    ) -> None:
        self._http = http
        self._input = received
        self._line = line
        self._server = server
        self._handler = handler
        self._ready = ready if line.file >= 0 else None
        self._answered = answered
        self._task: Task | None = None
        self.step: Request | Wait | Refusal | None = None
        self.begun: Response | Awaitable[Response] | None = None
        self.rest: bytes = b""

    @property
    def is_possible(self) -> bool:
        """Whether it can stand in now: somebody watches, and nobody else reads."""
        return self._ready is not None and self._input.at_rest

    async def stand_in(self) -> None:
        """Answer until the worker, whose task this is, has something to do, or `wake`. Cancellation ends it.

        Raises what the parser or the server raise by a mistake of theirs.
        """
        ready, line = self._ready, self._line
        assert ready is not None, "asked before: is_possible"
        file = line.file

        def abort(_: RaiseCancelT) -> Abort:
            self._task = None
            ready.forget(file)
            return Abort.SUCCEEDED

        ready.watch(file, self._look)
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake(self) -> bool:
        """Let the worker go on. Whether it slept."""
        return self._wake(outcome.Value(None))

    def _wake(self, result: outcome.Outcome[None]) -> bool:
        task, self._task = self._task, None
        if task is None or self._ready is None:
            return False
        self._ready.forget(self._line.file)
        trio.lowlevel.reschedule(task, result)
        return True

    def _look(self) -> None:
        try:
            if not self._attend():
                self.wake()
        except Exception as error:  # noqa: BLE001 - raised in the worker's task
            self._wake(outcome.Error(error))

    def _attend(self) -> bool:
        """Something came. Whether that is done with; else the worker has to wake up for it."""
        http, server = self._http, self._server
        if not self._input.take_now():
            return False
        step = self.step = http.next()
        if not isinstance(step, Request) or http.streaming or server.gate.closed:
            return False
        try:
            answer = copy_context().run(self._handler, step)  # what a method sets is not for the next request
        except Exception as error:  # noqa: BLE001 - logged; a handler's bug costs one answer
            answer = server.problem_for(error, step)
        if not isinstance(answer, Response) or not answer.is_plain or not http.keep_alive or server.leaves:
            self.begun = answer
            return False
        self.step = None
        raw = spelt(server, http, answer, step, keep_alive=True)
        try:
            self.rest = raw[self._line.send_now(raw) :]
        except OSError:
            self._input.left = True
        self._input.release()
        self._answered()
        return not (self._input.left or self.rest or http.buffered)
