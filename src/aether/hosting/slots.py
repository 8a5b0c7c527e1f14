"""How many calls of one instance run, and how many wait for a slot.

Knows: tasks and the clock; `line` decides. A waiting task is parked by trio's lowest means, and an uncontended slot
       costs two additions and a look at the clock.
Never: what a call does.
Holds: running <= concurrency; waiting <= queue. Whoever is cancelled has left the queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from aether.hosting.line import LEVELS, Line, Refused
from aether.invocation.reply import NotStarted


class Slots:
    """The slots of one instance."""

    def __init__(self, concurrency: int, queue: int) -> None:
        self._line: Line[Task] = Line(concurrency, queue)
        self.try_take: Callable[[], bool] = self._line.try_run
        """Take a slot if one is free."""
        self.try_brief: Callable[[str, float], bool] = self._line.try_brief
        """The same for a method whose calls last so long at most, as a rule."""

    @property
    def limit(self) -> int:
        """Calls that may run and wait together."""
        return self._line.concurrency + self._line.queue

    @property
    def running(self) -> int:
        return self._line.running

    @property
    def waiting(self) -> int:
        return self._line.waiting

    async def take(self, priority: str = "normal", method: str = "") -> NotStarted | None:
        """Wait for a slot within the deadline in force: None once taken, else why not. Cancellation leaves the queue.

        method  calls of one method are taken to last about the same
        """
        if self._line.try_run():
            return None
        task = trio.lowlevel.current_task()
        must_end = trio.current_effective_deadline()
        waiting, sent = self._line.wait(
            task, trio.current_time(), must_end=must_end, level=LEVELS[priority], method=method
        )
        self._send_away(sent)
        if isinstance(waiting, Refused):
            return NotStarted(waiting.reason, self.limit, waiting.retry_after_s)

        def abort(_: RaiseCancelT) -> Abort:
            self._line.leave(waiting)
            return Abort.SUCCEEDED

        return cast("NotStarted | None", await trio.lowlevel.wait_task_rescheduled(abort))

    def give_back(self, method: str = "", held_s: float | None = None, now: float | None = None) -> None:
        """A call ended after `held_s`: its slot goes to the next. None: that says nothing of how long calls last."""
        line = self._line
        if now is None:
            now = trio.current_time()
        line.ended(method, held_s)
        if line.free(now):
            return
        call, sent = line.next(now)
        self._send_away(sent)
        if call is not None:
            trio.lowlevel.reschedule(call.who, outcome.Value(None))

    def refuse_waiting(self, reason: str) -> None:
        """Send every waiting call away."""
        for task in self._line.clear():
            trio.lowlevel.reschedule(task, outcome.Value(NotStarted(reason, self.limit)))

    def _send_away(self, sent: list[tuple[Task, Refused]]) -> None:
        for task, refused in sent:
            answer = NotStarted(refused.reason, self.limit, refused.retry_after_s)
            trio.lowlevel.reschedule(task, outcome.Value(answer))
