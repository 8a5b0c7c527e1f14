"""Stores under test: the same contract on disk and in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from aether.consensus.entry import Entry, EntryKind, new_entry
from aether.consensus.quorum import Configuration
from aether.consensus.values import HardState, LogStorage, SnapshotMeta, SnapshotPart, StorageWrite, StoredSnapshot
from aether.model.ids import LogIndex, NodeId, Term
from aether.storage.disk import DiskStorage
from aether.storage.memory import MemoryStorage

A = NodeId("a")
SEGMENT_BYTES = 4096


def entry(index: int, term: int = 1, payload: bytes = b"x") -> Entry:
    return new_entry(LogIndex(index), Term(term), EntryKind.COMMAND, payload)


def entries(first: int, last: int, term: int = 1, payload: bytes = b"x") -> tuple[Entry, ...]:
    return tuple(entry(index, term, payload) for index in range(first, last + 1))


def hard(term: int, vote: str | None = None, commit: int = 0) -> HardState:
    return HardState(Term(term), NodeId(vote) if vote else None, LogIndex(commit))


def snapshot(index: int, term: int = 1, data: bytes = b"state") -> StoredSnapshot:
    """The name of a snapshot with the content `data`."""
    meta = SnapshotMeta(LogIndex(index), Term(term), Configuration((A, NodeId("b"))))
    return StoredSnapshot(meta, len(data), crc32(data))


def write(
    number: int = 1,
    *added: Entry,
    state: HardState | None = None,
    snap: StoredSnapshot | None = None,
    data: bytes = b"state",
) -> StorageWrite:
    """snap  received in this write, all of it at once, with the content `data`."""
    parts = () if snap is None else (SnapshotPart(snap, 0, data),)
    return StorageWrite(number, state, added, snap, parts)


def part(snap: StoredSnapshot, offset: int, chunk: bytes) -> SnapshotPart:
    return SnapshotPart(snap, offset, chunk)


def content(store: LogStorage, snap: StoredSnapshot | None) -> bytes:
    """What `store` holds of it, read in small pieces."""
    assert snap is not None
    reader = store.open_snapshot(snap)
    assert reader is not None
    total = snap.total_bytes
    found = b"".join(reader.read(at, min(3, total - at)) for at in range(0, total, 3))
    reader.close()
    return found


class Builders:
    """The functions above, for tests that cannot import this file."""

    entry = staticmethod(entry)
    entries = staticmethod(entries)
    hard = staticmethod(hard)
    snapshot = staticmethod(snapshot)
    write = staticmethod(write)
    part = staticmethod(part)
    content = staticmethod(content)


@pytest.fixture
def make() -> type[Builders]:
    return Builders


Reopen = Callable[[], LogStorage]


@pytest.fixture
def open_disk(tmp_path: Path) -> Iterator[Callable[..., DiskStorage]]:
    """Opens the store in `tmp_path / "a"`, closing the one that was opened before it."""
    opened: list[DiskStorage] = []

    def open_again(path: Path = tmp_path / "a", segment_bytes: int = SEGMENT_BYTES) -> DiskStorage:
        for store in opened:
            store.close()
        opened.append(DiskStorage(path, "test", A, segment_bytes=segment_bytes))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture(params=["disk", "memory"])
def reopen(request: pytest.FixtureRequest, open_disk: Callable[..., DiskStorage]) -> Reopen:
    """A restart of the node: the store as its next process finds it."""
    if request.param == "disk":
        return open_disk
    kept = MemoryStorage()
    return lambda: kept
