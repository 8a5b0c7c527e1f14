"""What the paper leaves open: limits, restarts, slow disks, prompt failover, flow control."""

from __future__ import annotations

import random
from zlib import crc32

import pytest

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.entry import EntryKind, new_entry
from aether.consensus.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    SnapshotChunk,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from aether.consensus.quorum import Configuration
from aether.consensus.values import HardState, Persisted, Role, SnapshotMeta, StoredSnapshot
from aether.errors import BadInput, NotLeader, Overloaded

VOTERS = ("a", "b", "c")


def start(persisted, voters=VOTERS):
    return RaftCore(RaftConfig(node="a", voters=voters, random=random.Random(0)), persisted)


def snapshot_at(index, term=1, voters=VOTERS):
    return StoredSnapshot(SnapshotMeta(index, term, Configuration(voters)), 5, 7)


def sent(group, kind, sender=None, to=None):
    return [message for _, _, message in group.take(sender, to) if isinstance(message, kind)]


# --- restart ----------------------------------------------------------------------------------------------------------


def test_a_node_continues_where_its_store_ended(make_group, persisted_with):
    """Term, vote, log and commit index are all that a restart needs."""
    group = make_group("abc")
    core = group.start("a", persisted_with(1, 1, 2, term=4, vote="c", commit=2))
    group.drive("a")
    assert (core.term, core.last_index, core.commit_index, core.role) == (4, 3, 2, Role.FOLLOWER)
    assert [e.index for e in group.applied["a"]] == [1, 2]


def test_a_store_may_keep_a_tail_before_the_end_of_its_snapshot(entries_of):
    """Entries kept for laggards survive a restart and are not applied again."""
    core = start(Persisted(HardState(2, None, 3), snapshot_at(3, 1), entries_of(1, 1, 2, start=2)))
    assert (core.snapshot_index, core.applied_index, core.last_index, core.commit_index) == (3, 3, 4, 3)
    assert core.ready() is None
    core.check()


def entries(*pairs):
    return tuple(new_entry(index, term, EntryKind.COMMAND, b"") for index, term in pairs)


@pytest.mark.parametrize(
    ("persisted", "why"),
    [
        (Persisted(HardState(1, None, 3), None, entries((1, 1))), "commit index 3 lies beyond the last entry, 1"),
        (Persisted(HardState(0, "b")), "a vote for b in term 0"),
        (Persisted(HardState(-1)), "must not be negative"),
        (Persisted(HardState(2), None, entries((2, 1))), "the log starts at 2, but the snapshot ends at 0"),
        (Persisted(HardState(2), snapshot_at(3), entries((5, 1))), "the log starts at 5, but the snapshot ends at 3"),
        (Persisted(HardState(2), snapshot_at(3), entries((1, 1))), "the log ends at 1, before the snapshot ends, at 3"),
        (Persisted(HardState(2), None, entries((1, 1), (3, 1))), "entry 3 stands where 2 belongs"),
        (Persisted(HardState(2), None, entries((1, 2), (2, 1))), "entry 2 has term 1 after one of term 2"),
        (Persisted(HardState(1), None, entries((1, 2))), "has term 2, but the stored term is 1"),
        (Persisted(HardState(1), snapshot_at(3, 2)), "the snapshot has term 2, but the stored term is 1"),
        (Persisted(HardState(2), snapshot_at(1, 2), entries((1, 1))), "has term 1, but the snapshot says 2"),
        (Persisted(HardState(2), snapshot_at(0, 1)), "both count from 1"),
        (Persisted(HardState(1), snapshot_at(3, 1, ())), "without voters"),
    ],
)
def test_an_impossible_store_is_refused_with_a_next_step(persisted, why):
    """Starting from it could lose acknowledged writes; the operator must decide."""
    with pytest.raises(BadInput, match=why) as refused:
        start(persisted)
    assert "add it anew, under a new id" in str(refused.value)  # the old one never comes back


