"""How many calls of one instance run, and how many wait for a slot.

Knows: counts; a waiting task is parked by trio's lowest means, and an uncontended slot costs two additions.
Never: what a call does, deadlines (they cancel the waiting task).
Holds: running <= concurrency; waiting <= queue; the oldest waiting call gets the next slot.
"""

from __future__ import annotations

from collections import deque
from typing import cast

import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from aether.invocation.reply import FULL


class Slots:
    """The slots of one instance."""

    def __init__(self, concurrency: int, queue: int) -> None:
        self._concurrency = concurrency
        self._queue = queue
        self._waiting: deque[Task] = deque()
        self.running: int = 0

    @property
    def limit(self) -> int:
        """Calls that may run and wait together."""
        return self._concurrency + self._queue

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def try_take(self) -> bool:
        """Take a slot if one is free."""
        if self.running < self._concurrency:
            self.running += 1
            return True
        return False

    async def take(self) -> str:
        """Wait for a slot: "" once taken, else why not. Cancellation leaves the queue."""
        if self.try_take():
            return ""
        if len(self._waiting) >= self._queue:
            return FULL
        task = trio.lowlevel.current_task()

        def abort(_: RaiseCancelT) -> Abort:
            self._waiting.remove(task)
            return Abort.SUCCEEDED

        self._waiting.append(task)
        return cast("str", await trio.lowlevel.wait_task_rescheduled(abort))

    def give_back(self) -> None:
        """A call ended: its slot goes to the oldest waiting one."""
        if self._waiting:
            trio.lowlevel.reschedule(self._waiting.popleft(), outcome.Value(""))
        else:
            self.running -= 1

    def refuse_waiting(self, reason: str) -> None:
        """Send every waiting call away."""
        while self._waiting:
            trio.lowlevel.reschedule(self._waiting.popleft(), outcome.Value(reason))
