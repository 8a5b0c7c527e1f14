"""Failpoints around what consensus drives and what nodes say: storage as a whole, the state machine, each message.

Knows: which call stands at which place of `aether.failpoints.PLACES`.
Never: what happens there. Production nodes are assembled without these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from aether.consensus.entry import Entry
from aether.consensus.values import (
    Persisted,
    PreparingStorage,
    Restoration,
    SnapshotMeta,
    SnapshotReader,
    StateMachine,
    StorageWrite,
    StoredSnapshot,
)
from aether.failpoints import Reach, nothing
from aether.model.ids import LogIndex, NodeId

Send: TypeAlias = Callable[[NodeId, object], bool]


class PlacedStorage:
    """A PreparingStorage with places before and after each duty."""

    def __init__(self, storage: PreparingStorage, reach: Reach) -> None:
        self._storage = storage
        self._reach = reach

    def load(self) -> Persisted:
        self._reach("storage.before_load")
        persisted = self._storage.load()
        self._reach("storage.after_load")
        return persisted

    def write(self, writes: Sequence[StorageWrite]) -> None:
        self._reach("storage.before_write")
        self._storage.write(writes)
        self._reach("storage.after_write")

    def save_snapshot(self, meta: SnapshotMeta, pieces: Iterable[bytes], keep_from: LogIndex) -> StoredSnapshot | None:
        self._reach("storage.before_save")
        saved = self._storage.save_snapshot(meta, self._counted(pieces), keep_from)
        self._reach("storage.after_save")
        return saved

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._reach("storage.piece_saved")
            yield piece

    def open_snapshot(self, snapshot: StoredSnapshot) -> SnapshotReader | None:
        self._reach("storage.before_open_snapshot")
        return self._storage.open_snapshot(snapshot)

    @property
    def wants_preparation(self) -> bool:
        return self._storage.wants_preparation

    def prepare(self) -> None:
        self._reach("storage.before_prepare")
        self._storage.prepare()
        self._reach("storage.after_prepare")

    def close(self) -> None:
        self._storage.close()


class PlacedMachine:
    """A StateMachine with places before and after each duty."""

    def __init__(self, machine: StateMachine, reach: Reach) -> None:
        self._machine = machine
        self._reach = reach

    def apply(self, entries: Sequence[Entry]) -> None:
        self._reach("machine.before_apply")
        self._machine.apply(entries)
        self._reach("machine.after_apply")

    def freeze(self) -> Iterator[bytes]:
        self._reach("machine.before_freeze")
        return self._machine.freeze()

    def restoration(self, index: LogIndex) -> Restoration:
        self._reach("machine.before_restoration")
        return _PlacedRestoration(self._machine.restoration(index), self._reach)


class _PlacedRestoration:
    def __init__(self, restoration: Restoration, reach: Reach) -> None:
        self._restoration = restoration
        self._reach = reach

    def feed(self, piece: bytes) -> None:
        self._reach("machine.before_feed")
        self._restoration.feed(piece)

    def finish(self) -> None:
        self._reach("machine.before_finish")
        self._restoration.finish()
        self._reach("machine.after_finish")


def placed(
    storage: PreparingStorage, machine: StateMachine, send: Send, reach: Reach
) -> tuple[PreparingStorage, StateMachine, Send]:
    """The three with places around them; as they are when nothing is armed."""
    if reach is nothing:
        return storage, machine, send
    return PlacedStorage(storage, reach), PlacedMachine(machine, reach), placed_send(send, reach)


def placed_send(send: Send, reach: Reach) -> Send:
    """`send` with a place before each kind of message."""

    def reached(to: NodeId, message: object) -> bool:
        reach(f"send.{type(message).__name__}")
        return send(to, message)

    return reached
