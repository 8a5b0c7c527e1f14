"""A snapshot that arrives in pieces, is kept over restarts, and is read piece by piece: on disk and in memory alike."""

from __future__ import annotations

import errno
import itertools
import os
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aether.consensus.membership import MEMBERS_MAX
from aether.consensus.quorum import Configuration
from aether.consensus.values import PartialSnapshot, SnapshotMeta, StorageWrite
from aether.errors import StorageFailed, StorageFull
from aether.model.ids import LogIndex, NodeId, Term
from aether.storage import files, snapshots
from aether.storage.disk import DiskStorage
from aether.storage.memory import MemoryStorage

CONTENT = bytes(range(256)) * 4


def parts_of(make, snapshot, content, cuts):
    """The pieces of `content` between the cuts."""
    edges = [0, *sorted(cuts), len(content)]
    return [make.part(snapshot, start, content[start:end]) for start, end in itertools.pairwise(edges) if start < end]


def test_what_has_arrived_outlives_a_restart(reopen, make):
    """Half a gigabyte over a slow link is not fetched twice."""
    snapshot = make.snapshot(9, 3, CONTENT)
    store = reopen()
    store.load()
    first, second, third = parts_of(make, snapshot, CONTENT, [300, 700])
    store.write([StorageWrite(1, parts=(first,))])
    store.write([StorageWrite(2, make.hard(3), parts=(second,))])

    store = reopen()
    persisted = store.load()
    assert persisted.partial == PartialSnapshot(snapshot, 700, crc32(CONTENT[:700]))
    assert (persisted.snapshot, persisted.hard_state) == (None, make.hard(3))

    store.write([StorageWrite(3, None, (), snapshot, (third,))])
    store = reopen()
    persisted = store.load()
    assert (persisted.snapshot, persisted.partial) == (snapshot, None)
    assert make.content(store, snapshot) == CONTENT


