"""A new cluster out of what is left of an old one: nothing of the survivor is lost, nothing of the old one gets in."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
from pathlib import Path

import pytest

import aether
from aether.consensus.entry import EntryKind, new_entry
from aether.consensus.quorum import Configuration
from aether.consensus.values import HardState, StorageWrite
from aether.errors import BadInput, Conflict, DataDirectoryInUse, StorageCorrupt
from aether.kv import keys
from aether.kv.carried import REVISIONS_SKIPPED
from aether.kv.commands import Apply, Batch, Put, encode_command, stamped
from aether.kv.store import Store
from aether.model.ids import ClusterUuid, NodeId
from aether.node import refounding
from aether.node.founders import read_founders, write_founders
from aether.node.refounding import BEFORE, prospect, recover, restore
from aether.storage.backup import BackupHeader, encode_backup
from aether.storage.directory import read_identity
from aether.storage.disk import DiskStorage
from aether.storage.examination import examine

A = NodeId("a")
LAST = 6


def commands() -> list[bytes]:
    cluster = keys.cluster.encode(keys.ClusterRow(uuid=ClusterUuid("old"), name="test"))
    rows = [
        (keys.cluster.text, cluster),
        (keys.member(A).text, b"x"),
        (keys.map_entry("m", b"first").text, b"1"),
        (keys.map_entry("m", b"committed").text, b"2"),
        (keys.map_entry("m", b"not known as committed").text, b"3"),
    ]
    return [stamped(encode_command(Apply(0, 0, 0, (), (row,))), 1_000 + n) for n, row in enumerate(rows)]


def log():
    yield new_entry(1, 4, EntryKind.NO_OP, b"")
    for index, command in enumerate(commands(), 2):
        yield new_entry(index, 4, EntryKind.COMMAND, command)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch):
    """64 MiB of zeros for each new store would be most of the time that these tests take."""
    monkeypatch.setattr(refounding, "DiskStorage", functools.partial(DiskStorage, segment_bytes=4096))


@pytest.fixture
def survivor(tmp_path) -> Path:
    """Node a of three voters: entries to 6 of term 4, of which it knows 5 as committed; it voted in term 7."""
    path = tmp_path / "a"
    disk = DiskStorage(path, "test", A, segment_bytes=4096)
    disk.load()
    disk.write([StorageWrite(1, HardState(4, "b", 5), tuple(log()))])
    disk.write([StorageWrite(2, HardState(7, "c", 5))])
    disk.close()
    write_founders(path, ["a", "b", "c"])
    return path


@pytest.fixture
def saved(tmp_path) -> Path:
    """A backup of the same state."""
    store = Store()
    store.apply(list(log()))
    header = BackupHeader(cluster="test", uuid="old", revision=LAST, term=7, node="b", taken_at=1.0)
    path = tmp_path / "backup"
    path.write_bytes(b"".join(encode_backup(header, [store.snapshot()])))
    return path


def begun(path: Path, node: str = "a"):
    """What a node would start with: hard state, configuration, rows."""
    disk = DiskStorage(path, "test", NodeId(node), segment_bytes=4096)
    try:
        persisted = disk.load()
    finally:
        disk.close()
    assert persisted.snapshot is not None
    facts = examine(path)
    assert facts.is_sound
    return persisted, facts


def rows_of(path: Path) -> dict[str, bytes]:
    return {key: raw for key, (raw, _) in refounding._state_of(path, examine(path).persisted).rows.items()}


def check_new(path: Path, node: str = "a") -> None:
    persisted, facts = begun(path, node)
    assert persisted.hard_state == HardState(8, None, LAST + REVISIONS_SKIPPED)
    assert persisted.snapshot.meta.configuration == Configuration((NodeId(node),))
    assert persisted.entries == ()
    assert facts.last == LAST + REVISIONS_SKIPPED
    assert read_founders(path) == [node]
    rows = rows_of(path)
    assert rows.keys() == {"cluster", "maps/m/first", "maps/m/committed", "maps/m/not%20known%20as%20committed"}
    assert keys.cluster.decode(rows["cluster"]).uuid != "old"


def test_a_recovery_keeps_every_entry_and_forgets_the_old_cluster(survivor):
    """What was not known as committed here may have been acknowledged by another."""
    old = read_identity(survivor)
    refounded = recover(survivor)
    new = read_identity(survivor)
    assert (new.cluster, new.node) == (old.cluster, old.node)
    assert new.store_id == refounded.store_id != old.store_id
    assert (refounded.from_revision, refounded.revision, refounded.term) == (LAST, LAST + REVISIONS_SKIPPED, 8)
    assert refounded.kept == {"maps": 3}
    assert refounded.dropped == {"members": 1}
    check_new(survivor)


def test_the_files_of_before_are_kept(survivor, tmp_path):
    """Whoever recovered from the wrong survivor can go back."""
    before = {name: (survivor / name).read_bytes() for name in ("identity.json", "founders.json")}
    wal = (survivor / "wal" / "0000000000000001.wal").read_bytes()
    kept = recover(survivor).before
    assert kept == survivor / f"{BEFORE}1"
    assert {name: (kept / name).read_bytes() for name in before} == before
    assert (kept / "wal" / "0000000000000001.wal").read_bytes() == wal
    assert recover(survivor).before == survivor / f"{BEFORE}2"
    assert not (survivor / "recovery").exists()


def test_a_prospect_says_what_would_be_and_changes_nothing(survivor):
    before = {path: path.read_bytes() for path in survivor.rglob("*") if path.is_file()}
    facts = prospect(survivor)
    assert (facts.last, facts.last_term, facts.hard_state.commit) == (LAST, 4, 5)
    assert {path: path.read_bytes() for path in survivor.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("act", [prospect, recover])
def test_a_running_nodes_directory_is_refused(survivor, act):
    disk = DiskStorage(survivor, "test", A, segment_bytes=4096)
    with pytest.raises(DataDirectoryInUse):
        act(survivor)
    disk.close()


@pytest.mark.parametrize("act", [prospect, recover])
def test_a_damaged_directory_is_refused_and_left_as_it_was(survivor, act):
    """A cluster must not begin with what rot has made of the old one."""
    segment = survivor / "wal" / "0000000000000001.wal"
    raw = bytearray(segment.read_bytes())
    raw[150] ^= 1
    segment.write_bytes(raw)
    with pytest.raises(StorageCorrupt):
        act(survivor)
    assert segment.read_bytes() == raw
    assert not (survivor / "recovery").exists()


@pytest.mark.parametrize("act", [prospect, recover])
def test_a_path_that_is_no_data_directory_is_refused_and_not_created(tmp_path, act):
    with pytest.raises(BadInput):
        act(tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_a_node_that_never_wrote_has_nothing_to_recover(tmp_path):
    disk = DiskStorage(tmp_path / "a", "test", A, segment_bytes=4096)
    disk.load()
    disk.close()
    with pytest.raises(BadInput, match="nothing to recover"):
        recover(tmp_path / "a")


# --- interrupted ------------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process dies here."""


