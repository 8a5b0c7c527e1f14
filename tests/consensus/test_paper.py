"""Raft by the paper: one test for each sentence that a node must obey; the section stands in the docstring.

Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm (extended version, 2014).
"""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from aether.consensus.entry import EntryKind
from aether.consensus.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    SnapshotChunk,
    VoteReply,
    VoteRequest,
)
from aether.consensus.quorum import Configuration
from aether.consensus.values import Role
from aether.errors import NotLeader

ROLES = ("follower", "candidate", "leader")


def in_role(make_group, role, names="abc"):
    """A group whose node a has this role in term 1, everything delivered or dropped."""
    group = make_group(names)
    if role == "leader":
        group.elect("a")
    elif role == "candidate":
        group.campaign("a")
        group.deliver("a")
        for peer in names[1:]:
            group.deliver(peer, "a")
    else:
        group.elect("b")
    group.take()
    assert group["a"].role == role
    assert group["a"].term == 1
    return group


def sent(group, kind, sender=None, to=None):
    return [message for _, _, message in group.take(sender, to) if isinstance(message, kind)]


# --- 5.1 terms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_a_node_that_sees_a_larger_term_takes_it_and_becomes_follower(make_group, role):
    """5.1: if one server's current term is smaller than the other's, it updates its term to the larger value."""
    group = in_role(make_group, role)
    group["a"].step("c", AppendEntries(term=4, prev_index=0, prev_term=0, commit_index=0))
    assert (group["a"].role, group["a"].term, group["a"].leader) == (Role.FOLLOWER, 4, "c")


@pytest.mark.parametrize("role", ROLES)
def test_a_reply_with_a_larger_term_deposes_too(make_group, role):
    """5.1: a candidate or leader that discovers that its term is out of date immediately reverts to follower state."""
    group = in_role(make_group, role)
    group["a"].step("c", AppendReply(term=4, match_index=0))
    assert (group["a"].role, group["a"].term, group["a"].leader) == (Role.FOLLOWER, 4, None)


@pytest.mark.parametrize("role", ROLES)
def test_a_message_of_an_older_term_changes_nothing_but_is_answered(make_group, role):
    """5.1: a server that receives a request with a stale term number rejects the request."""
    group = in_role(make_group, role)
    core = group["a"]
    core.step("c", AppendEntries(term=3, prev_index=0, prev_term=0, commit_index=0))
    before = (core.role, core.term, core.last_index, core.leader)
    core.step("b", AppendEntries(term=2, prev_index=0, prev_term=0, commit_index=9))
    assert (core.role, core.term, core.last_index, core.leader) == before
    assert [m.term for m in sent(group, HeartbeatReply, "a", "b")] == [3]


def test_the_term_is_durable_before_the_node_speaks_in_it(make_group):
    """5.1, figure 2: updated on stable storage before responding to RPCs."""
    group = make_group("abc")
    group.held.add("a")
    group["a"].step("b", AppendEntries(term=5, prev_index=0, prev_term=0, commit_index=0))
    assert not sent(group, AppendReply, "a")
    group.persist("a")
    assert group.disks["a"].hard.term == 5
    assert [m.term for m in sent(group, AppendReply, "a")] == [5]


# --- 5.2 leader election ----------------------------------------------------------------------------------------------


def test_servers_start_as_followers(make_group):
    """5.2: when servers start up, they begin as followers."""
    assert {core.role for core in make_group("abcde").cores.values()} == {Role.FOLLOWER}


def test_a_leader_sends_heartbeats_to_all_followers_every_interval(make_group):
    """5.2: leaders send periodic heartbeats to all followers in order to maintain their authority."""
    group = in_role(make_group, "leader")
    for _ in range(3):
        group.tick("a")
        assert Counter(to for _, to, m in group.take("a") if isinstance(m, Heartbeat)) == {"b": 1, "c": 1}


def test_heartbeats_prevent_elections(make_group):
    """5.2: a server remains in follower state as long as it receives valid RPCs from a leader or candidate."""
    group = in_role(make_group, "leader")
    for _ in range(100):
        for name in "abc":
            group.tick(name)
        group.stabilize()
    assert (group["a"].role, group["a"].term) == (Role.LEADER, 1)


