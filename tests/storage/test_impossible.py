"""States that no correct node can have left behind are refused, with what is wrong and what to do."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from aether.consensus.config import RaftConfig
from aether.consensus.restart import check_persisted
from aether.consensus.values import Persisted
from aether.errors import BadInput, StorageCorrupt
from aether.model.ids import NodeId
from aether.storage.disk import DiskStorage
from aether.storage.examination import examine

SEGMENT_BYTES = 4096


@pytest.fixture
def written(tmp_path):
    """Write steps to a new store as they are: nothing is checked on the way in. Its directory."""

    def write(*steps) -> Path:
        path = tmp_path / "a"
        disk = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
        disk.load()
        for step in steps:
            if isinstance(step, tuple):
                disk.save_snapshot(*step)
            else:
                disk.write([step])
        disk.close()
        return path

    return write


def load(path: Path) -> Persisted:
    """As a node does: what the store gives, and what the core makes of it."""
    disk = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    try:
        persisted = disk.load()
    finally:
        disk.close()
    check_persisted(RaftConfig(node=NodeId("a"), voters=(NodeId("a"),), random=random.Random(0)), persisted)
    return persisted


def refused(path: Path, says: str) -> None:
    """By a start and by a look alike, and both say what to do."""
    with pytest.raises((StorageCorrupt, BadInput), match=says) as caught:
        load(path)
    assert "add it anew, under a new id" in str(caught.value)
    facts = examine(path)
    assert [finding.what for finding in facts.findings if says in finding.what]
    assert all("keep a copy" in finding.todo for finding in facts.findings if finding.is_damage)


def test_a_commit_index_beyond_the_log(written, make):
    """Entries that were committed are gone: the node would acknowledge what it no longer has."""
    refused(written(make.write(1, *make.entries(1, 3), state=make.hard(1, "a", 9))), "beyond the last entry")


def test_a_gap_between_entries(written, make):
    steps = make.write(1, *make.entries(1, 3), state=make.hard(1)), make.write(2, *make.entries(6, 7))
    refused(written(*steps), "entry 6 follows entry 3")


def test_a_gap_inside_one_record(written, make):
    refused(written(make.write(1, make.entry(1), make.entry(3), state=make.hard(1))), "not consecutive")


def test_a_log_that_does_not_begin_where_the_snapshot_ends(written, make):
    steps = make.write(1, snap=make.snapshot(10), state=make.hard(1)), make.write(2, *make.entries(13, 14))
    refused(written(*steps), "entry 13 follows the snapshot at 10")


def test_a_term_that_falls(written, make):
    """A write was lost, or came from elsewhere: the vote of the higher term may be forgotten."""
    steps = make.write(1, make.entry(1), state=make.hard(5, "b")), make.write(2, state=make.hard(4, "b"))
    refused(written(*steps), "the term falls from 5 to 4")


@pytest.mark.parametrize("second", ["c", None])
def test_two_votes_in_one_term(written, make, second):
    """The one thing that a voter must never do."""
    steps = make.write(1, make.entry(1), state=make.hard(5, "b")), make.write(2, state=make.hard(5, second))
    refused(written(*steps), "two votes in term 5")


def test_entries_whose_terms_fall(written, make):
    steps = make.write(1, *make.entries(1, 3, 4), state=make.hard(4)), make.write(2, make.entry(4, 3))
    refused(written(*steps), "entry 4 has term 3 after one of term 4")


def test_an_entry_of_a_term_that_never_was(written, make):
    refused(written(make.write(1, make.entry(1, 9), state=make.hard(2))), "has term 9, but the stored term is 2")


def test_a_local_snapshot_ahead_of_the_log(written, make):
    """It is made of applied entries, and these are durable before: the log has lost some."""
    steps = make.write(1, *make.entries(1, 5), state=make.hard(1)), (make.snapshot(9).meta, [b"state"], 1)
    refused(written(*steps), "the log before it ends at 5")


def test_a_snapshot_of_another_history(written, make):
    """The state and the log behind it would belong to two different pasts."""
    steps = make.write(1, *make.entries(1, 5, 2), state=make.hard(3)), (make.snapshot(4, 3).meta, [b"state"], 1)
    refused(written(*steps), "but that entry has term 2")


def test_what_a_new_leader_overrides_is_possible(written, make):
    """The rules above refuse no honest history."""
    path = written(
        make.write(1, *make.entries(1, 5, 2), state=make.hard(2, "b", 2)),
        make.write(2, *make.entries(4, 6, 3), state=make.hard(3, None, 3)),
        make.write(3, state=make.hard(3, "a", 3)),
        (make.snapshot(5, 3).meta, [b"state"], 4),
        make.write(4, snap=make.snapshot(20, 4), state=make.hard(4, None, 20)),
        make.write(5, *make.entries(21, 22, 4)),
    )
    assert load(path) == Persisted(make.hard(4, None, 20), make.snapshot(20, 4), make.entries(21, 22, 4))
    assert examine(path).is_sound


# --- never two votes in a term ----------------------------------------------------------------------------------------


def test_a_vote_whose_record_lost_any_bit_is_never_forgotten(tmp_path, make):
    """A node that starts with an older vote could vote twice in one term: it is refused, or the vote stands."""
    path = tmp_path / "a"
    disk = DiskStorage(path, "test", NodeId("a"), segment_bytes=SEGMENT_BYTES)
    disk.load()
    disk.write([make.write(1, *make.entries(1, 3), state=make.hard(1, "a"))])
    start = disk._wal._offset
    disk.write([make.write(2, state=make.hard(7, "b", 2))])
    end = disk._wal._offset
    disk.close()
    (segment,) = (path / "wal").iterdir()
    raw = segment.read_bytes()
    outcomes = {"refused": 0, "stands": 0}
    for at in range(start, end):
        for bit in range(8):
            flipped = bytearray(raw)
            flipped[at] ^= 1 << bit
            segment.write_bytes(flipped)
            try:
                assert load(path).hard_state == make.hard(7, "b", 2), f"bit {bit} of byte {at}"
                outcomes["stands"] += 1
            except StorageCorrupt:
                outcomes["refused"] += 1
    assert outcomes["refused"] + outcomes["stands"] == 8 * (end - start)
    assert outcomes["refused"] > outcomes["stands"]
