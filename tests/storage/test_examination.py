"""A look at a store says what is there, what is wrong, where, and what to do; and it changes nothing."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aether.consensus.values import Persisted
from aether.errors import BadInput, DataDirectoryInUse, StorageCorrupt
from aether.model.ids import NodeId
from aether.storage.directory import read_only
from aether.storage.disk import DiskStorage
from aether.storage.examination import examine

SEGMENT_BYTES = 4096


@pytest.fixture
def store(tmp_path, make) -> Path:
    """Three segments, two snapshots, the newer one in force, entries to 101 of terms 3 and 4; not open."""
    path = tmp_path / "a"
    disk = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    disk.load()
    for first in range(1, 101, 5):
        term = 3 if first < 90 else 4
        state = make.hard(term, "a", first - 1)
        disk.write([make.write(first, *make.entries(first, first + 4, term, payload=bytes(200)), state=state)])
    disk.save_snapshot(make.snapshot(80, 3).meta, [b"sta", b"te"], 60)
    disk.save_snapshot(make.snapshot(95, 4).meta, [b"sta", b"te"], 60)
    disk.write([make.write(99, make.entry(101, 4))])
    disk.close()
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in sorted(path.rglob("*")) if each.is_file()}


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def segments(store: Path) -> list[Path]:
    return sorted((store / "wal").glob("*.wal"))


def snapshots(store: Path) -> list[Path]:
    return sorted((store / "snapshots").iterdir())


def damages(store: Path) -> list[str]:
    """What is said about a damaged store; it is left as it was, and a start refuses it as well."""
    before = contents(store)
    facts = examine(store)
    assert contents(store) == before
    assert not facts.is_sound
    assert facts.persisted is None
    assert all(finding.todo for finding in facts.findings)
    with pytest.raises((StorageCorrupt, BadInput)):
        started(store)
    return [str(finding) for finding in facts.findings if finding.is_damage]


def started(store: Path):
    disk = DiskStorage(store, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    try:
        return disk.load()
    finally:
        disk.close()


def test_a_sound_store_is_told_as_a_start_would_load_it(store):
    """Operators decide by these numbers which survivor has most."""
    facts = examine(store)
    assert facts.is_sound
    assert facts.findings == []
    assert (facts.hard_state.term, facts.hard_state.vote, facts.hard_state.commit) == (4, "a", 95)
    assert (facts.last, facts.last_term, facts.snapshot) == (101, 4, (95, 4))
    assert facts.first == facts.segments[0].first > 1
    assert facts.configuration == "voters a, b"
    assert [s.in_force for s in facts.snapshots] == [True, False]
    assert facts.persisted == started(store)
    assert sum(s.entries for s in facts.segments) == facts.last - facts.first + 1


@pytest.mark.parametrize(
    ("first", "limit", "shown"), [(None, 3, [99, 100, 101]), (97, 2, [97, 98]), (99, 9, [99, 100, 101])]
)
def test_entries_are_shown_as_asked(store, first, limit, shown):
    """A log of millions is not printed by accident."""
    facts = examine(store, first, limit)
    assert [entry.index for entry in facts.entries] == shown
    assert {entry.term for entry in facts.entries} == {4}


def test_superseded_entries_are_not_shown(tmp_path, make):
    """What a new leader has overridden is no part of the log any more."""
    disk = DiskStorage(tmp_path / "a", "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    disk.load()
    disk.write([make.write(1, *make.entries(1, 6, 1), state=make.hard(1, "a"))])
    disk.write([make.write(2, *make.entries(3, 4, 2), state=make.hard(2, "b"))])
    disk.close()
    facts = examine(tmp_path / "a", None, 10)
    assert [(entry.index, entry.term) for entry in facts.entries] == [(1, 1), (2, 1), (3, 2), (4, 2)]


def test_a_torn_tail_is_no_damage(store):
    """Every crash may leave one; nothing that was acknowledged is in it."""
    newest = segments(store)[-1]
    used = examine(store).segments[-1].used_bytes
    raw = newest.read_bytes()
    newest.write_bytes(raw[: used - 20] + bytes(len(raw) - used + 20))
    facts = examine(store)
    assert facts.is_sound
    assert [finding.what for finding in facts.findings] == [
        "the last record is cut short: the process or the machine stopped while it was written"
    ]
    assert "mends it by itself" in facts.findings[0].todo
    assert facts.persisted == started(store)


def test_a_flipped_bit_is_named_with_its_file_and_place(store):
    oldest = segments(store)[0]
    flip(oldest, 200)
    (said,) = damages(store)
    assert said.startswith(f"{oldest} at byte")
    assert "checksum" in said


def test_damage_in_several_places_is_all_said(store):
    """Whether one block or half the disk is gone decides what the operator does."""
    flip(segments(store)[0], 200)
    flip(segments(store)[1], 200)
    flip(snapshots(store)[0], 40)
    facts = examine(store)
    assert sum("checksum" in finding.what for finding in facts.findings) == 3


def test_a_missing_segment_is_named(store):
    segments(store)[1].unlink()
    assert any("is missing" in said for said in damages(store))


def test_a_segment_under_another_name_is_noticed(store):
    """A misdirected copy: the numbers inside and outside differ."""
    first, second = segments(store)[:2]
    shutil.copy(first, second)
    assert any("expected" in said for said in damages(store))


def test_a_duplicated_segment_at_the_end_is_noticed(store):
    """The same records twice would undo what came after them."""
    newest = segments(store)[-1]
    shutil.copy(newest, newest.with_name(f"{int(newest.stem) + 1:016d}.wal"))
    assert any("expected" in said for said in damages(store))


def test_the_log_of_another_store_is_noticed(store, tmp_path, make):
    """Two nodes' directories mixed up by hand: these are not our votes."""
    other = DiskStorage(tmp_path / "b", "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    other.load()
    other.write([make.write(1, *make.entries(1, 3), state=make.hard(1, "a"))])
    other.close()
    shutil.rmtree(store / "wal")
    shutil.copytree(tmp_path / "b" / "wal", store / "wal")
    assert any("another store" in said for said in damages(store))


@pytest.mark.parametrize("too", [(), ("snapshots",)])
def test_a_log_that_is_gone_is_noticed(store, too):
    """Also without any snapshot: a start would else begin anew, with all votes forgotten."""
    for name in ("wal", *too):
        shutil.rmtree(store / name)
    assert any("is gone" in said for said in damages(store))


@pytest.mark.parametrize("harm", ["flip", "delete", "cut"])
def test_an_identity_that_is_damaged_is_noticed(store, harm):
    """Without it nobody knows whose votes these are."""
    path = store / "identity.json"
    if harm == "flip":
        flip(path, 30)
    elif harm == "delete":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:20])
    assert any("identity" in said for said in damages(store))