@given(cuts=st.lists(st.integers(1, len(CONTENT) - 1), max_size=8, unique=True), together=st.booleans(), data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_snapshot_may_be_cut_and_interrupted_anywhere(cuts, together, data, make, tmp_path_factory, open_disk):
    """Disk and memory keep the same, whatever the pieces are, and whenever the node restarts."""
    snapshot = make.snapshot(9, 3, CONTENT)
    parts = parts_of(make, snapshot, CONTENT, cuts)
    path = tmp_path_factory.mktemp("arriving")
    disk, memory = open_disk(path), MemoryStorage()
    disk.load()
    batches = [parts] if together else [[part] for part in parts]
    for number, batch in enumerate(batches, 1):
        last = batch[-1] is parts[-1]
        for store in (disk, memory):
            store.write([StorageWrite(number, None, (), snapshot if last else None, tuple(batch))])
        if data.draw(st.booleans()):
            disk = open_disk(path)
            assert disk.load() == memory.load()
    disk = open_disk(path)
    assert disk.load() == memory.load()
    assert make.content(disk, snapshot) == make.content(memory, snapshot) == CONTENT


def test_another_snapshot_takes_the_place_of_the_one_that_was_arriving(reopen, make):
    """There is one at a time: nothing piles up."""
    old, new = make.snapshot(9, 3, b"old state"), make.snapshot(12, 3, b"new state")
    store = reopen()
    store.load()
    store.write([StorageWrite(1, parts=(make.part(old, 0, b"old "),))])
    store.write([StorageWrite(2, parts=(make.part(new, 0, b"new"),))])
    assert reopen().load().partial == PartialSnapshot(new, 3, crc32(b"new"))


def test_the_same_snapshot_may_begin_anew(reopen, make):
    """Its bytes did not match: it is fetched a second time."""
    snapshot = make.snapshot(9, 3, b"state")
    store = reopen()
    store.load()
    store.write([StorageWrite(1, parts=(make.part(snapshot, 0, b"rotten"[:4]),))])
    store.write([StorageWrite(2, None, (), snapshot, (make.part(snapshot, 0, b"state"),))])
    assert make.content(store, snapshot) == b"state"


@pytest.mark.parametrize("local", [True, False])
def test_what_arrives_is_forgotten_when_a_newer_snapshot_is_in_force(reopen, make, local):
    """The log has overtaken it."""
    arriving = make.snapshot(9, 1, b"never whole")
    store = reopen()
    store.load()
    store.write([make.write(1, *make.entries(1, 20))])
    store.write([StorageWrite(2, parts=(make.part(arriving, 0, b"never"),))])
    if local:
        store.save_snapshot(make.snapshot(15).meta, [b"state"], 1)
    else:
        store.write([make.write(3, snap=make.snapshot(30))])
    assert reopen().load().partial is None


def test_an_empty_snapshot_is_one_too(reopen, make):
    """A state machine may have nothing to say."""
    empty = make.snapshot(9, 3, b"")
    store = reopen()
    store.load()
    store.write([make.write(1, snap=empty, data=b"")])
    assert store.save_snapshot(make.snapshot(10, 3).meta, [], 1) == make.snapshot(10, 3, b"")
    store = reopen()
    assert store.load().snapshot == make.snapshot(10, 3, b"")
    assert make.content(store, empty) == b""


def test_a_snapshot_that_is_read_is_not_lost_to_newer_ones(reopen, make):
    """It travels to a follower, longer than it takes to make others: pruned in mid-transfer, it would begin anew."""
    store = reopen()
    store.load()
    store.write([make.write(1, *make.entries(1, 90))])
    saved = store.save_snapshot(make.snapshot(10).meta, [CONTENT], 1)
    assert saved == make.snapshot(10, 1, CONTENT)
    reader = store.open_snapshot(saved)
    assert reader.read(0, 300) == CONTENT[:300]
    for index in (20, 30, 40, 50):
        store.save_snapshot(make.snapshot(index).meta, [b"newer"], 1)
    assert reader.read(300, len(CONTENT) - 300) == CONTENT[300:]
    reader.close()
    assert store.open_snapshot(saved) is None, "afterwards it is gone"


def test_only_the_snapshot_that_was_named_is_given(reopen, make):
    """Same index, other bytes: the name says which."""
    store = reopen()
    store.load()
    store.write([make.write(1, *make.entries(1, 20))])
    saved = store.save_snapshot(make.snapshot(10).meta, [b"one"], 1)
    assert make.content(store, saved) == b"one"
    assert store.open_snapshot(make.snapshot(10, 1, b"two")) is None
    assert store.open_snapshot(make.snapshot(11)) is None


def test_pieces_are_taken_one_at_a_time(reopen, make):
    """A state of any size: the next piece is made when the last one is written."""
    alive = [0]

    class Piece(bytes):
        def __del__(self):
            alive[0] -= 1

    most = 0

    def pieces():
        nonlocal most
        for number in range(50):
            alive[0] += 1
            most = max(most, alive[0])
            yield Piece(b"%03d" % number)

    store = reopen()
    store.load()
    store.write([make.write(1, *make.entries(1, 20))])
    saved = store.save_snapshot(make.snapshot(10).meta, pieces(), 1)
    assert make.content(store, saved) == b"".join(b"%03d" % number for number in range(50))
    if isinstance(store, DiskStorage):
        assert most <= 2


def test_a_state_that_cannot_be_encoded_leaves_nothing_behind(open_disk, make, tmp_path):
    """The defect is raised as it is, and the log remains."""
    store = open_disk()
    store.load()
    store.write([make.write(1, *make.entries(1, 9))])

    def pieces():
        yield b"half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.save_snapshot(make.snapshot(5).meta, pieces(), 1)
    assert list((tmp_path / "a" / "snapshots").iterdir()) == []
    assert open_disk().load().entries == make.entries(1, 9)


def test_a_full_disk_in_mid_transfer_is_waited_out(open_disk, make, monkeypatch):
    """The same writes come again, whole: what was there already is not written twice."""
    store = open_disk()
    store.load()
    snapshot = make.snapshot(9, 3, CONTENT)
    first, second, third = parts_of(make, snapshot, CONTENT, [300, 700])
    store.write([StorageWrite(1, parts=(first,))])
    write_all, calls = files.write_all, 0

    def no_space(fd: int, chunk: bytes, offset: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            write_all(fd, chunk[:5], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_all(fd, chunk, offset)

    batch = [StorageWrite(2, parts=(second,)), StorageWrite(3, make.hard(3), (), snapshot, (third,))]
    with monkeypatch.context() as patched:
        patched.setattr(files, "write_all", no_space)
        with pytest.raises(StorageFull):
            store.write(batch)
    store.write(batch)
    store = open_disk()
    assert store.load().snapshot == snapshot
    assert make.content(store, snapshot) == CONTENT


def test_a_batch_that_is_repeated_after_its_snapshot_is_in_place_finds_it_there(open_disk, make, monkeypatch):
    """The snapshot was installed, then there was no space for the record that refers to it."""
    store = open_disk()
    store.load()
    store.write([make.write(1, *make.entries(1, 15, payload=bytes(200)))])
    snapshot = make.snapshot(40, 3, CONTENT)
    write = make.write(2, *make.entries(41, 60, 3, payload=bytes(200)), snap=snapshot, data=CONTENT)

    def no_space(path, size: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(files, "create_zeroed", no_space)
        with pytest.raises(StorageFull):
            store.write([write])
    store.write([write])
    store = open_disk()
    assert store.load().entries == make.entries(41, 60, 3, payload=bytes(200))
    assert make.content(store, snapshot) == CONTENT


def test_pieces_are_not_synced_one_by_one(open_disk, make, monkeypatch):
    """They can be fetched again; the last one makes all durable."""
    store = open_disk()
    store.load()
    syncs: list[str] = []
    monkeypatch.setattr(files, "sync_data", lambda fd: syncs.append("data"))
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (syncs.append("file"), fsync(fd)))
    snapshot = make.snapshot(9, 3, CONTENT)
    *first, last = parts_of(make, snapshot, CONTENT, range(100, 1_000, 100))
    for number, part in enumerate(first, 1):
        store.write([StorageWrite(number, parts=(part,))])
    assert syncs == []
    store.write([StorageWrite(99, None, (), snapshot, (last,))])
    assert syncs == ["file", "file", "data"], "the file, its directory, the record that refers to it"


@pytest.mark.parametrize("damage", ["header", "too long", "empty"])
def test_a_damaged_partial_file_is_thrown_away(open_disk, make, tmp_path, damage):
    """It is worth a transfer, not a refusal to start."""
    store = open_disk()
    store.load()
    snapshot = make.snapshot(9, 3, CONTENT)
    store.write([StorageWrite(1, parts=(make.part(snapshot, 0, CONTENT[:100]),))])
    store.close()
    (path,) = (tmp_path / "a" / "snapshots").iterdir()
    raw = path.read_bytes()
    path.write_bytes({"header": b"x" + raw[1:], "too long": raw + CONTENT, "empty": b""}[damage])
    store = open_disk()
    assert store.load().partial is None
    assert not path.exists()
    store.write([make.write(2, snap=snapshot, data=CONTENT)])
    assert make.content(store, snapshot) == CONTENT


def test_damaged_bytes_of_a_partial_file_show_in_its_checksum(open_disk, make, tmp_path):
    """Whoever goes on with it finds in the end that it is not what was announced, and begins anew."""
    store = open_disk()
    store.load()
    snapshot = make.snapshot(9, 3, CONTENT)
    store.write([StorageWrite(1, parts=(make.part(snapshot, 0, CONTENT[:100]),))])
    store.close()
    (path,) = (tmp_path / "a" / "snapshots").iterdir()
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 4
    path.write_bytes(raw)
    partial = open_disk().load().partial
    assert (partial.snapshot, partial.arrived_bytes) == (snapshot, 100)
    assert partial.checksum != crc32(CONTENT[:100])


def test_a_snapshot_that_was_cut_short_behind_our_back_is_an_error_of_the_store(open_disk, make, tmp_path):
    """A short answer would be sent on as if it were all."""
    store = open_disk()
    store.load()
    store.write([make.write(1, *make.entries(1, 20))])
    saved = store.save_snapshot(make.snapshot(10).meta, [CONTENT], 1)
    reader = store.open_snapshot(saved)
    (path,) = (tmp_path / "a" / "snapshots").iterdir()
    os.truncate(path, 500)
    with pytest.raises(StorageFailed, match="ends before byte 1024"):
        reader.read(0, len(CONTENT))
    reader.close()


def test_a_snapshot_of_the_largest_group_can_be_read_back(tmp_path):
    """What may be written must not look like damage at the next start."""
    names = tuple(NodeId(f"{number:063d}") for number in range(MEMBERS_MAX))
    meta = SnapshotMeta(LogIndex(1), Term(1), Configuration(names[:1], learners=names[1:]))
    saved = snapshots.save(tmp_path, meta, [CONTENT])
    assert snapshots.load(tmp_path, (1, 1)) == saved