def run_until_crash(act, fatal: int, monkeypatch) -> bool:
    """Whether `act` ended before the file operation numbered `fatal`."""
    operations = itertools.count(1)

    def mortal(real):
        def call(*arguments, **named):
            if next(operations) == fatal:
                raise Crash
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        for name in ("rename", "replace", "fsync", "fdatasync", "mkdir", "pwrite"):
            patched.setattr(os, name, mortal(getattr(os, name)))
        try:
            act()
        except Crash:
            return False
    return True


def again(act) -> None:
    """Once more, as its message asked for: it says when the first run's work is completed by that."""
    with contextlib.suppress(Conflict):
        act()


def test_a_recovery_that_is_interrupted_anywhere_is_completed_by_the_next(survivor, tmp_path, monkeypatch):
    """A power cut in the middle must leave neither half a store nor two."""
    states = set()
    for fatal in range(1, 400):
        path = tmp_path / str(fatal)
        shutil.copytree(survivor, path)
        if run_until_crash(lambda path=path: recover(path), fatal, monkeypatch):
            break
        if (path / "recovery").exists():
            states.add("in between")
            with pytest.raises(BadInput, match="interrupted"):
                DiskStorage(path, "test", A)
        else:
            states.add("old" if read_founders(path) == ["a", "b", "c"] else "new")
        again(lambda path=path: recover(path))
        if read_founders(path) != ["a"] or examine(path).last == LAST:
            recover(path)
        kept = [each for each in path.iterdir() if each.name.startswith(BEFORE)]
        assert any((each / "identity.json").read_bytes() == (survivor / "identity.json").read_bytes() for each in kept)
        assert {"cluster", "maps/m/first", "maps/m/committed"} < rows_of(path).keys()
        shutil.rmtree(path)
    check_new(path)
    assert states == {"old", "in between", "new"}
    assert fatal > 30


