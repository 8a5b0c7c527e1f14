"""Bugs of snapshots that other implementations had, by their numbers in our catalogue: none of them is ours."""

from __future__ import annotations

from zlib import crc32

import pytest
from tests.consensus.simple_disk import stored

from aether.consensus.messages import AppendEntries, AppendReply, SnapshotChunk, SnapshotReply
from aether.consensus.quorum import Configuration
from aether.consensus.values import PartialSnapshot, Role, SnapshotMeta

ABC = Configuration(("a", "b", "c"))


def chunk_of(content: bytes, offset: int = 0, size: int = 1_000, *, index: int = 9, term: int = 3, checksum=None):
    return SnapshotChunk(
        term=term,
        index=index,
        snapshot_term=term,
        configuration=ABC,
        configuration_index=0,
        offset=offset,
        total_bytes=len(content),
        checksum=crc32(content) if checksum is None else checksum,
        chunk=content[offset : offset + size],
    )


def behind(make_group, **settings):
    """a leads; c, back again, needs the snapshot of `state at N`: what a travels with."""
    group = make_group("abc", **{"entries_kept": 0, "snapshot_chunk_bytes": 4, "snapshot_window": 1, **settings})
    group.crash("c")
    group.elect("a")
    group.propose("a", "x")
    group.stabilize()
    group.snapshot("a")
    group.start("c")
    group.tick("a")
    group.deliver("a", "c")  # a heartbeat, and a probe
    group.deliver("c", "a")
    assert group["a"].followers["c"].mode == "snapshot"
    return group


def restores(group, name: str) -> list[str]:
    return [line.strip() for line in group.said if line.startswith(f"  {name} restores")]


# --- B24: a snapshot at a committed or conflicting index --------------------------------------------------------------


@pytest.mark.parametrize("term", [1, 2, 3])
def test_b24_a_snapshot_of_what_is_committed_here_changes_nothing(make_group, persisted_with, term):
    """Whatever its term says: what is committed is right, and the sender only learns how far this node is."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 1, 2, term=3, commit=3))
    group.drive("a")
    for index in (2, 3):
        group["a"].step("b", chunk_of(b"other", index=index, term=term))
        group.drive("a")
    assert group.terms("a") == [1, 1, 2]
    assert (group["a"].snapshot_index, restores(group, "a")) == (0, [])
    assert {m.match_index for m in group.sent(AppendReply, "a", "b")} <= {3}


def test_b24_a_snapshot_replaces_entries_that_conflict_with_it(make_group, persisted_with):
    """They were never committed: not one of them may stand behind the snapshot, on the disk neither."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 1, 1, 1, term=1, commit=1))
    group["a"].step("b", chunk_of(b"state", index=3, term=2))
    group.drive("a")
    assert (group.log("a"), group["a"].last_index, group["a"].commit_index) == ("nothing", 3, 3)
    group.crash("a")
    core = group.start("a")
    assert (core.last_index, core.snapshot_index, group.log("a")) == (3, 3, "nothing")


# --- B25: two snapshots in quick succession ---------------------------------------------------------------------------


def test_b25_a_second_snapshot_waits_until_the_machine_has_the_first(make_group):
    """It takes the machine long. Nothing is applied between the two, and the second is installed once."""
    group = make_group("abc")
    group.slow.add("a")
    group["a"].step("b", chunk_of(b"first", index=5))
    group.drive("a")
    group["a"].step("b", chunk_of(b"second", index=9))
    group["a"].step("b", AppendEntries(term=3, prev_index=9, prev_term=3, commit_index=9))
    group.drive("a")
    assert restores(group, "a") == ["a restores the snapshot at 5"]
    assert group["a"].is_restoring
    first, second = sorted(group.disks["a"].contents, key=lambda each: each.meta.index)
    group["a"].restored(first)
    group.drive("a")
    assert restores(group, "a") == ["a restores the snapshot at 5", "a restores the snapshot at 9"]
    assert (group["a"].applied_index, group["a"].is_restoring) == (5, True)
    group["a"].restored(second)
    group.drive("a")
    assert (group["a"].applied_index, group["a"].is_restoring, group.applied["a"]) == (9, False, [])


