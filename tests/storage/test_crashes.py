"""A process that crashes at each named place of the storage: what was acknowledged is there afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from aether.errors import StorageFailed, StorageFull
from aether.failpoints import PLACES
from aether.model.ids import NodeId
from aether.storage.disk import DiskStorage

PROGRAM = """
import random, sys
from pathlib import Path
from aether.consensus.entry import EntryKind, new_entry
from aether.consensus.quorum import Configuration
from aether.consensus.values import HardState, SnapshotMeta, SnapshotPart, StorageWrite, StoredSnapshot
from aether.errors import StorageFailed, StorageFull
from aether.failpoints import Failpoints, parse_plan
from aether.storage.disk import DiskStorage
import zlib

reach = Failpoints(parse_plan(sys.argv[2]), random.Random(1)).reach
store = DiskStorage(Path(sys.argv[1]), "test", "a", segment_bytes=16384, reach=reach)
store.load()
state, voters, index = b"s" * 1000, Configuration(("a",)), 0
try:
    for index in range(1, 400):
        entry = new_entry(index, 1, EntryKind.COMMAND, b"%d" % index * 50)
        store.write([StorageWrite(index, HardState(1, "a", index - 1), (entry,))])
        print(index, flush=True)
        if store.wants_preparation:
            store.prepare()
        if index % 25 == 0:
            store.save_snapshot(SnapshotMeta(index, 1, voters), [state, state], index - 10)
    received = StoredSnapshot(SnapshotMeta(index + 100, 2, voters), 2000, zlib.crc32(state + state))
    parts = [SnapshotPart(received, 0, state), SnapshotPart(received, 1000, state)]
    store.write([StorageWrite(index + 1, HardState(2), (), None, (parts[0],))])
    store.write([StorageWrite(index + 2, None, (), received, (parts[1],))])
    print(index + 100, flush=True)
except (StorageFailed, StorageFull) as error:
    print(type(error).__name__, flush=True)
"""
OF_STORAGE = sorted(name for name in PLACES if name.split(".")[0] in {"identity", "wal", "snapshot"})


def run(path, plan):
    command = [sys.executable, "-c", PROGRAM, str(path), plan]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    lines = ended.stdout.split()
    return ended, [int(line) for line in lines if line.isdigit()], [line for line in lines if not line.isdigit()]


def last_index(path):
    store = DiskStorage(path, "test", NodeId("a"), segment_bytes=16384)
    try:
        persisted = store.load()
        if persisted.snapshot is not None:
            reader = store.open_snapshot(persisted.snapshot)
            assert reader.read(0, persisted.snapshot.total_bytes) == b"s" * 2000
            reader.close()
        base = persisted.snapshot.meta.index if persisted.snapshot else 0
        return persisted.entries[-1].index if persisted.entries else base
    finally:
        store.close()


@pytest.mark.process
@pytest.mark.parametrize("place", OF_STORAGE)
def test_a_crash_at(place, tmp_path):
    """SIGKILL there, at the first and at a later hit: nothing acknowledged is lost, and nothing is there half."""
    for hit in (1, 3) if place not in {"identity.before_create", "snapshot.before_arrived"} else (1,):
        path = tmp_path / str(hit)
        if place == "snapshot.part_arrived" and hit == 3:  # there are two
            continue
        ended, acknowledged, _ = run(path, f"{place}=crash@{hit}")
        assert ended.returncode == -signal.SIGKILL, f"{place} was not reached {hit} times: {ended.stderr[-300:]}"
        assert max(acknowledged, default=0) <= last_index(path) <= max(acknowledged, default=0) + 100


@pytest.mark.process
@pytest.mark.parametrize(
    "place", ["wal.before_write", "wal.before_sync", "wal.before_segment_named", "snapshot.before_rename"]
)
def test_an_io_error_at(place, tmp_path):
    """The first error ends the store, and what was acknowledged before it stays."""
    _, acknowledged, said = run(tmp_path, f"{place}=error(EIO)@3")
    assert said == [StorageFailed.__name__]
    assert max(acknowledged, default=0) <= last_index(tmp_path)


@pytest.mark.process
def test_no_space_at_preallocation_is_no_failure(tmp_path):
    """Nothing was written; the store can go on when there is space again."""
    _, acknowledged, said = run(tmp_path, "wal.before_preallocate=error(ENOSPC)@2")
    assert said == [StorageFull.__name__]
    assert max(acknowledged) <= last_index(tmp_path)