@pytest.mark.parametrize("voters", [("b", "c"), ("a", "a")])
def test_contradicting_settings_are_refused(voters):
    """A node that does not vote for itself, or a voter listed twice, breaks the arithmetic of majorities."""
    with pytest.raises(BadInput, match="consensus cannot start"):
        start(Persisted(), voters)


def test_an_election_takes_longer_than_a_heartbeat():
    """Otherwise every pause would depose the leader."""
    with pytest.raises(BadInput, match="heartbeat_ticks"):
        RaftConfig(node="a", voters=("a",), random=random.Random(0), heartbeat_ticks=10)


def test_a_leader_serves_at_least_one_learner_itself():
    """Only it has snapshots for them."""
    with pytest.raises(BadInput, match="workers_direct_max"):
        RaftConfig(node="a", voters=("a",), random=random.Random(0), workers_direct_max=0)


# --- proposals --------------------------------------------------------------------------------------------------------


def test_b37_uncommitted_bytes_have_a_limit_and_a_refusal_takes_nothing(make_group):
    """A leader cut off from its majority must not fill its memory."""
    group = make_group("abc", uncommitted_bytes_max=300)
    group.elect("a")
    group.propose("a", "x" * 200)
    with pytest.raises(Overloaded, match="300"):
        group["a"].propose([b"y" * 60, b"z" * 60])
    assert group["a"].last_index == 2
    group.stabilize()
    group.propose("a", "y")
    group.stabilize()
    assert group["b"].commit_index == 3


def test_one_large_proposal_passes_an_idle_log(make_group):
    """A limit below one proposal would refuse it for ever."""
    group = make_group("abc", uncommitted_bytes_max=10)
    group.elect("a")
    group.propose("a", "x" * 100)
    group.stabilize()
    assert group["c"].commit_index == 2


def test_a_proposal_longer_than_allowed_is_bad_input(make_group):
    """It could not travel in one message."""
    group = make_group("abc", proposal_bytes_max=10)
    group.elect("a")
    with pytest.raises(BadInput, match="a proposal of 11 bytes"):
        group["a"].propose([b"x" * 11])


def test_a_batch_of_proposals_is_one_write_and_one_message_per_peer(make_group):
    """Throughput comes from batches: work per batch, not per entry."""
    group = make_group("abc")
    core = group.elect("a")
    core.propose([b"x"] * 50)
    core.propose([b"y"] * 50)
    ready = core.ready()
    assert len(ready.write.entries) == 100
    assert [len(m.entries) for _, m in ready.messages] == [100, 100]
    assert ready.messages[0][1].entries[0].encoded is ready.write.entries[0].encoded
    assert core.ready() is None


# --- flow control -----------------------------------------------------------------------------------------------------


def test_appends_are_pipelined_up_to_a_window(make_group):
    """Many at once, without waiting for each answer, but boundedly many."""
    group = make_group("abc", inflight_appends_max=3, append_bytes_max=1)
    group.elect("a")
    group.propose("a", *"uvwxyz")
    assert len(sent(group, AppendEntries, "a", "b")) == 3
    group["a"].step("b", AppendReply(term=1, match_index=3))
    group.drive("a")
    assert len(sent(group, AppendEntries, "a", "b")) == 2


def test_what_is_on_its_way_is_limited_in_bytes_as_well(make_group):
    """A window of large entries would overflow the queue of its lane, which drops the oldest: all behind is in vain."""
    group = make_group("abc", append_bytes_max=1, inflight_bytes_max=100)
    group.elect("a")
    group.propose("a", *["x" * 30] * 9)
    first = sent(group, AppendEntries, "a", "b")
    in_bytes = [sum(len(entry.encoded) for entry in message.entries) for message in first]
    assert sum(in_bytes) >= 100 > sum(in_bytes[:-1])

    group["a"].step("b", AppendReply(term=1, match_index=2))
    group.drive("a")
    assert len(sent(group, AppendEntries, "a", "b")) == 1