@pytest.mark.parametrize("role", ["follower", "candidate"])
def test_a_node_that_hears_nobody_begins_an_election(make_group, role):
    """5.2: if a follower receives no communication over the election timeout, it begins an election."""
    group = in_role(make_group, role)
    group.tick("a", 20)
    requests = sent(group, VoteRequest, "a")
    assert {(m.term, m.pre) for m in requests} == {(2, True)}


def test_a_candidate_increments_its_term_and_votes_for_itself(make_group):
    """5.2: to begin an election, a follower increments its current term and transitions to candidate state."""
    group = in_role(make_group, "candidate")
    assert group.disks["a"].hard.term == 1
    assert group.disks["a"].hard.vote == "a"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_a_candidate_wins_with_the_votes_of_a_majority_and_only_then(make_group, size):
    """5.2: a candidate wins an election if it receives votes from a majority of the servers for the same term."""
    names = "abcde"[:size]
    for answers in itertools.product((True, False, None), repeat=size - 1):
        group = make_group(names)
        group.campaign("a")
        if size > 1:
            for peer in names[1:]:
                group["a"].step(peer, VoteReply(term=0, granted=True, pre=True, campaign=1))
        group.drive("a")
        for peer, granted in zip(names[1:], answers, strict=True):
            if granted is not None:
                group["a"].step(peer, VoteReply(term=1, granted=granted, campaign=group["a"]._campaign.number))
        yes, no = 1 + answers.count(True), answers.count(False)
        majority = size // 2 + 1
        expected = Role.LEADER if yes >= majority else Role.FOLLOWER if size - no < majority else Role.CANDIDATE
        assert group["a"].role is expected, (answers, group["a"].role)


def test_each_server_votes_once_per_term_first_come_first_served(make_group):
    """5.2: each server will vote for at most one candidate in a given term, on a first-come-first-served basis."""
    group = make_group("abc")
    for candidate in "bcb":
        group["a"].step(candidate, VoteRequest(term=1, last_index=0, last_term=0))
        group.drive("a")
    assert [(to, m.granted) for _, to, m in group.take("a")] == [("b", True), ("c", False), ("b", True)]


def test_the_vote_survives_a_crash(make_group):
    """Figure 2: votedFor is persistent state."""
    group = make_group("abc")
    group["a"].step("b", VoteRequest(term=1, last_index=0, last_term=0))
    group.drive("a")
    group.crash("a")
    group.start("a")
    group["a"].step("c", VoteRequest(term=1, last_index=0, last_term=0))
    assert [(to, m.granted) for _, to, m in group.take("a")] == [("c", False)]


@pytest.mark.parametrize("term", [1, 2])
def test_a_candidate_that_hears_of_a_leader_returns_to_follower_state(make_group, term):
    """5.2: if the leader's term is at least as large, the candidate recognizes the leader as legitimate."""
    group = in_role(make_group, "candidate")
    group["a"].step("c", AppendEntries(term=term, prev_index=0, prev_term=0, commit_index=0))
    assert (group["a"].role, group["a"].leader, group["a"].term) == (Role.FOLLOWER, "c", term)


def test_election_timeouts_are_drawn_from_a_fixed_interval(make_group):
    """5.2: election timeouts are chosen randomly from a fixed interval, to prevent split votes."""
    core = make_group("abc")["a"]
    drawn = Counter()
    for _ in range(2_000):
        core._rest()
        drawn[core._election_ticks] += 1
    assert set(drawn) == set(range(10, 20))
    assert max(drawn.values()) < 2 * min(drawn.values())


# --- 5.3 log replication ----------------------------------------------------------------------------------------------


def test_the_leader_appends_a_command_and_sends_it_to_the_others_in_parallel(make_group):
    """5.3: appends the command to its log, then issues AppendEntries in parallel to the other servers."""
    group = in_role(make_group, "leader")
    group.propose("a", "x")
    got = {to: (m.prev_index, m.prev_term, [e.payload for e in m.entries]) for _, to, m in group.take("a")}
    assert got == {"b": (1, 1, [b"x"]), "c": (1, 1, [b"x"])}