def test_the_kept_snapshot_stands_in_for_the_newest_one(store, make):
    """It costs a longer replay, and no node."""
    older, newest = snapshots(store)
    flip(newest, 40)
    facts = examine(store)
    assert facts.is_sound
    assert "stands in" in facts.findings[0].what
    persisted = started(store)
    assert persisted == facts.persisted
    assert persisted.snapshot == make.snapshot(80, 3)
    assert [entry.index for entry in persisted.entries] == list(range(81, 102))
    assert snapshots(store) == [older]
    assert started(store) == persisted  # and again, though the log still speaks of the newer one


def test_a_missing_newest_snapshot_is_replaced_likewise(store, make):
    snapshots(store)[1].unlink()
    assert started(store).snapshot == make.snapshot(80, 3)


def test_the_kept_snapshot_does_not_stand_in_when_the_log_does_not_lead_on(tmp_path, make):
    """A hole between the two must never be skipped."""
    path = tmp_path / "a"
    disk = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    disk.load()
    disk.write([make.write(1, *make.entries(1, 10), state=make.hard(1, "a"))])
    disk.save_snapshot(make.snapshot(8).meta, [b"sta", b"te"], 8)
    disk.write([make.write(2, snap=make.snapshot(40))])
    disk.close()
    flip(snapshots(path)[1], 40)
    assert any("does not match its checksum" in said for said in damages(path))


def test_an_older_snapshot_that_is_damaged_too_does_not_stand_in(store):
    for path in snapshots(store):
        flip(path, 40)
    assert any("does not match its checksum" in said for said in damages(store))


def test_a_snapshot_that_the_log_does_not_know_is_no_damage(store):
    newest = snapshots(store)[-1]
    shutil.copy(newest, newest.with_name(f"{99:020d}-{4:020d}.snapshot"))
    facts = examine(store)
    assert facts.is_sound
    assert "not in force" in facts.findings[0].what


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_look_and_a_start_agree_about_any_damage(store, data, tmp_path_factory):
    """`sound` means that a node starts, with exactly what was shown; `damaged` means that it refuses."""
    path = tmp_path_factory.mktemp("copy") / "a"
    shutil.copytree(store, path)
    for _ in range(data.draw(st.integers(1, 3))):
        files = [each for each in sorted(path.rglob("*")) if each.is_file() and each.name != "lock"]
        victim = data.draw(st.sampled_from(files))
        raw = bytearray(victim.read_bytes())
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        harm = data.draw(st.sampled_from(["flip", "zero", "cut", "delete"]))
        if harm == "delete":
            victim.unlink()
            continue
        if harm == "flip" and raw:
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif harm == "zero":
            raw[at:] = bytes(len(raw) - at)
        elif harm == "cut":
            del raw[at:]
        victim.write_bytes(raw)
    facts = examine(path)
    found = None
    with contextlib.suppress(StorageCorrupt, BadInput):
        found = started(path)
    if facts.identity is None and found is not None:
        assert found == Persisted()  # of a store without log and identity nothing is left that a start could miss
    else:
        assert facts.is_sound == (found is not None), f"{facts.findings}"
        assert facts.persisted == found


# --- whose directory it is while it is read ---------------------------------------------------------------------------


def test_a_running_nodes_directory_is_refused(store):
    """Its log changes while it is read, and would look torn."""
    disk = DiskStorage(store, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    with pytest.raises(DataDirectoryInUse), read_only(store):
        pass
    disk.close()
    with read_only(store), read_only(store):  # two may look at once
        pass


def test_no_node_starts_on_a_directory_that_is_looked_at(store):
    with read_only(store), pytest.raises(DataDirectoryInUse):
        DiskStorage(store, "test", NodeId("a"))
    started(store)


def test_looking_creates_nothing(tmp_path):
    """A mistyped path must not become a data directory."""
    with pytest.raises(BadInput, match="nothing at that path"), read_only(tmp_path / "typo"):
        pass
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no data directory"), read_only(tmp_path / "empty"):
        pass
    assert list(tmp_path.rglob("*")) == [tmp_path / "empty"]