def test_a_full_window_of_bytes_that_is_lost_is_sent_again(make_group):
    """As one that is full of messages."""
    group = make_group("abc", append_bytes_max=1, inflight_bytes_max=100)
    group.elect("a")
    group.propose("a", *["x" * 30] * 9)
    group.take("a", "b")
    for _ in range(4):
        group.tick("a")
        group.stabilize()
    assert group["b"].commit_index == 10


def test_an_append_holds_as_many_bytes_as_allowed(make_group):
    """One frame must never exceed its cap."""
    group = make_group("abc", append_bytes_max=100)
    group.elect("a")
    group.propose("a", *["x" * 20] * 20)
    messages = sent(group, AppendEntries, "a", "b")
    assert sum(len(m.entries) for m in messages) == 20
    assert all(sum(len(e.encoded) for e in m.entries) <= 100 for m in messages)


def test_b38_a_window_lost_as_a_whole_is_sent_again_after_a_heartbeat(make_group):
    """Nothing else would ever tell the leader that nothing arrived (a known stall of real implementations)."""
    group = make_group("abc", inflight_appends_max=3, append_bytes_max=1)
    group.elect("a")
    group.propose("a", *"uvwxyz")
    group.take("a", "b")
    for _ in range(3):
        group.tick("a")
        group.stabilize()
    assert group["b"].commit_index == 7


def test_an_acknowledgement_never_moves_backwards(make_group):
    """Late and doubled acknowledgements arrive in any order."""
    group = make_group("abc")
    group.elect("a")
    group.propose("a", "x", "y")
    for match in (3, 2, 3, 1):
        group["a"].step("b", AppendReply(term=1, match_index=match))
        group.drive("a")
        assert group["a"]._leadership.replication.describe()["b"][1] == 3


def test_an_acknowledgement_of_more_than_was_sent_is_not_believed(make_group):
    """One broken peer must neither commit what nobody holds nor stop the leader."""
    group = make_group("abc")
    group.elect("a")
    group["a"].step("b", AppendReply(term=1, match_index=99))
    group.drive("a")
    group["a"].check()
    assert group["a"].commit_index == 1


def test_a_late_rejection_does_not_undo_what_is_known(make_group):
    """A rejected probe that arrives after its success must not send the leader back (next stays above match)."""
    group = make_group("abc")
    group.elect("a")
    group.propose("a", "x")
    group.stabilize()
    group["a"].step("b", AppendReply(term=1, match_index=1, rejected=True))
    group.drive("a")
    group["a"].check()
    assert group["a"]._leadership.replication.describe()["b"][:3] == ("replicate", 2, 3)


# --- snapshots and compaction -----------------------------------------------------------------------------------------


def test_compaction_keeps_entries_for_followers_that_lag_a_little(make_group):
    """A short pause must not cost a whole snapshot."""
    group = make_group("abc", entries_kept=2)
    group.elect("a")
    group.propose("a", *"vwxyz")
    group.stabilize()
    group.snapshot("a")
    assert [e.index for e in group["a"]._log.entries()] == [5, 6]
    assert group["a"].snapshot_index == 6
    group.start("a")
    assert group["a"].snapshot_index == 6


def test_the_log_stays_while_a_snapshot_travels(make_group):
    """Compacting away what must follow a travelling snapshot means snapshots without end."""
    group = make_group("abc", entries_kept=0, snapshot_chunk_bytes=4, snapshot_window=1)
    group.crash("c")
    group.elect("a")
    group.propose("a", "x")
    group.stabilize()
    group.snapshot("a")
    group.start("c")
    group.tick("a")
    for _ in range(3):
        group.deliver()
    assert group["a"]._leadership.replication.describe()["c"][0] == "snapshot"
    group.propose("a", "y")
    group.deliver("a", "b")
    group.deliver("b", "a")
    group.drive("a")
    group.snapshot("a")
    assert group["a"].snapshot_index == 3
    assert [e.index for e in group["a"]._log.entries()] == [3]
    group.stabilize()
    assert group["c"].last_index == 3
    assert sum("restores" in line and line.strip().startswith("c") for line in group.said) == 1


