"""Makes writes durable: everything that queued while one group commit ran shares the next.

Knows: the storage and the Work seam, the queue of writes, how long to wait for space.
Never: what a write means, who waits for it.
Holds: one group commit at a time, in order; after the first failure nothing is written any more.

A group commit begins within the turn that asks for it, and its end is a turn as well, where the Work seam can do
that: between a turn and the disk there is no task to be woken, neither on the way there nor on the way back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn

import outcome
import trio

from aether.consensus.bell_service import Bell
from aether.consensus.durations import Durations
from aether.consensus.values import HardState, PreparingStorage, StorageWrite
from aether.consensus.write_queue import WriteQueue
from aether.errors import StorageFailed, StorageFull
from aether.model.ids import NodeId
from aether.work import StartingWork, Work

_log = logging.getLogger("aether.consensus")
FULL_RETRY_S: Final = 1.0


class DiskWriter:
    """`put` is for the task whose turn it is; `attend` is called whenever there is news for it.

    failure    of the store, for ever; the service ends with it
    durations  of group commits, their sync included
    """

    def __init__(self, node: NodeId, storage: PreparingStorage, work: Work, attend: Callable[[], None]) -> None:
        self.failure: StorageFailed | None = None
        self.durations: Durations = Durations()
        self._node = node
        self._storage = storage
        self._work = work
        self._attend = attend
        self._queue = WriteQueue(HardState())
        self._preparations = Bell()
        self._starting = work if isinstance(work, StartingWork) else None
        self._nursery: trio.Nursery | None = None  # while it runs
        self._is_writing = False
        self._ends = Bell()  # of writes that `run` has to know of
        self._defect: Exception | None = None

    def begin(self, durable: HardState) -> None:
        """The store is loaded, and held this."""
        self._queue = WriteQueue(durable)

    @property
    def acknowledged(self) -> int:
        """All writes up to this number are as good as durable."""
        return self._queue.acknowledged

    @property
    def last_put(self) -> int:
        """Number of the newest write."""
        return self._queue.last_put

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way to the disk, or waits to be."""
        return self._queue.is_busy

    @property
    def is_full(self) -> bool:
        """Whether the last write found no space."""
        return self._queue.full

    def put(self, write: StorageWrite) -> None:
        """Have it written. Never waits."""
        if self._queue.put(write):
            self._begin()

    def is_stalled(self, now_s: float, limit_s: float) -> bool:
        """Whether the disk is full, or has been busy with one batch for longer than `limit_s`."""
        return self._queue.is_stalled(now_s, limit_s)

    async def run(self) -> NoReturn:
        """Write and preallocate until cancelled; what is being written then is waited for."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                try:
                    nursery.start_soon(self._prepare)
                    self._begin()
                    await self._retry()
                    nursery.cancel_scope.cancel()
                finally:  # before it is closed to new tasks
                    self._nursery = None
        finally:
            with trio.CancelScope(shield=True):
                while self._is_writing and self._starting is not None:
                    await self._ends.wait()
            if self._defect is not None:  # perhaps of the last write, after the cancellation
                raise self._defect
        raise AssertionError("it tries again until it is cancelled")

    async def _retry(self) -> None:
        """After a write that found no space; until there is a defect."""
        while self._defect is None:
            await self._ends.wait()
            if self._queue.full:
                await trio.sleep(FULL_RETRY_S)
                self._write()

    def _begin(self) -> None:
        """Write what has queued, unless it waits for space."""
        if not self._queue.full:
            self._write()

    def _write(self) -> None:
        if self._nursery is None or not self._queue.has_work:
            return
        began_s = trio.current_time()
        batch = self._queue.take(began_s)
        self._is_writing = True
        if self._starting is not None:
            try:
                self._starting.run_then(partial(self._storage.write, batch), partial(self._ended, batch, began_s))
            except BaseException:  # no thread is to be had: nothing will end, and `run` must not wait for it
                self._is_writing = False
                raise
        else:
            self._nursery.start_soon(self._write_in_task, batch, began_s)

    async def _write_in_task(self, batch: list[StorageWrite], began_s: float) -> None:
        try:
            await self._work.run(self._storage.write, batch)
        except Exception as error:  # noqa: BLE001 - it takes the same way as that of a thread
            self._ended(batch, began_s, outcome.Error(error))
        else:
            self._ended(batch, began_s, outcome.Value(None))

    def _ended(self, batch: list[StorageWrite], began_s: float, result: outcome.Outcome[None]) -> None:
        """On the loop, perhaps outside any task, where nothing may be raised."""
        self._is_writing = False
        try:
            self._take(batch, began_s, result)
            self._begin()
        except Exception as error:  # noqa: BLE001 - the task raises it
            self._defect = error
        if self._defect is not None or self._queue.full or self._nursery is None:
            self._ends.ring()

    def _take(self, batch: list[StorageWrite], began_s: float, result: outcome.Outcome[None]) -> None:
        try:
            result.unwrap()
        except StorageFull as error:
            if not self._queue.full:
                _log.warning("%s writes nothing: %s", self._node, error)
            self._queue.put_back(batch)
        except StorageFailed as error:
            self.failure = error
        else:
            self.durations.note(trio.current_time() - began_s)
            self._queue.done(batch)
        self._attend()
        if self._storage.wants_preparation:
            self._preparations.ring()

    async def _prepare(self) -> NoReturn:
        """Preallocate log space beside the writes."""
        while True:
            await self._preparations.wait()
            try:
                await self._work.run(self._storage.prepare)
            except StorageFull as error:
                _log.warning("%s cannot prepare log space: %s", self._node, error)
                await trio.sleep(FULL_RETRY_S)
            except StorageFailed as error:
                await self.fail(error)

    async def fail(self, error: StorageFailed) -> NoReturn:
        """Make the service end with `error`, and wait to be cancelled by it."""
        self.failure = error
        self._attend()
        await trio.sleep_forever()
