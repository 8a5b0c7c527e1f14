"""Waking one task from many places.

Knows: that something happened.
Never: what, how often.
"""

from __future__ import annotations

import trio


class Bell:
    """Wakes one waiting task. Ringing twice before it wakes is ringing once. A ring makes nothing: it is frequent."""

    def __init__(self) -> None:
        self._rung = False
        self._waiting: trio.lowlevel.Task | None = None

    def ring(self) -> None:
        self._rung = True
        if self._waiting is not None:
            task, self._waiting = self._waiting, None
            trio.lowlevel.reschedule(task)

    async def wait(self) -> None:
        """Until rung; always lets other tasks run."""
        if self._rung:
            await trio.lowlevel.checkpoint()
        else:
            assert self._waiting is None, "a bell wakes one task, and one waits already"
            self._waiting = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._give_up)
        self._rung = False

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        self._waiting = None
        return trio.lowlevel.Abort.SUCCEEDED