def test_a_snapshot_of_a_silent_peer_is_not_sent(make_group):
    """Megabytes into the void, again and again, would starve the others."""
    group = make_group("abc", entries_kept=0)
    group.elect("a")
    for name in "uvw":
        group.propose("a", name)
        for _ in range(8):
            group.tick("a")
            group.take("a", "c")
            group.deliver("a", "b")
            group.deliver("b", "a")
    group.snapshot("a")
    group["a"].peer_closed("c")  # so late that all it lacks is compacted
    group.drive("a")
    assert group["a"].role is Role.LEADER
    assert not sent(group, SnapshotChunk, "a", "c")

    group["a"].step("c", HeartbeatReply(term=1, round=24))
    group.drive("a")
    assert sent(group, SnapshotChunk, "a", "c"), "it lives"


def test_chunks_arrive_once_each_in_any_order_and_number(make_group):
    """Duplicates and gaps must neither corrupt nor stop the snapshot."""
    core = make_group("abc")["a"]
    data = bytes(range(10))

    def chunk(offset, size=4):
        return SnapshotChunk(
            term=1,
            index=5,
            snapshot_term=1,
            configuration=Configuration(VOTERS),
            configuration_index=0,
            offset=offset,
            total_bytes=10,
            checksum=crc32(data),
            chunk=data[offset : offset + size],
        )

    for offset in (4, 0, 0, 8, 4, 4):
        core.step("b", chunk(offset))
    assert core.snapshot_index == 0
    core.step("b", chunk(8))
    assert core.snapshot_index == 5
    write = core.ready().write
    assert b"".join(part.chunk for part in write.parts) == data
    assert [part.offset for part in write.parts] == [0, 4, 8]
    assert (write.snapshot.meta.index, write.snapshot.total_bytes) == (5, 10)


def test_a_snapshot_too_large_to_collect_is_ignored(make_group):
    """Nothing buffers without a bound, not even for the leader."""
    core = make_group("abc", snapshot_bytes_max=8)["a"]
    message = SnapshotChunk(
        term=1,
        index=5,
        snapshot_term=1,
        configuration=Configuration(VOTERS),
        configuration_index=0,
        offset=0,
        total_bytes=9,
        checksum=crc32(b"123456789"),
        chunk=b"123456789",
    )
    core.step("b", message)
    assert core.snapshot_index == 0


# --- disks ------------------------------------------------------------------------------------------------------------


def test_b32_a_leader_whose_disk_hangs_steps_down(make_group):
    """Its heartbeats would keep a leader alive that can store nothing."""
    group = make_group("abc")
    group.elect("a")
    group.held.add("a")
    group.propose("a", "x")
    for _ in range(22):
        group.tick("a")
        group.stabilize()
    assert group["a"].role is Role.FOLLOWER


def test_writes_may_be_acknowledged_several_at_once(make_group):
    """Group commit: the number of the last write stands for all before it."""
    group = make_group("a")
    core = group["a"]
    group.drive("a")
    group.held.add("a")
    for payload in "xyz":
        group.propose("a", payload)
    assert core.commit_index == 1
    group.persist("a")
    group.drive("a")
    assert core.commit_index == 4


def test_a_write_that_was_never_handed_out_cannot_be_durable(make_group):
    """A driver that mixes up numbers would release promises early."""
    with pytest.raises(AssertionError, match="never handed out"):
        make_group("abc")["a"].persisted(7)


# --- elections beyond the paper ---------------------------------------------------------------------------------------


def test_b17_replies_of_an_earlier_campaign_do_not_count(make_group):
    """A grant that was late for one pre-vote must not decide a later one."""
    group = make_group("abc")
    group.campaign("a")
    group.campaign("a")
    group["a"].step("b", VoteReply(term=0, granted=True, pre=True, campaign=1))
    assert group["a"].role is Role.PRE_CANDIDATE
    group["a"].step("b", VoteReply(term=0, granted=True, pre=True, campaign=2))
    assert group["a"].role is Role.CANDIDATE


