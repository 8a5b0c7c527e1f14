"""A watch that a task can wait on.

Knows: parking one task until its watcher is marked.
Never: what changed: the woken task re-reads the store.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import trio

from aether.kv.watch import Watcher, WatcherSet


class Watch:
    """Level-triggered and coalesced: however many changes, `changed()` returns once, and never loses the last.

    Enter it first, then read the store, then loop: `await changed()`, read again. For one task at a time.
    """

    def __init__(self, watchers: WatcherSet, prefixes: tuple[str, ...]) -> None:
        self._watchers = watchers
        self._watcher = Watcher(prefixes, self._wake)
        self._parked: trio.lowlevel.Task | None = None

    async def __aenter__(self) -> Self:
        """Watch from now on. Raises Overloaded when too many watch. Does not wait."""
        self._watchers.add(self._watcher)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchers.remove(self._watcher)

    async def changed(self) -> None:
        """Return when a row under a prefix changed after the last return (at first: after entering).

        Always a checkpoint. Cancelled, it leaves the mark for the next call.
        """
        if self._parked is not None:
            raise trio.BusyResourceError("this watch is awaited by another task already; give each task its own")
        if self._watcher.marked:
            await trio.lowlevel.checkpoint()
        else:
            self._parked = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)
        self._watchers.clear(self._watcher)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        if self._parked is not None:
            task, self._parked = self._parked, None
            trio.lowlevel.reschedule(task)