# --- from a backup ----------------------------------------------------------------------------------------------------


def test_a_restore_begins_above_the_backup_with_an_identity_of_its_own(saved, tmp_path):
    first, second = (restore(saved, tmp_path / name, NodeId("z")) for name in ("x", "y"))
    assert first.uuid != second.uuid
    assert first.store_id != second.store_id
    assert first.before is None
    check_new(tmp_path / "x", "z")
    assert restore(saved, tmp_path / "w", A, "other").cluster == "other"
    assert read_identity(tmp_path / "w").cluster == "other"


def test_an_empty_directory_will_do(saved, tmp_path):
    """A volume is mounted before anything is in it."""
    (tmp_path / "x").mkdir()
    restore(saved, tmp_path / "x", A)
    check_new(tmp_path / "x")


@pytest.mark.parametrize("name", ["notes.txt", "wal", "identity.json"])
def test_a_directory_with_anything_in_it_is_refused(saved, tmp_path, name):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / name).write_text("mine")
    with pytest.raises(Conflict, match=name):
        restore(saved, tmp_path / "x", A)
    assert (tmp_path / "x" / name).read_text() == "mine"


def test_a_restore_that_is_interrupted_anywhere_can_be_repeated(saved, tmp_path, monkeypatch):
    for fatal in range(1, 400):
        path = tmp_path / str(fatal)
        if run_until_crash(lambda path=path: restore(saved, path, A), fatal, monkeypatch):
            break
        if path.exists() and (path / "recovery").exists():
            with pytest.raises(BadInput, match="interrupted"):
                DiskStorage(path, "test", A)
        again(lambda path=path: restore(saved, path, A))
        check_new(path)
        shutil.rmtree(path)
    check_new(path)


def test_a_damaged_backup_creates_nothing(saved, tmp_path):
    raw = saved.read_bytes()
    saved.write_bytes(raw[:-9])
    with pytest.raises(BadInput, match="not written whole"):
        restore(saved, tmp_path / "x", A)
    assert not (tmp_path / "x").exists()


# --- with real nodes --------------------------------------------------------------------------------------------------


async def test_a_node_serves_what_was_recovered_and_restored(tmp_path):
    """From a node's own log to a node again, twice."""
    entry = keys.map_entry("m", b"k")

    async def value(path: Path) -> tuple[bytes | None, int, str]:
        async with aether.Cluster.open(name="a", data=path) as cluster:
            row = cluster.kv.get(keys.cluster)
            return cluster.kv.get(entry), cluster.kv.revision, row.uuid

    async with aether.Cluster.open(name="a", data=tmp_path / "a") as cluster:
        await cluster.kv.propose(Batch(changes=(Put(entry, b"7"),)))
        first_uuid = cluster.kv.get(keys.cluster).uuid
    recovered = recover(tmp_path / "a")
    found, revision, uuid = await value(tmp_path / "a")
    assert found == b"7"
    assert revision > recovered.revision
    assert uuid == recovered.uuid != first_uuid