def test_b25_a_second_snapshot_in_the_same_breath_is_asked_for_again(make_group):
    """Before storage has the first: the second would take its bytes away."""
    group = make_group("abc")
    group["a"].step("b", chunk_of(b"first", index=5))
    group["a"].step("b", chunk_of(b"second", index=9))
    group.drive("a")
    assert group["a"].snapshot_index == 5
    group["a"].step("b", chunk_of(b"second", index=9))
    group.drive("a")
    assert group["a"].snapshot_index == 9
    assert [group.disks["a"].contents[each] for each in group.disks["a"].contents] == [b"first", b"second"]


def test_b25_a_newer_snapshot_of_the_leader_does_not_disturb_a_transfer(make_group):
    """The follower gets the one that was begun, whole, and goes on with the log."""
    group = behind(make_group)
    first = group["a"].snapshot_index
    for word in ("y", "z"):
        group.propose("a", word)
        for _ in range(3):
            group.deliver("a", "b")
            group.deliver("b", "a")
        group.snapshot("a")
    assert group["a"].snapshot_index == first + 2
    group.stabilize()
    assert restores(group, "c") == [f"c restores the snapshot at {first}"]
    assert group["c"].applied_index == group["a"].applied_index == first + 2


# --- B26: the acknowledgement is lost because installing takes long ---------------------------------------------------


def test_b26_the_word_that_a_snapshot_is_here_names_its_index_and_does_not_wait_for_the_machine(make_group):
    """However long the machine takes: the leader sends entries, and never the snapshot again."""
    group = behind(make_group)
    group.slow.add("c")
    index = group["a"].snapshot_index
    group.stabilize()
    assert group["c"].is_restoring
    assert group["a"].followers["c"][:2] == ("replicate", index)
    group.propose("a", "y")
    for _ in range(50):
        group.tick("a")
        group.stabilize()
    assert (group["c"].last_index, group["c"].applied_index) == (index + 1, 0)
    assert sum("SnapshotChunk" in line and f"index={index} offset=0" in line for line in group.said) == 1
    (snapshot,) = group.disks["c"].contents
    group["c"].restored(snapshot)
    group.drive("c")
    assert group["c"].applied_index == index + 1


def test_b26_a_lost_word_that_a_snapshot_is_here_is_asked_for_again(make_group):
    """What is not acknowledged is sent again, the last chunk; not the snapshot."""
    group = behind(make_group)
    index = group["a"].snapshot_index
    while group["c"].snapshot_index < index:
        group.deliver("a", "c")
        lost = group.take("c", "a")
        group.wire = [m for m in lost if not isinstance(m[2], AppendReply)] + group.wire
        group.deliver("c", "a")
    group.said.clear()
    for _ in range(4):
        group.tick("a")
        group.stabilize()
    assert group["a"].followers["c"][:2] == ("replicate", index)
    assert [line.strip() for line in group.said if "SnapshotChunk" in line] == [
        f"a>c SnapshotChunk term=1 index={index} offset=8"
    ]


# --- B27: one snapshot after the other without end --------------------------------------------------------------------


def test_b27_the_log_behind_a_travelling_snapshot_is_kept(make_group):
    """The leader takes snapshots all the time, and the transfer takes long: one snapshot is enough all the same."""
    group = behind(make_group)
    first = group["a"].snapshot_index
    for number in range(30):
        group.propose("a", f"w{number}")
        group.deliver("a", "b")
        group.deliver("b", "a")
        group.drive("a")
        group.snapshot("a")
        if number % 5 == 0:  # a slow link
            group.deliver("a", "c")
            group.deliver("c", "a")
    group.stabilize()
    group.tick("a")
    group.stabilize()
    assert restores(group, "c") == [f"c restores the snapshot at {first}"]
    assert group["c"].last_index == group["a"].last_index == first + 30