def test_a_pre_vote_changes_nothing_at_the_voter(make_group):
    """Asking is not voting: several may be told yes."""
    group = make_group("abc")
    for candidate in "bc":
        group["a"].step(candidate, VoteRequest(term=1, last_index=0, last_term=0, pre=True))
    assert [m.granted for m in sent(group, VoteReply, "a")] == [True, True]
    assert (group["a"].term, group["a"]._vote) == (0, None)


def test_a_restarted_leader_may_be_elected_again_at_once(make_group):
    """Followers that still believe in it must not refuse itself: it asks, so it leads no more."""
    group = make_group("abc")
    group.elect("a")
    group.crash("a")
    group.start("a")
    group.elect("a")
    assert group["a"].term == 2


def test_the_failover_after_a_closed_connection_needs_no_tick(make_group):
    """When the leader's process ends, its kernel says so: nobody waits for a time-out."""
    group = make_group("abc")
    group.elect("a")
    group.crash("a")
    for name in "bc":
        group[name].peer_closed("a")
    group.stabilize()
    assert {group["b"].leader, group["c"].leader} == {"c"}


def test_a_closed_connection_of_a_follower_or_a_stranger_starts_no_election(make_group):
    """Only the leader's end matters."""
    group = make_group("abc")
    group.elect("a")
    for at, peer in (("b", "c"), ("a", "b"), ("b", "nobody")):
        group[at].peer_closed(peer)
    group.stabilize()
    assert (group["a"].role, group["a"].term) == (Role.LEADER, 1)


def test_leadership_moves_on_request_even_though_the_leader_lives(make_group):
    """A rolling restart hands over first, so that nobody waits for an election time-out."""
    group = make_group("abc")
    group.elect("a")
    group["a"].transfer("c")
    with pytest.raises(NotLeader, match="try c"):
        group["a"].propose([b"x"])
    group.stabilize()
    assert (group["c"].role, group["a"].leader) == (Role.LEADER, "c")


def test_a_transfer_to_a_dead_node_is_given_up(make_group):
    """Refusing proposals for ever would be worse than not moving."""
    group = make_group("abc")
    group.elect("a")
    group.crash("c")
    group["a"].transfer("c")
    for _ in range(10):
        group.tick("a")
        group.stabilize()
    group.propose("a", "x")
    assert group["a"].role is Role.LEADER


def test_a_transfer_needs_another_voter(make_group):
    """The message lists who can lead."""
    group = make_group("abc")
    group.elect("a")
    with pytest.raises(BadInput, match="choose one of b, c"):
        group["a"].transfer("a")
    with pytest.raises(NotLeader):
        group["b"].transfer("c")


def test_an_old_timeout_now_is_harmless(make_group):
    """A transfer that was given up may still arrive."""
    group = make_group("abc")
    group.elect("a")
    group["b"].step("a", TimeoutNow(term=1))
    group.stabilize()
    assert group["b"].role is Role.LEADER
    group["a"].step("b", TimeoutNow(term=1))
    group.stabilize()
    assert (group["b"].role, group["a"].role) == (Role.LEADER, Role.FOLLOWER)


def test_only_the_leader_may_hand_over(make_group):
    """A stray word of another follower must not depose a healthy leader."""
    group = make_group("abc")
    group.elect("a")
    group["b"].step("c", TimeoutNow(term=1))
    group.stabilize()
    assert (group["a"].role, group["b"].role) == (Role.LEADER, Role.FOLLOWER)


@pytest.mark.parametrize(
    "answer",
    [
        VoteReply(term=9, granted=True),
        AppendReply(term=9, match_index=1),
        HeartbeatReply(term=9),
        SnapshotReply(term=9, index=1, offset=0),
    ],
)
def test_answers_of_strangers_count_for_nothing(make_group, answer):
    """A removed member must neither vote nor end a leadership by its term."""
    core = make_group("abc")["a"]
    core.step("x", answer)
    core.step("a", Heartbeat(term=9, commit_index=0))
    assert (core.term, core.ready()) == (0, None)


