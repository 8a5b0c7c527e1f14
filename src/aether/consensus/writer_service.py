"""The task that makes writes durable: everything that queued while one group commit ran shares the next.

Knows: the storage and the Work seam, the queue of writes, how long to wait for space.
Never: what a write means, who waits for it.
Holds: one group commit at a time, in order; after the first failure nothing is written any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NoReturn

import trio

from aether.consensus.bell_service import Bell
from aether.consensus.values import HardState, PreparingStorage, StorageWrite
from aether.consensus.write_queue import WriteQueue
from aether.errors import StorageFailed, StorageFull
from aether.model.ids import NodeId
from aether.work import Work

_log = logging.getLogger("aether.consensus")
FULL_RETRY_S: Final = 1.0


class DiskWriter:
    """`put` is for the task whose turn it is; `attend` is called whenever there is news for it.

    failure  of the store, for ever; the service ends with it
    """

    def __init__(self, node: NodeId, storage: PreparingStorage, work: Work, attend: Callable[[], None]) -> None:
        self.failure: StorageFailed | None = None
        self._node = node
        self._storage = storage
        self._work = work
        self._attend = attend
        self._queue = WriteQueue(HardState())
        self._writes = Bell()
        self._preparations = Bell()

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

    def put(self, write: StorageWrite) -> None:
        """Have it written. Never waits."""
        if self._queue.put(write):
            self._writes.ring()

    def is_stalled(self, now_s: float, limit_s: float) -> bool:
        """Whether the disk is full, or has been busy with one batch for longer than `limit_s`."""
        return self._queue.is_stalled(now_s, limit_s)

    async def run(self) -> NoReturn:
        """Write and preallocate until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._prepare)
            await self._write()

    async def _write(self) -> NoReturn:
        while True:
            while not self._queue.has_work:
                await self._writes.wait()
            batch = self._queue.take(trio.current_time())
            try:
                await self._work.run(self._storage.write, batch)
            except StorageFull as error:
                await self._wait_for_space(error, batch)
                continue
            except StorageFailed as error:
                await self.fail(error)
            self._queue.done(batch)
            self._attend()
            if self._storage.wants_preparation:
                self._preparations.ring()

    async def _wait_for_space(self, error: StorageFull, batch: list[StorageWrite]) -> None:
        if not self._queue.full:
            _log.warning("%s writes nothing: %s", self._node, error)
        self._queue.put_back(batch)
        self._attend()
        await trio.sleep(FULL_RETRY_S)

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