def test_b27_what_is_kept_for_a_transfer_has_a_limit(make_group):
    """Memory is no price for it: beyond the limit the log goes, and the follower needs a second snapshot."""
    group = behind(make_group, held_bytes_max=300)
    first = group["a"].snapshot_index
    for number in range(12):
        group.propose("a", f"w{number}" * 20)
        group.deliver("a", "b")
        group.deliver("b", "a")
        group.drive("a")
        group.snapshot("a")
        kept = sum(len(entry.encoded) for entry in group["a"]._log.entries())
        assert kept <= 300 + 100, "one entry more than the limit, at most"
    for _ in range(3):
        group.stabilize()
        group.tick("a")
    group.stabilize()
    assert len(restores(group, "c")) == 2
    assert group["c"].applied_index == group["a"].applied_index == first + 12


def test_b27_a_slow_link_is_not_filled_with_the_same_chunks(make_group):
    """Each chunk takes ten heartbeats. It is sent again once or twice until the leader knows; then never."""
    group = behind(make_group, snapshot_chunk_bytes=1)
    link = []
    sent = rounds = 0
    while group["c"].snapshot_index == 0:
        group.tick("a")
        group.drive("a")
        chunks = [m for m in group.wire if isinstance(m[2], SnapshotChunk)]
        group.wire = [m for m in group.wire if not isinstance(m[2], SnapshotChunk)]
        sent, rounds = sent + len(chunks), rounds + 1
        link += chunks
        if rounds % 10 == 0 and link:
            group.wire.append(link.pop(0))
        for _ in range(2):
            group.deliver()
    whole = len(b"state at 2")
    assert whole <= sent <= whole + 5
    assert rounds <= 10 * (whole + 6)


# --- B28: a trigger that is lost (the service's part is in test_snapshot_service) -------------------------------------


def test_b28_a_snapshot_that_failed_is_no_reason_to_keep_the_log_for_ever(make_group):
    """What the core is told of in the end counts, in whatever order: an older one changes nothing."""
    group = make_group("abc", entries_kept=0)
    group.elect("a")
    group.propose("a", "x")
    group.stabilize()
    group.snapshot("a")
    older = group.disks["a"].snapshot
    group.propose("a", "y")
    group.stabilize()
    group.snapshot("a")
    group["a"].compacted(older)
    assert (group["a"].snapshot_index, group["a"]._snapshot.meta.index) == (3, 3)


# --- going on where it stopped ----------------------------------------------------------------------------------------


def test_a_transfer_goes_on_after_a_restart_of_the_follower(make_group):
    """A large state over a slow link must not begin anew with each restart."""
    group = behind(make_group)
    for _ in range(2):
        group.deliver("a", "c")
        group.deliver("c", "a")
    assert len(group.disks["c"].arriving[1]) == 8
    group.crash("c")
    group.start("c")
    group["a"].peer_closed("c")
    group.said.clear()
    group.stabilize()
    assert restores(group, "c") == [f"c restores the snapshot at {group['a'].snapshot_index}"]
    assert not any("SnapshotChunk" in line and "offset=0" in line for line in group.said)


def test_another_leader_goes_on_with_the_same_snapshot(make_group):
    """Nodes with the same state write the same bytes: who sends them does not matter."""
    content = b"the same state"
    group = make_group("abc")
    group["a"].step("b", chunk_of(content, 0, 6))
    group.drive("a")
    group["a"].step("c", chunk_of(content, 0, 6, term=3))
    group.drive("a")
    assert [m.offset for m in group.sent(SnapshotReply, "a", "c")] == [6]
    group["a"].step("c", chunk_of(content, 6))
    group.drive("a")
    assert group.disks["a"].contents[group.disks["a"].snapshot] == content


def test_another_snapshot_begins_anew(make_group):
    """Of the same length at the same index, and still another one."""
    group = make_group("abc")
    group["a"].step("b", chunk_of(b"abcdef", 0, 3))
    group["a"].step("b", chunk_of(b"ABCDEF", 3, 3))
    group.drive("a")
    assert [m.offset for m in group.sent(SnapshotReply, "a", "b")] == [3, 0]
    group["a"].step("b", chunk_of(b"ABCDEF", 0, 6))
    group.drive("a")
    assert group.disks["a"].contents[group.disks["a"].snapshot] == b"ABCDEF"


