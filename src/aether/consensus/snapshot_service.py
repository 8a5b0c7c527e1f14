"""The service's three errands with snapshots: taking, sending and installing, each a task beside the loop.

Knows: the storage and the state machine; which snapshot is being taken, read for whom, or restored.
Never: the core but in the loop's own turn (`take`, `carry_out`); when a snapshot is due (plan), who needs one (core).
Holds: of a snapshot a few pieces are in memory, never the whole; nothing here keeps the loop longer than a piece takes;
       a snapshot that travels is held fast until nobody needs it; one state at a time is saved.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from threading import Event
from typing import Final, NamedTuple, NoReturn

import trio

from aether.consensus.bell_service import Bell
from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.entry import Entry
from aether.consensus.messages import Message
from aether.consensus.snapshot_plan import SnapshotPlan
from aether.consensus.values import (
    ChunkOrder,
    LogStorage,
    Ready,
    SnapshotMeta,
    SnapshotReader,
    StateMachine,
    StoredSnapshot,
)
from aether.errors import StorageFailed, StorageFull
from aether.model import limits
from aether.model.ids import LogIndex, NodeId
from aether.work import Work

_log = logging.getLogger("aether.consensus")
_ORDERS_MAX: Final = 1_024  # chunks that wait to be read; more are lost, and ordered again
_RESTS: Final = 3
"""Saving a piece and resting so many times as long takes a quarter of a processor, on all nodes at once."""
_REST_S_MAX: Final = 0.005


class _Frozen(NamedTuple):
    """A state that is not saved yet.

    after  the write that must be durable before it; keep_from  the first entry to keep behind it
    """

    meta: SnapshotMeta
    pieces: Iterator[bytes]
    after: int
    keep_from: LogIndex


class SnapshotDesk:
    """`tasks` are to be run; `applied`, `take` and `carry_out` are called by the task that owns the core.

    wake  has that task take a turn; failed  ends the service with a failure of the store
    """

    def __init__(
        self,
        config: RaftConfig,
        storage: LogStorage,
        machine: StateMachine,
        send: Callable[[NodeId, Message], bool],
        work: Work,
        plan: SnapshotPlan,
        wake: Callable[[], None],
        failed: Callable[[StorageFailed], Awaitable[NoReturn]],
    ) -> None:
        self._config = config
        self._storage = storage
        self._machine = machine
        self._send = send
        self._work = work
        self._plan = plan
        self._wake = wake
        self._failed = failed
        self._complaints: set[str] = set()  # each is logged once

        self._frozen: _Frozen | None = None
        self._durable = 0
        self._saved: StoredSnapshot | None = None
        self._save_bell = Bell()
        self._hurry = Event()

        self._orders: deque[ChunkOrder] = deque()
        self._readers: dict[StoredSnapshot, SnapshotReader] = {}
        self._travelling: frozenset[StoredSnapshot] = frozenset()
        self._gone: list[StoredSnapshot] = []
        self._send_bell = Bell()

        self._received: StoredSnapshot | None = None
        self._restored: StoredSnapshot | None = None
        self._restore_bell = Bell()

    @property
    def tasks(self) -> Sequence[Callable[[], Awaitable[NoReturn]]]:
        """They run until they are cancelled."""
        return (self._save_frozen, self._send_ordered, self._restore_received)

    # --- a turn of the loop -------------------------------------------------------------------------------------------

    def take(self, core: RaftCore, durable: int, last_put: int) -> None:
        """Tell the core what was done. durable  writes that are acknowledged; last_put  the newest one."""
        self._durable = durable
        if self._frozen is not None and durable >= self._frozen.after:
            self._save_bell.ring()
        if self._saved is not None:
            core.compacted(self._saved)
            self._saved = None
            self.freeze_if_due(core, last_put)  # the trigger that came while that one was being saved
        for snapshot in self._gone:
            core.snapshot_gone(snapshot)
        self._gone.clear()
        if self._restored is not None:
            core.restored(self._restored)
            self._restored = None
        if self._readers:
            self._travelling = core.snapshots_travelling
            if not self._travelling >= self._readers.keys():
                self._send_bell.ring()  # one of them needs to be held no longer

    def carry_out(self, ready: Ready, *, muted: bool) -> None:
        """Have read and sent, or restored, what the core wants. muted  nobody may hear this node now."""
        if ready.chunks and not muted:
            self._orders.extend(ready.chunks[: _ORDERS_MAX - len(self._orders)])
            self._travelling |= {order.snapshot for order in ready.chunks}
            self._send_bell.ring()
        if ready.restore is not None:
            self._received = ready.restore
            self._restore_bell.ring()

    def applied(self, core: RaftCore, entries: Sequence[Entry], last_put: int) -> None:
        """The state machine has applied `entries`, which were in writes up to `last_put`."""
        self._plan.applied(entries)
        self.freeze_if_due(core, last_put)

    def freeze_if_due(self, core: RaftCore, last_put: int) -> None:
        """The state now, to be saved once the writes until now are durable. One at a time."""
        if self._frozen is not None or core.is_restoring or not self._plan.is_due():
            return
        meta = core.snapshot_meta()
        if not meta.configuration.voters:
            return  # a newcomer has not come to the entry that adds it: a start from here would know nobody
        self._frozen = _Frozen(meta, self._machine.freeze(), last_put, core.keep_from(meta.index))
        self._plan.begun()

    def hurry(self) -> None:
        """The node stops, and waits for what is being saved."""
        self._hurry.set()

    # --- taking -------------------------------------------------------------------------------------------------------

    async def _save_frozen(self) -> NoReturn:
        while True:
            await self._save_bell.wait()
            if self._frozen is not None and self._durable >= self._frozen.after:
                await self._save(self._frozen)
                self._frozen = None
                self._wake()

    async def _save(self, frozen: _Frozen) -> None:
        """Beside the loop, piece by piece: a state of 50 MB takes a second and a half, most of it rest."""
        saved: StoredSnapshot | None = None
        pieces = self._unhurried(frozen.pieces)
        try:
            saved = await self._work.run(self._storage.save_snapshot, frozen.meta, pieces, frozen.keep_from)
        except StorageFull as error:
            _log.warning("%s skips the snapshot at %d: %s", self._config.node, frozen.meta.index, error)
            return
        except StorageFailed as error:
            await self._failed(error)
        if saved is None:
            return  # a newer one was received meanwhile
        self._saved = saved
        self._plan.weighed(saved)
        if saved.total_bytes > self._config.snapshot_bytes_max:
            problem = "has a state that no follower takes, so one that lags will not catch up; delete rows or maps"
            self.complain_of_size(problem, saved.total_bytes)

    def _unhurried(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """In the thread that saves them: it shares the interpreter with the loop, and all nodes save at one index."""
        began_s = time.perf_counter()
        for piece in pieces:
            yield piece
            self._hurry.wait(min(_REST_S_MAX, _RESTS * (time.perf_counter() - began_s)))
            began_s = time.perf_counter()

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _send_ordered(self) -> NoReturn:
        try:
            while True:
                await self._send_bell.wait()
                while self._orders:
                    await self._send_batch(self._next_batch())
                for snapshot in self._readers.keys() - self._travelling:
                    await self._work.run(self._readers.pop(snapshot).close)
        finally:
            for reader in self._readers.values():
                reader.close()

    def _next_batch(self) -> list[ChunkOrder]:
        """Orders that follow each other in one snapshot: one visit to the disk."""
        batch = [self._orders.popleft()]
        while self._orders and len(batch) < self._config.snapshot_window:
            if self._orders[0].snapshot != batch[0].snapshot:
                break
            batch.append(self._orders.popleft())
        return batch

    async def _send_batch(self, batch: list[ChunkOrder]) -> None:
        snapshot = batch[0].snapshot
        chunks: list[bytes] = []
        try:
            reader = self._readers.get(snapshot) or await self._work.run(self._storage.open_snapshot, snapshot)
            if reader is None:
                self._gone.append(snapshot)
                self._wake()
                return
            self._readers[snapshot] = reader
            chunks = await self._work.run(_read, reader, batch)
        except StorageFailed as error:
            await self._failed(error)
        for order, chunk in zip(batch, chunks, strict=True):
            self._send(order.to, order.fill(chunk))

    # --- installing ---------------------------------------------------------------------------------------------------

    async def _restore_received(self) -> NoReturn:
        while True:
            await self._restore_bell.wait()
            if self._received is not None:
                received, self._received = self._received, None
                try:
                    await self.restore(received)
                except StorageFailed as error:
                    await self._failed(error)
                self._restored = received
                self._wake()

    async def restore(self, snapshot: StoredSnapshot) -> None:
        """Give the state machine what storage holds, piece by piece. Raises StorageFailed, BadInput (unreadable)."""
        reader = await self._work.run(self._storage.open_snapshot, snapshot)
        if reader is None:
            raise StorageFailed(f"snapshot {snapshot.meta.index}", "it is gone, and nothing has replaced it")
        try:
            restoration = self._machine.restoration(snapshot.meta.index)
            for offset in range(0, snapshot.total_bytes, limits.SNAPSHOT_READ_BYTES):
                length = min(limits.SNAPSHOT_READ_BYTES, snapshot.total_bytes - offset)
                block = await self._work.run(reader.read, offset, length)
                for at in range(0, length, limits.SNAPSHOT_PIECE_BYTES):
                    restoration.feed(block[at : at + limits.SNAPSHOT_PIECE_BYTES])
                    await trio.lowlevel.checkpoint()
            restoration.finish()
        finally:
            reader.close()
        self._plan.restored(snapshot)

    # --- other --------------------------------------------------------------------------------------------------------

    def complain_of_size(self, problem: str, size: int) -> None:
        """Log, once, that a snapshot exceeds what a follower takes."""
        if problem in self._complaints:
            return
        self._complaints.add(problem)
        limit = self._config.snapshot_bytes_max
        _log.error("%s %s: it has %d bytes, the limit is %d", self._config.node, problem, size, limit)


def _read(reader: SnapshotReader, batch: Sequence[ChunkOrder]) -> list[bytes]:
    """In a thread: what `batch` wants."""
    return [reader.read(order.offset, order.length) for order in batch]