def test_a_leader_that_joined_later_is_obeyed(make_group):
    """Whoever lags does not know the newest members, and can only learn of them from one of them."""
    group = make_group("abc")
    group["a"].step("x", AppendEntries(term=9, prev_index=0, prev_term=0, commit_index=0))
    assert (group["a"].term, group["a"].leader) == (9, "x")


def test_quorum_is_active_while_a_majority_answers(make_group):
    """Status pages and readiness ask this; it must turn false without traffic."""
    group = make_group("abc")
    assert not group["a"].quorum_active()
    group.elect("a")
    assert group["a"].quorum_active()
    assert group["b"].quorum_active()
    group.tick("b", 9)
    assert group["b"].quorum_active()
    group.tick("b", 11)
    assert not group["b"].quorum_active()


def test_two_groups_with_one_seed_behave_alike(make_group):
    """The simulator replays: nothing but the injected randomness may decide."""
    one, two = make_group("abc"), make_group("abc")
    for group in (one, two):
        for _ in range(60):
            for name in "abc":
                group.tick(name)
            group.stabilize()
    assert one.said == two.said
    assert len(one.said) > 20


def test_a_snapshot_says_what_it_covers(make_group):
    """The service names its snapshots by what the core says."""
    group = make_group("abc")
    core = group.elect("a")
    assert core.snapshot_meta() == SnapshotMeta(1, 1, Configuration(VOTERS))
    assert core.snapshot_meta().configuration.voters == VOTERS


def test_half_a_snapshot_is_forgotten_when_the_log_has_overtaken_it():
    """A new leader still had the entries: up to a gigabyte of the old one's snapshot must not stay for ever."""
    core = start(Persisted())
    half = SnapshotChunk(
        term=1,
        index=5,
        snapshot_term=1,
        configuration=Configuration(VOTERS),
        configuration_index=0,
        offset=0,
        total_bytes=10,
        checksum=0,
        chunk=b"half of",
    )
    core.step("b", half)
    assert core._following._inbox.arriving.meta.index == 5

    added = entries(*((index, 2) for index in range(1, 7)))
    core.step("c", AppendEntries(term=2, prev_index=0, prev_term=0, commit_index=4, entries=added))
    assert core._following._inbox.arriving, "not yet: what is committed ends before it"
    core.step("c", AppendEntries(term=2, prev_index=6, prev_term=2, commit_index=6, entries=()))
    assert core._following._inbox.arriving is None


def test_of_two_that_notice_the_leaders_death_apart_one_wins_at_once(make_group):
    """One asks while the other still believes in the leader, and is refused; then the other asks, and is outranked.

    Without a second question both would wait for an election time-out, with nobody leading.
    """
    group = make_group("abc")
    group.elect("a")
    group.stabilize()
    group.cut = {(one, other) for one in "abc" for other in "abc" if "a" in (one, other) and one != other}
    group["c"].peer_closed("a")
    group.drive("c")
    group.deliver("c", "b")  # b believes in a, and refuses
    group.deliver("b", "c")
    group["b"].peer_closed("a")
    group.drive("b")
    group.stabilize()

    assert group["c"].role is Role.LEADER


def test_promises_of_a_disk_that_stands_still_do_not_pile_up(make_group):
    """A full disk may stay full for days, and the leader asks again with every heartbeat."""
    group = make_group("abc")
    group.elect("a")
    group.held.add("b")
    group.propose("a", "x")
    for _ in range(200):
        group.tick("a")
        group.stabilize()
    assert sum(len(promises) for _, promises in group["b"]._outbox._waiting) <= 3
    group.held.clear()
    group.persist("b")
    assert len(group.sent(AppendReply, "b", "a")) == 1
    group.stabilize()
    group["a"].tick()
    group.stabilize()
    assert group["a"].followers["b"].match == group["a"].last_index
