"""What only a real disk does: locks, identity, segments, deletion, errors of the kernel."""

from __future__ import annotations

import errno
import json
import os
import queue
import threading
from pathlib import Path

import pytest

from aether.consensus.values import Persisted
from aether.errors import BadInput, DataDirectoryInUse, IdentityMismatch, StorageCorrupt, StorageFailed, StorageFull
from aether.model.ids import NodeId
from aether.storage import files
from aether.storage.disk import DiskStorage


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# --- whose it is ------------------------------------------------------------------------------------------------------


def test_a_directory_in_use_is_refused_even_in_the_same_process(open_disk, tmp_path):
    """Two nodes that write one log destroy it."""
    open_disk()
    with pytest.raises(DataDirectoryInUse, match="own --data-dir"):
        DiskStorage(tmp_path / "a", "test", NodeId("a"))


def test_the_lock_is_released_by_close(open_disk, tmp_path):
    """A restart in the same process must work."""
    open_disk().close()
    DiskStorage(tmp_path / "a", "test", NodeId("a")).close()


@pytest.mark.parametrize(("cluster", "node"), [("test", "b"), ("other", "a")])
def test_the_directory_of_another_node_or_cluster_is_refused(open_disk, tmp_path, cluster, node):
    """A node with somebody else's votes could elect two leaders."""
    open_disk().close()
    with pytest.raises(IdentityMismatch, match=f"holds node a of cluster test, not node {node} of cluster {cluster}"):
        DiskStorage(tmp_path / "a", cluster, NodeId(node))
    DiskStorage(tmp_path / "a", "test", NodeId("a")).close()


def test_the_store_id_is_drawn_once(open_disk, tmp_path):
    """It tells an emptied directory from the one that the cluster remembers."""
    first = open_disk()
    assert first.is_new
    second = open_disk()
    assert second.store_id == first.store_id
    assert not second.is_new
    other = DiskStorage(tmp_path / "b", "test", NodeId("a"))
    other.close()
    assert other.store_id != first.store_id


def test_a_damaged_identity_is_refused(open_disk, tmp_path):
    """A changed store id would look like another disk."""
    open_disk().close()
    path = tmp_path / "a" / "identity.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "store_id": "0" * 32}))
    with pytest.raises(StorageCorrupt, match="identity"):
        open_disk()
    path.write_text("{")
    with pytest.raises(StorageCorrupt, match="unreadable"):
        open_disk()


def test_a_path_that_is_no_directory_is_refused_with_the_reason(tmp_path):
    """The usual typing mistake gets a sentence, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be a data directory"):
        DiskStorage(tmp_path / "file", "test", NodeId("a"))


# --- segments and snapshots -------------------------------------------------------------------------------------------


def test_the_log_spans_segments_and_is_read_back_over_them(open_disk, make, tmp_path):
    """A batch never crosses a segment, and the chain does."""
    store = open_disk()
    store.load()
    for first in range(1, 101, 5):
        store.write([make.write(first, *make.entries(first, first + 4, payload=bytes(200)))])
    assert len(names(tmp_path / "a" / "wal")) > 3
    assert open_disk().load().entries == make.entries(1, 100, payload=bytes(200))


def test_a_batch_larger_than_a_segment_gets_a_larger_one(open_disk, make):
    """One write is one step, however long."""
    store = open_disk()
    store.load()
    big = make.entry(1, payload=bytes(50_000))
    store.write([make.write(1, big)])
    store.write([make.write(2, make.entry(2))])
    assert open_disk().load().entries == (big, make.entry(2))


def test_a_snapshot_deletes_the_segments_behind_it(open_disk, make, tmp_path):
    """Nothing grows without bound; vote and term outlive the segment that they were written to."""
    store = open_disk()
    store.load()
    store.write([make.write(1, state=make.hard(3, "b"))])
    for first in range(1, 101, 5):
        store.write([make.write(first, *make.entries(first, first + 4, 3, payload=bytes(200)))])
    before = names(tmp_path / "a" / "wal")
    store.save_snapshot(make.snapshot(95, 3).meta, [b"sta", b"te"], 90)
    after = names(tmp_path / "a" / "wal")
    assert len(after) <= 3 < len(before)
    assert after[-1] == before[-1]
    persisted = open_disk().load()
    assert persisted == Persisted(make.hard(3, "b"), make.snapshot(95, 3), make.entries(96, 100, 3, payload=bytes(200)))


def test_segments_with_entries_to_keep_are_kept(open_disk, make, tmp_path):
    """Followers that lag are served from the log while they can be."""
    store = open_disk()
    store.load()
    for first in range(1, 101, 5):
        store.write([make.write(first, *make.entries(first, first + 4, payload=bytes(200)))])
    before = names(tmp_path / "a" / "wal")
    store.save_snapshot(make.snapshot(95).meta, [b"sta", b"te"], 1)
    assert names(tmp_path / "a" / "wal") == before


def test_the_newest_two_snapshots_are_kept(open_disk, make, tmp_path):
    """One to go on from and one for the operator's peace of mind."""
    store = open_disk()
    store.load()
    store.write([make.write(1, *make.entries(1, 50))])
    for index in (10, 20, 30, 40):
        store.save_snapshot(make.snapshot(index).meta, [b"sta", b"te"], 1)
    assert [name[:20] for name in names(tmp_path / "a" / "snapshots")] == [f"{30:020d}", f"{40:020d}"]


