"""Time that passes for many connections, and tasks that start beside them.

Knows: the clock, one task that sleeps until the first deadline of all.
Never: what a deadline means.
Holds: a deadline costs no cancel scope; whoever opens a Clock owns all tasks in it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from aether.web.deadlines import Deadlines, Timer


class Clock:
    """Deadlines of connections. Made by `open_clock`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._deadlines = Deadlines()
        self._nap = trio.CancelScope()

    def set(self, timer: Timer, deadline_s: float) -> None:
        """Move the deadline of `timer`, in trio's time."""
        if self._deadlines.set(timer, deadline_s):
            self._nap.deadline = deadline_s

    def start(self, task: Callable[[], Awaitable[object]]) -> None:
        """Run `task` beside the connections, until the clock is closed."""
        self._nursery.start_soon(task)

    async def run(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._deadlines.next_s()) as self._nap:
                await trio.sleep_forever()
            now_s = trio.current_time()
            for timer in self._deadlines.due(now_s):
                if timer.passed is not None:
                    timer.passed(now_s)


@asynccontextmanager
async def open_clock() -> AsyncGenerator[Clock]:
    """A clock that runs until the block ends."""
    async with trio.open_nursery() as nursery:
        clock = Clock(nursery)
        nursery.start_soon(clock.run)
        try:
            yield clock
        finally:
            nursery.cancel_scope.cancel()
