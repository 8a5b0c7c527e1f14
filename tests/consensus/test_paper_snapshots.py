"""Raft by the paper, section 7: snapshots instead of a log that grows for ever. One test for each sentence.

Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm (extended version, 2014).
"""

from __future__ import annotations

from zlib import crc32

import pytest

from aether.consensus.messages import AppendEntries, AppendReply, HeartbeatReply, SnapshotChunk
from aether.consensus.quorum import Configuration
from aether.consensus.values import Role


def first_chunk(term=1, *, index=5):
    """Two bytes of four: the snapshot is not whole."""
    return SnapshotChunk(
        term=term,
        index=index,
        snapshot_term=term,
        configuration=Configuration(("a", "b", "c")),
        configuration_index=0,
        offset=0,
        total_bytes=4,
        checksum=0,
        chunk=b"st",
    )


def test_each_server_takes_snapshots_on_its_own(in_role):
    """7: nobody asks the leader, and nobody else's log changes."""
    group = in_role("follower")
    group.propose("b", "x", "y")
    group.stabilize()
    group.snapshot("c")
    assert (group["c"].snapshot_index, group["a"].snapshot_index, group["b"].snapshot_index) == (3, 0, 0)
    group.propose("b", "z")
    group.stabilize()
    assert {group[name].commit_index for name in "abc"} == {4}


def test_a_snapshot_covers_committed_entries_only(in_role):
    """7: what might still be replaced is no part of the state."""
    group = in_role("leader")
    group.propose("a", "x")
    group.take()
    assert group["a"].last_index == 2
    assert group["a"].snapshot_meta().index == group["a"].commit_index == 1


def test_a_snapshot_knows_the_last_entry_that_it_replaces(make_group):
    """7: its index and term, so that the consistency check of the next entry has something to compare with."""
    group = make_group("abc", entries_kept=0)
    group.elect("b")
    group.propose("b", "x")
    group.stabilize()
    group.snapshot("a")
    assert (group["a"].snapshot_meta().index, group["a"].snapshot_meta().term) == (2, 1)
    assert group.log("a") == "nothing"
    group.propose("b", "y")
    (append,) = group.sent(AppendEntries, "b", "a")
    assert (append.prev_index, append.prev_term) == (2, 1)
    group["a"].step("b", append)
    group.drive("a")
    assert group.log("a") == "3/1:y"


def test_a_snapshot_carries_the_configuration_of_its_last_entry(make_group):
    """7: of that index, not of a later one that stands in the log already."""
    group = make_group("abc")
    group.elect("a")
    group.change("a", add="d")
    group.stabilize()
    group.cut = {("a", "b"), ("a", "c")}
    group.change("a", remove="c")
    meta = group["a"].snapshot_meta()
    assert group["a"].configuration.is_joint
    assert (meta.configuration_index, meta.configuration) == (2, Configuration(("a", "b", "c"), learners=("d",)))


def test_when_a_snapshot_is_written_the_log_and_older_snapshots_may_go(make_group):
    """7: and a restart begins with it."""
    group = make_group("abc", entries_kept=0)
    group.elect("a")
    for word in ("x", "y"):
        group.propose("a", word)
        group.stabilize()
        group.snapshot("a")
    assert group.disks["a"].snapshot_index == 3
    group.crash("a")
    core = group.start("a")
    assert (core.snapshot_index, core.applied_index, core.last_index, group.log("a")) == (3, 3, 3, "nothing")


@pytest.mark.parametrize(("kept", "kind"), [(10, AppendEntries), (0, SnapshotChunk)])
def test_a_follower_gets_a_snapshot_only_when_its_next_entry_is_gone(make_group, kept, kind):
    """7: ordinarily it is caught up by the log."""
    group = make_group("abc", entries_kept=kept)
    group.elect("a")
    group.crash("c")
    group.propose("a", "x", "y")
    group.stabilize()
    group.snapshot("a")
    group.start("c")
    carried = []
    for _ in range(3):
        group.tick("a")
        for _ in range(4):
            group.drive("a")
            carried += [type(m) for _, to, m in group.wire if to == "c" and (getattr(m, "entries", True))]
            group.deliver()
    assert group["c"].commit_index == 3
    assert kind in carried
    assert ({AppendEntries, SnapshotChunk} - {kind}).isdisjoint(carried)


def test_each_chunk_is_a_sign_of_life_of_the_leader(in_role):
    """7, figure 13: a long transfer must not end in an election."""
    group = in_role("follower")
    for _ in range(5):
        group.tick("a", 9)
        group["a"].step("b", first_chunk())
    assert group["a"].role is Role.FOLLOWER
    group.tick("a", 20)
    assert group["a"].role is Role.PRE_CANDIDATE


def test_a_chunk_of_an_older_term_is_refused_with_the_present_one(in_role):
    """7, figure 13: at once, so that its sender steps down."""
    group = in_role("follower")
    group["a"].step("c", AppendEntries(term=4, prev_index=0, prev_term=0, commit_index=0))
    group.drive("a")
    group.take()
    group["a"].step("b", first_chunk(term=1))
    assert [m.term for m in group.sent(HeartbeatReply, "a", "b")] == [4]
    assert group["a"].leader == "c"


def test_the_state_machine_begins_anew_with_the_snapshot(make_group):
    """7, figure 13: it is reset to the snapshot, and then applies what follows; nothing of the snapshot again."""
    group = make_group("abc", entries_kept=0)
    group.crash("c")
    group.elect("a")
    group.propose("a", "x", "y")
    group.stabilize()
    group.snapshot("a")
    group.start("c")
    for _ in range(3):
        group.tick("a")
        group.stabilize()
    group.propose("a", "z")
    group.stabilize()
    assert [line for line in group.said if line.startswith("  c restores")] == ["  c restores the snapshot at 3"]
    assert [e.index for e in group.applied["c"]] == [4]


def test_a_snapshot_replaces_the_whole_log_of_a_follower_that_lacks_it(make_group, persisted_with):
    """7: a snapshot that reaches beyond what a follower has takes the place of its whole log."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 1, 1, 2, term=2))
    chunk = SnapshotChunk(
        term=3,
        index=9,
        snapshot_term=3,
        configuration=Configuration(("a", "b", "c")),
        configuration_index=0,
        offset=0,
        total_bytes=2,
        checksum=crc32(b"st"),
        chunk=b"st",
    )
    group["a"].step("b", chunk)
    group.drive("a")
    assert (group["a"].commit_index, group["a"].last_index, group["a"].snapshot_index) == (9, 9, 9)
    assert group.disks["a"].contents[group.disks["a"].snapshot] == b"st"
    assert group.disks["a"]._entries == []
    assert [(m.match_index, m.rejected) for m in group.sent(AppendReply, "a")] == [(9, False)]


def test_a_snapshot_of_a_prefix_keeps_the_entries_behind_it(make_group, persisted_with):
    """7: of a snapshot that covers a part of the log, the entries behind it stay."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 1, 1, term=1))
    chunk = SnapshotChunk(
        term=1,
        index=2,
        snapshot_term=1,
        configuration=Configuration(("a", "b", "c")),
        configuration_index=0,
        offset=0,
        total_bytes=2,
        checksum=crc32(b"st"),
        chunk=b"st",
    )
    group["a"].step("b", chunk)
    group.drive("a")
    assert group.terms("a") == [1, 1, 1]
    assert (group["a"].commit_index, group.disks["a"].snapshot) == (2, None)