@pytest.mark.parametrize("size", [3, 5])
def test_an_entry_is_committed_once_a_majority_has_replicated_it(make_group, size):
    """5.3: a log entry is committed once the leader that created the entry has replicated it on a majority."""
    names = "abcde"[:size]
    for count in range(size - 1):
        for acknowledging in itertools.combinations(names[1:], count):
            group = in_role(make_group, "leader", names)
            group.propose("a", "x")
            for peer in acknowledging:
                group["a"].step(peer, AppendReply(term=1, match_index=2))
            group.drive("a")
            assert (group["a"].commit_index == 2) is (count + 1 > size // 2), acknowledging


def test_the_leader_applies_what_it_committed_in_order(make_group):
    """5.3: when the entry has been safely replicated, the leader applies the entry to its state machine."""
    group = in_role(make_group, "leader")
    group.propose("a", "x", "y")
    group.stabilize()
    assert [e.payload for e in group.applied["a"]] == [b"", b"x", b"y"]


def test_followers_learn_the_commit_index_and_apply_in_log_order(make_group):
    """5.3: once a follower learns that a log entry is committed, it applies the entry (in log order)."""
    group = in_role(make_group, "leader")
    group.propose("a", "x", "y")
    group.stabilize()
    assert group.applied["a"] == group.applied["b"] == group.applied["c"]


def test_committing_commits_all_preceding_entries(make_group, persisted_with):
    """5.3: this also commits all preceding entries in the leader's log, including those created by previous leaders."""
    group = make_group("abc")
    for name in "abc":
        group.start(name, persisted_with(1, 2, term=2))
    group.elect("a")
    assert group["c"].commit_index == 3
    assert [e.term for e in group.applied["c"]] == [1, 2, 3]


def test_a_follower_refuses_entries_when_it_lacks_the_one_before(make_group, persisted_with):
    """5.3: if the follower does not find an entry with the same index and term, then it refuses the new entries."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 2))
    for prev_index, prev_term, rejected in ((0, 0, False), (1, 1, False), (2, 2, False), (2, 1, True), (3, 2, True)):
        group["a"].step("b", AppendEntries(term=3, prev_index=prev_index, prev_term=prev_term, commit_index=0))
        (reply,) = sent(group, AppendReply, "a")
        assert reply.rejected is rejected, (prev_index, prev_term)


@pytest.mark.parametrize(
    ("prev", "new", "expected"),
    [
        ((2, 2), (3,), [1, 2, 3]),
        ((1, 1), (3, 4), [1, 3, 4]),
        ((0, 0), (1,), [1, 2]),
        ((0, 0), (3,), [3]),
        ((1, 1), (2,), [1, 2]),
    ],
)
def test_conflicting_entries_are_overwritten_and_others_kept(
    make_group, entries_of, persisted_with, prev, new, expected
):
    """5.3: conflicting entries in follower logs will be overwritten with entries from the leader's log."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 2))
    entries = entries_of(*new, start=prev[0] + 1)
    message = AppendEntries(term=4, prev_index=prev[0], prev_term=prev[1], commit_index=0, entries=entries)
    group["a"].step("b", message)
    group.drive("a")
    assert group.terms("a") == expected
    assert [e.term for e in group.disks["a"]._entries] == expected


FIGURE_7 = {
    "a": (1, 1, 1, 4, 4, 5, 5, 6, 6),
    "b": (1, 1, 1, 4),
    "c": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
    "d": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    "e": (1, 1, 1, 4, 4, 4, 4),
    "f": (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
}


@pytest.mark.parametrize("shape", FIGURE_7)
def test_the_leader_brings_every_log_of_figure_7_into_line(make_group, persisted_with, shape):
    """5.3, figure 7: the leader forces the followers' logs to duplicate its own."""
    group = make_group("lfo")
    group.start("l", persisted_with(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, term=7))
    group.start("f", persisted_with(*FIGURE_7[shape], term=7))
    group.elect("l")
    group.tick("l")
    group.stabilize()
    assert group.terms("f") == group.terms("l") == [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]


def test_a_leader_never_overwrites_its_own_log(make_group, entries_of):
    """5.3, figure 3: Leader Append-Only. Somebody else who claims to lead the same term is a broken cluster."""
    group = in_role(make_group, "leader")
    message = AppendEntries(term=1, prev_index=0, prev_term=0, commit_index=0, entries=entries_of(1))
    with pytest.raises(AssertionError, match="also leads term 1"):
        group["a"].step("b", message)


def test_followers_refuse_proposals_and_name_the_leader(make_group):
    """8: if the client's first choice is not the leader, that server will supply information about the leader."""
    group = in_role(make_group, "follower")
    with pytest.raises(NotLeader) as refused:
        group["a"].propose([b"x"])
    assert refused.value.leader == "b"


# --- 5.4 safety -------------------------------------------------------------------------------------------------------


def test_a_vote_request_tells_about_the_candidates_log(make_group, persisted_with):
    """5.4.1: the RPC includes information about the candidate's log."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 2))
    group.campaign("a")
    assert {(m.last_index, m.last_term) for m in sent(group, VoteRequest, "a")} == {(2, 2)}


@pytest.mark.parametrize("pre", [True, False])
@pytest.mark.parametrize(
    ("ours", "theirs", "granted"),
    [
        ((1,), (1, 1), True),
        ((1,), (2, 1), True),
        ((1, 1), (1, 1), False),
        ((1,), (1, 2), True),
        ((1, 1, 1), (1, 2), True),
        ((1, 2), (1, 1), False),
        ((1, 2), (5, 1), False),
        ((2,), (3, 1), False),
    ],
)
def test_a_voter_refuses_a_candidate_whose_log_is_less_up_to_date(
    make_group, persisted_with, ours, theirs, granted, pre
):
    """5.4.1: the voter denies its vote if its own log is more up-to-date than that of the candidate."""
    group = make_group("abc")
    group.start("a", persisted_with(*ours, term=3))
    group["a"].step("b", VoteRequest(term=4, last_index=theirs[0], last_term=theirs[1], pre=pre))
    (reply,) = sent(group, VoteReply, "a")
    assert reply.granted is granted


def test_only_entries_of_its_own_term_are_committed_by_counting(make_group, persisted_with):
    """5.4.2: only log entries from the leader's current term are committed by counting replicas."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 2, term=2))
    group.campaign("a")
    for granted in (VoteReply(term=2, granted=True, pre=True, campaign=1), VoteReply(term=3, granted=True, campaign=2)):
        group["a"].step("b", granted)
        group.drive("a")
    assert group["a"].role is Role.LEADER
    for match, commit in ((1, 0), (2, 0), (3, 3)):
        group["a"].step("b", AppendReply(term=3, match_index=match))
        group.drive("a")
        assert group["a"].commit_index == commit


# --- 6 to 8 -----------------------------------------------------------------------------------------------------------


def test_votes_are_refused_within_the_minimum_election_timeout_of_hearing_a_leader(make_group):
    """6: a RequestVote within the minimum election timeout of hearing a leader updates neither term nor vote."""
    group = in_role(make_group, "follower")
    group["a"].step("c", VoteRequest(term=2, last_index=9, last_term=1))
    (reply,) = sent(group, VoteReply, "a")
    assert (reply.granted, group["a"].term) == (False, 1)
    group.tick("a", 10)
    group.take("a")
    group["a"].step("c", VoteRequest(term=2, last_index=9, last_term=1))
    (reply,) = sent(group, VoteReply, "a")
    assert (reply.granted, group["a"].term) == (True, 2)


def test_a_snapshot_replaces_the_whole_log_of_a_follower_that_lacks_it(make_group, persisted_with):
    """7: if the snapshot contains new information, the follower discards its entire log."""
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
        chunk=b"st",
    )
    group["a"].step("b", chunk)
    group.drive("a")
    assert (group["a"].commit_index, group["a"].last_index, group["a"].snapshot_index) == (9, 9, 9)
    assert group.disks["a"].snapshot.data == b"st"
    assert group.disks["a"]._entries == []
    assert [(m.match_index, m.rejected) for m in sent(group, AppendReply, "a")] == [(9, False)]


def test_a_snapshot_of_a_prefix_keeps_the_entries_behind_it(make_group, persisted_with):
    """7: if the follower receives a snapshot that describes a prefix of its log, entries following it are retained."""
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
        chunk=b"st",
    )
    group["a"].step("b", chunk)
    group.drive("a")
    assert group.terms("a") == [1, 1, 1]
    assert (group["a"].commit_index, group.disks["a"].snapshot) == (2, None)


def test_a_new_leader_commits_a_no_op_of_its_term_at_once(make_group):
    """8: each leader commits a blank no-op entry into the log at the start of its term."""
    group = make_group("abc")
    group.elect("a")
    assert [(e.kind, e.payload, e.term) for e in group.applied["b"]] == [(EntryKind.NO_OP, b"", 1)]