def test_a_snapshot_that_the_log_never_referred_to_is_removed(open_disk, make, tmp_path):
    """A crash between snapshot and log record leaves a file that must not become the state."""
    store = open_disk()
    store.load()
    store.write([make.write(1, *make.entries(1, 5))])
    store.save_snapshot(make.snapshot(3).meta, [b"sta", b"te"], 1)
    directory = tmp_path / "a" / "snapshots"
    (kept,) = names(directory)
    (directory / f"{99:020d}-{1:020d}.snapshot").write_bytes(b"half")
    (directory / "x.snapshot.tmp").write_bytes(b"half")
    assert open_disk().load().snapshot == make.snapshot(3)
    assert names(directory) == [kept]


def test_a_missing_snapshot_is_refused(open_disk, make, tmp_path):
    """Without it the log has a hole at its start."""
    store = open_disk()
    store.load()
    store.write([make.write(1, snap=make.snapshot(10))])
    (path,) = (tmp_path / "a" / "snapshots").iterdir()
    path.unlink()
    with pytest.raises(StorageCorrupt, match="it is missing"):
        open_disk().load()


def test_a_missing_segment_is_refused(open_disk, make, tmp_path):
    """A hole in the log must never be skipped."""
    store = open_disk()
    store.load()
    for first in range(1, 101, 5):
        store.write([make.write(first, *make.entries(first, first + 4, payload=bytes(200)))])
    sorted((tmp_path / "a" / "wal").iterdir())[1].unlink()
    with pytest.raises(StorageCorrupt, match="segment 2 of the write-ahead log is missing"):
        open_disk().load()


def test_a_log_without_its_first_segments_is_refused(open_disk, make, tmp_path):
    """Deleted by hand, they leave entries that connect to nothing."""
    store = open_disk()
    store.load()
    for first in range(1, 101, 5):
        store.write([make.write(first, *make.entries(first, first + 4, payload=bytes(200)))])
    for path in sorted((tmp_path / "a" / "wal").iterdir())[:2]:
        path.unlink()
    with pytest.raises(StorageCorrupt, match="follows the snapshot at 0"):
        open_disk().load()


def test_the_next_segment_is_prepared_beside_the_writes(open_disk, make, tmp_path, monkeypatch):
    """No append waits for zeros to be written."""
    store = open_disk()
    store.load()
    assert not store.wants_preparation
    number = 0
    while not store.wants_preparation:
        number += 1
        store.write([make.write(number, make.entry(number, payload=bytes(200)))])
    worker = threading.Thread(target=store.prepare)
    worker.start()
    worker.join()
    assert not store.wants_preparation
    monkeypatch.setattr(files, "create_zeroed", lambda path, size: pytest.fail("preallocated in a write"))
    started = names(tmp_path / "a" / "wal")
    while len(names(tmp_path / "a" / "wal")) == len(started) and number < 60:
        number += 1
        store.write([make.write(number, make.entry(number, payload=bytes(200)))])
        if "0000000000000002.wal" in names(tmp_path / "a" / "wal"):
            break
    monkeypatch.undo()
    assert open_disk().load().entries == make.entries(1, number, payload=bytes(200))