def test_bytes_that_do_not_match_the_checksum_are_fetched_anew(make_group):
    """What a partial file lost in a power cut, or a rotten disk sent, never reaches the machine."""
    group = make_group("abc")
    wrong = chunk_of(b"rotten", checksum=crc32(b"state!"))
    group["a"].step("b", wrong)
    group.drive("a")
    assert [m.offset for m in group.sent(SnapshotReply, "a", "b")] == [0]
    assert group["a"].snapshot_index == 0
    group["a"].step("b", chunk_of(b"state!"))
    group.drive("a")
    assert group.disks["a"].contents[group.disks["a"].snapshot] == b"state!"


def test_a_piece_is_acknowledged_when_storage_has_it(make_group):
    """Acknowledged and lost, it would be missing for ever: its sender goes on behind it."""
    group = make_group("abc")
    group.held.add("a")
    group["a"].step("b", chunk_of(b"abcdef", 0, 3))
    group.drive("a")
    assert group.sent(SnapshotReply, "a", "b") == []
    group.persist("a")
    group.drive("a")
    assert [m.offset for m in group.sent(SnapshotReply, "a", "b")] == [3]


def test_a_snapshot_that_had_arrived_when_the_node_died_needs_one_word(make_group):
    """All bytes are in the partial file, but not under their final name."""
    group = make_group("abc")
    group.crash("a")
    content = b"abcdef"
    whole = chunk_of(content)
    snapshot = stored(SnapshotMeta(whole.index, whole.snapshot_term, ABC, 0), content)
    group.disks["a"].arriving = (snapshot, content)
    assert group.disks["a"].load().partial == PartialSnapshot(snapshot, 6, crc32(content))
    group.start("a")
    group["a"].step("b", chunk_of(content, 0, 2))
    group.drive("a")
    assert group["a"].snapshot_index == 9
    assert group.disks["a"].contents[group.disks["a"].snapshot] == content


def test_a_snapshot_that_storage_lost_is_replaced_by_the_newest(make_group):
    """The transfer begins anew, at the next sign of life, and ends."""
    group = behind(make_group)
    group.disks["a"].contents.clear()
    group["a"].snapshot_gone(group["a"]._snapshot)
    assert group["a"].followers["c"].mode == "probe"
    group.propose("a", "y")
    for _ in range(3):
        group.deliver("a", "b")
        group.deliver("b", "a")
    group.snapshot("a")
    group.tick("a")
    group.stabilize()
    assert group["c"].applied_index == group["a"].applied_index == 3
    assert group["a"].role is Role.LEADER


def test_a_node_that_restores_does_not_campaign(make_group):
    """Its machine could not answer for what is committed."""
    group = make_group("abc")
    group.slow.add("a")
    group["a"].step("b", chunk_of(b"state"))
    group.drive("a")
    group.tick("a", 40)
    assert group["a"].role is Role.FOLLOWER


def test_a_chunk_that_was_overtaken_is_sent_again_at_once(make_group):
    """Waiting for heartbeats would cost seconds for each, on a network that does not keep the order."""
    group = make_group("abc", entries_kept=0, snapshot_chunk_bytes=4, snapshot_window=3)
    group.crash("b")
    group.elect("a")
    group.propose("a", "x", "y")
    group.stabilize()
    group.snapshot("a")
    group.start("b")
    group.tick("a")
    group.deliver("a", "b")
    group.deliver("b", "a")
    group.drive("a")
    chunks = [item for item in group.take("a", "b") if isinstance(item[2], SnapshotChunk)]
    assert [message.offset for _, _, message in chunks] == [0, 4, 8]
    group.wire += [chunks[0], chunks[2]]
    group.deliver("a", "b")
    replies = [message for _, _, message in group.wire if isinstance(message, SnapshotReply)]
    assert [(reply.offset, reply.gap) for reply in replies] == [(4, False), (4, True)]
    group.deliver("b", "a")
    group.drive("a")
    sent = [message.offset for _, to, message in group.wire if to == "b" and isinstance(message, SnapshotChunk)]
    assert sent.count(4) == 1
    group.stabilize()
    assert group["b"].commit_index == group["a"].commit_index, "without another tick"
