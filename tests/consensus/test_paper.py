"""Raft by the paper, section 7: what a follower does with a snapshot of its leader.

Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm (extended version, 2014).
"""

from __future__ import annotations

from zlib import crc32

from aether.consensus.messages import AppendReply, SnapshotChunk
from aether.consensus.quorum import Configuration


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