def test_writes_snapshots_and_preparation_may_run_beside_each_other(open_disk, make):
    """A slow snapshot must hold up neither writes nor votes; the worker threads of all three meet in the store."""
    store = open_disk()
    store.load()
    last = 200
    failures: list[BaseException] = []
    to_save: queue.SimpleQueue[int] = queue.SimpleQueue()
    to_prepare: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def guarded(body) -> threading.Thread:
        def run() -> None:
            try:
                body()
            except BaseException as error:
                failures.append(error)
                for waiting in (to_save, to_prepare):
                    waiting.put(0)

        return threading.Thread(target=run)

    def write() -> None:
        for index in range(1, last + 1):
            store.write([make.write(index, make.entry(index, payload=bytes(100)))])
            if index % 20 == 0:
                to_save.put(index)
            if store.wants_preparation:
                to_prepare.put(True)
        to_save.put(0)
        to_prepare.put(False)

    def save() -> None:
        while saved := to_save.get():
            store.save_snapshot(make.snapshot(saved).meta, [bytes(20_000)], max(1, saved - 5))

    def prepare() -> None:
        while to_prepare.get():
            store.prepare()

    threads = [guarded(body) for body in (write, save, prepare)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    persisted = open_disk().load()
    assert persisted.snapshot is not None
    assert persisted.entries == make.entries(persisted.snapshot.meta.index + 1, last, payload=bytes(100))


# --- errors -----------------------------------------------------------------------------------------------------------


def fill(store: DiskStorage, make) -> int:
    """Write until the next entry of 200 bytes needs another segment; the number of entries."""
    number = 0
    while store._wal._size - store._wal._offset >= 272:
        number += 1
        store.write([make.write(number, make.entry(number, payload=bytes(200)))])
    return number


def test_a_full_disk_writes_nothing_and_goes_on_when_there_is_room(open_disk, make, monkeypatch):
    """No space is no reason to die: the same write succeeds later."""
    store = open_disk()
    store.load()
    last = fill(store, make)

    def no_space(path: Path, size: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(files, "create_zeroed", no_space)
        for _ in range(2):
            with pytest.raises(StorageFull, match="free some"):
                store.write([make.write(last + 1, make.entry(last + 1, payload=bytes(200)))])
        with pytest.raises(StorageFull):
            store.prepare()
    store.write([make.write(last + 1, make.entry(last + 1, payload=bytes(200)))])
    assert open_disk().load().entries == make.entries(1, last + 1, payload=bytes(200))


def test_a_snapshot_without_space_changes_nothing(open_disk, make, monkeypatch, tmp_path):
    """The log remains; the next snapshot may find room."""
    store = open_disk()
    store.load()
    store.write([make.write(1, *make.entries(1, 9))])
    write_all = files.write_all

    def no_space(fd: int, chunk: bytes, offset: int) -> None:
        write_all(fd, chunk[:1], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_all", no_space)
        with pytest.raises(StorageFull):
            store.save_snapshot(make.snapshot(5).meta, [b"sta", b"te"], 1)
    assert names(tmp_path / "a" / "snapshots") == []
    store.write([make.write(2, make.entry(10))])
    assert open_disk().load().entries == make.entries(1, 10)


@pytest.mark.parametrize("primitive", ["write_all", "sync_data"])
def test_b33_after_one_failed_write_or_sync_the_store_is_never_written_again(open_disk, make, monkeypatch, primitive):
    """The kernel may have dropped the pages: a second sync would report success for lost bytes."""
    store = open_disk()
    store.load()
    store.write([make.write(1, make.entry(1))])

    def broken(*arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(files, primitive, broken)
        with pytest.raises(StorageFailed, match="Input/output error"):
            store.write([make.write(2, make.entry(2))])
    for attempt in (
        lambda: store.write([make.write(3, make.entry(2))]),
        lambda: store.save_snapshot(make.snapshot(1).meta, [b"sta", b"te"], 1),
        store.prepare,
    ):
        with pytest.raises(StorageFailed):
            attempt()
    assert open_disk().load().entries in {make.entries(1, 1), make.entries(1, 2)}


def test_a_write_that_only_moves_the_commit_index_is_not_synced(open_disk, make, monkeypatch):
    """It can be learnt again, so it must not cost a sync per command."""
    store = open_disk()
    store.load()
    store.write([make.write(1, make.entry(1), state=make.hard(1, "a"))])
    syncs: list[int] = []
    monkeypatch.setattr(files, "sync_data", syncs.append)
    store.write([make.write(2, state=make.hard(1, "a", 1))])
    assert syncs == []
    store.write([make.write(3, state=make.hard(2, "a", 1))])
    store.write([make.write(4, state=make.hard(2, "b", 1))])
    store.write([make.write(5, make.entry(2)), make.write(6, make.entry(3)), make.write(7, make.entry(4))])
    assert len(syncs) == 3


def test_a_write_of_many_steps_is_one_sync(open_disk, make, monkeypatch):
    """Group commit."""
    store = open_disk()
    store.load()
    syncs: list[int] = []
    monkeypatch.setattr(files, "sync_data", syncs.append)
    store.write([make.write(number, make.entry(number)) for number in range(1, 9)])
    assert len(syncs) == 1
