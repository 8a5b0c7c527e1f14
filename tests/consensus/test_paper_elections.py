"""Raft by the paper, sections 5.1, 5.2 and 5.4.1: terms, elections, whose log is newer. One test for each sentence.

Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm (extended version, 2014).
"""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.consensus.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    VoteReply,
    VoteRequest,
)
from aether.consensus.values import Role

ROLES = ("follower", "candidate", "leader")

# --- 5.1 terms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_a_node_that_sees_a_larger_term_takes_it_and_becomes_follower(in_role, role):
    """5.1: whoever hears of a larger term makes it its own, and leads or campaigns no more."""
    group = in_role(role)
    group["a"].step("c", AppendEntries(term=4, prev_index=0, prev_term=0, commit_index=0))
    assert (group["a"].role, group["a"].term, group["a"].leader) == (Role.FOLLOWER, 4, "c")


@pytest.mark.parametrize("role", ROLES)
def test_a_reply_with_a_larger_term_deposes_too(in_role, role):
    """5.1: it need not be a request: the answer of a peer tells an old leader or candidate the same."""
    group = in_role(role)
    group["a"].step("c", AppendReply(term=4, match_index=0))
    assert (group["a"].role, group["a"].term, group["a"].leader) == (Role.FOLLOWER, 4, None)


@pytest.mark.parametrize("role", ROLES)
def test_a_message_of_an_older_term_changes_nothing_but_is_answered(in_role, role):
    """5.1: requests of the past are refused, in a way that tells their sender the present term."""
    group = in_role(role)
    core = group["a"]
    core.step("c", AppendEntries(term=3, prev_index=0, prev_term=0, commit_index=0))
    before = (core.role, core.term, core.last_index, core.leader)
    core.step("b", AppendEntries(term=2, prev_index=0, prev_term=0, commit_index=9))
    assert (core.role, core.term, core.last_index, core.leader) == before
    assert [m.term for m in group.sent(HeartbeatReply, "a", "b")] == [3]


def test_the_term_is_durable_before_the_node_speaks_in_it(make_group):
    """5.1, figure 2: the term stands on stable storage before an answer leaves."""
    group = make_group("abc")
    group.held.add("a")
    group["a"].step("b", AppendEntries(term=5, prev_index=0, prev_term=0, commit_index=0))
    assert not group.sent(AppendReply, "a")
    group.persist("a")
    assert group.disks["a"].hard.term == 5
    assert [m.term for m in group.sent(AppendReply, "a")] == [5]


MESSAGES = {
    "append": lambda term: AppendEntries(term=term, prev_index=0, prev_term=0, commit_index=0),
    "append reply": lambda term: AppendReply(term=term, match_index=0),
    "heartbeat": lambda term: Heartbeat(term=term, commit_index=0, round=1),
    "heartbeat reply": lambda term: HeartbeatReply(term=term),
    "vote": lambda term: VoteRequest(term=term, last_index=9, last_term=term),
    "pre-vote": lambda term: VoteRequest(term=term, last_index=9, last_term=term, pre=True),
    "vote reply": lambda term: VoteReply(term=term, granted=False),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(MESSAGES)), st.integers(1, 9)), max_size=15))
def test_a_term_only_grows(group_class, received):
    """5.1: each node's term rises monotonically, in memory and on its disk, whatever it is told in whatever order."""
    group = group_class("abc")
    seen, durable = 0, 0
    for number, (kind, term) in enumerate(received):
        group["a"].step("bc"[number % 2], MESSAGES[kind](term))
        group.drive("a")
        assert group["a"].term >= seen
        assert group.disks["a"].hard.term >= durable
        seen, durable = group["a"].term, group.disks["a"].hard.term
    assert durable == seen


def test_a_term_without_a_winner_is_followed_by_another(make_group):
    """5.1: when votes split, a term ends without a leader, and the next one begins with the next election."""
    group = make_group("abcd")
    for candidate in "ab":
        group.campaign(candidate)
        for voter in "cd":
            group[candidate].step(voter, VoteReply(term=0, granted=True, pre=True, campaign=1))
        group.drive(candidate)
        group.wire = [item for item in group.wire if isinstance(item[2], VoteRequest) and not item[2].pre]
    requests = group.take()
    for candidate, voter in ("ac", "bd", "ad", "bc", "ab", "ba"):
        (request,) = [m for sender, to, m in requests if (sender, to) == (candidate, voter)]
        group[voter].step(candidate, request)
        group.drive(voter)
    group.stabilize()
    assert {core.role for core in group.cores.values()} == {Role.FOLLOWER}
    assert {core.term for core in group.cores.values()} == {1}
    group.elect("a")
    assert group["a"].term == 2


def test_a_term_has_at_most_one_leader(make_group):
    """5.1, figure 3: two candidates of one term ask everybody, in any order of arrival; never do both of them win."""
    for order in itertools.permutations(("bc", "bd", "be", "cd", "ce"), 5):
        group = make_group("bcdea")
        for candidate in "bc":
            group[candidate]._start_campaign(pre=False)
            group.drive(candidate)
        requests = {(sender, to): m for sender, to, m in group.take()}
        for candidate, voter in order:
            group[voter].step(candidate, requests[candidate, voter])
            group.deliver(voter, candidate)
        led = [name for name in "bc" if group[name].role is Role.LEADER]
        assert len(led) <= 1, order


# --- 5.2 leader election ----------------------------------------------------------------------------------------------


def test_servers_start_as_followers(make_group):
    """5.2: everybody begins as a follower."""
    assert {core.role for core in make_group("abcde").cores.values()} == {Role.FOLLOWER}


def test_a_leader_sends_heartbeats_to_all_followers_every_interval(in_role):
    """5.2: a leader shows each follower at a steady pace that it is there."""
    group = in_role("leader")
    for _ in range(3):
        group.tick("a")
        assert Counter(to for _, to, m in group.take("a") if isinstance(m, Heartbeat)) == {"b": 1, "c": 1}


def test_heartbeats_prevent_elections(in_role):
    """5.2: who hears a leader in time stays a follower."""
    group = in_role("leader")
    for _ in range(100):
        for name in "abc":
            group.tick(name)
        group.stabilize()
    assert (group["a"].role, group["a"].term) == (Role.LEADER, 1)


@pytest.mark.parametrize("role", ["follower", "candidate"])
def test_a_node_that_hears_nobody_begins_an_election(in_role, role):
    """5.2: silence for an election time-out, and a follower or candidate campaigns."""
    group = in_role(role)
    group.tick("a", 20)
    requests = group.sent(VoteRequest, "a")
    assert {(m.term, m.pre) for m in requests} == {(2, True)}


def test_a_candidate_increments_its_term_and_votes_for_itself(in_role):
    """5.2: a campaign begins with the next term and one's own vote in it."""
    group = in_role("candidate")
    assert group.disks["a"].hard.term == 1
    assert group.disks["a"].hard.vote == "a"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_a_candidate_wins_with_the_votes_of_a_majority_and_only_then(make_group, size):
    """5.2: more than half of all voters must say yes in this term; each combination of 1 to 5 nodes."""
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
    """5.2: one vote in a term, to whoever asks first, and to that one again when it repeats its question."""
    group = make_group("abc")
    for candidate in "bcb":
        group["a"].step(candidate, VoteRequest(term=1, last_index=0, last_term=0))
        group.drive("a")
    assert [(to, m.granted) for _, to, m in group.take("a")] == [("b", True), ("c", False), ("b", True)]


def test_the_vote_survives_a_crash(make_group):
    """5.2, figure 2: a vote is remembered over a restart."""
    group = make_group("abc")
    group["a"].step("b", VoteRequest(term=1, last_index=0, last_term=0))
    group.drive("a")
    group.crash("a")
    group.start("a")
    group["a"].step("c", VoteRequest(term=1, last_index=0, last_term=0))
    assert [(to, m.granted) for _, to, m in group.take("a")] == [("c", False)]


@pytest.mark.parametrize("term", [1, 2])
def test_a_candidate_that_hears_of_a_leader_returns_to_follower_state(in_role, term):
    """5.2: a leader of this term or a later one ends a candidacy."""
    group = in_role("candidate")
    group["a"].step("c", AppendEntries(term=term, prev_index=0, prev_term=0, commit_index=0))
    assert (group["a"].role, group["a"].leader, group["a"].term) == (Role.FOLLOWER, "c", term)


def test_election_timeouts_are_drawn_from_a_fixed_interval(make_group):
    """5.2: time-outs are drawn evenly from a fixed interval."""
    core = make_group("abc")["a"]
    drawn = Counter()
    for _ in range(2_000):
        core._rest()
        drawn[core._election_ticks] += 1
    assert set(drawn) == set(range(10, 20))
    assert max(drawn.values()) < 2 * min(drawn.values())


def test_a_campaign_asks_all_others_in_parallel(make_group):
    """5.2: nobody is asked after another has answered; first all for a pre-vote, then all for a vote."""
    group = make_group("abcde")
    group.campaign("a")
    assert Counter((to, m.pre) for _, to, m in group.take("a")) == {(to, True): 1 for to in "bcde"}
    for peer in "bc":
        group["a"].step(peer, VoteReply(term=0, granted=True, pre=True, campaign=1))
    assert Counter((to, m.pre) for _, to, m in group.take("a")) == {(to, False): 1 for to in "bcde"}


def test_a_new_leader_tells_everybody_at_once(in_role):
    """5.2: whoever has won says so to all, so that nobody else campaigns."""
    group = in_role("candidate")
    group["a"].step("b", VoteReply(term=1, granted=True, campaign=2))
    group.drive("a")
    assert group["a"].role is Role.LEADER
    told = [(to, m.term) for _, to, m in group.take("a") if isinstance(m, AppendEntries)]
    assert sorted(told) == [("b", 1), ("c", 1)]


def test_a_candidate_does_not_obey_a_leader_of_an_older_term(in_role):
    """5.2: it refuses, and goes on to campaign."""
    group = in_role("candidate")
    group.campaign("a")
    group["a"].step("b", VoteReply(term=1, granted=True, pre=True, campaign=3))
    group.drive("a")
    group.take()
    assert (group["a"].role, group["a"].term) == (Role.CANDIDATE, 2)
    group["a"].step("c", AppendEntries(term=1, prev_index=0, prev_term=0, commit_index=0))
    assert (group["a"].role, group["a"].term) == (Role.CANDIDATE, 2)
    assert [m.term for m in group.sent(HeartbeatReply, "a", "c")] == [2]


def test_a_candidate_that_hears_nothing_starts_again_in_a_later_term(in_role):
    """5.2: neither won nor lost within a time-out: the next term is tried."""
    group = in_role("candidate")
    group.tick("a", 20)
    group.stabilize()
    assert (group["a"].role, group["a"].term) == (Role.LEADER, 2)


def test_each_campaign_draws_its_own_timeout(make_group):
    """5.2: those who split a vote will not split the next one for the same reason."""
    core = make_group("abc")["a"]
    drawn = set()
    for _ in range(100):
        core._start_campaign(pre=True)
        drawn.add(core._election_ticks)
    assert drawn == set(range(10, 20))


@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.PRE_CANDIDATE])
@pytest.mark.parametrize("names", ["abc", "abcde"])
def test_two_timeouts_seldom_end_together(make_group, role, names):
    """5.2: mostly one node alone is the first to campaign: in fewer than three of ten rounds others tie with it."""
    group = make_group(names)
    ties = 0
    for _ in range(1_000):
        for core in group.cores.values():
            if role is Role.FOLLOWER:
                core._become_follower(core.term, None)
            else:
                core._start_campaign(pre=True)
            assert core.role is role
        ends = sorted(core._election_ticks for core in group.cores.values())
        ties += ends[0] == ends[1]
    assert 0 < ties < 300


# --- 5.4 safety -------------------------------------------------------------------------------------------------------


def test_a_vote_request_tells_about_the_candidates_log(make_group, persisted_with):
    """5.4.1: a candidate says where its log ends."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 2))
    group.campaign("a")
    assert {(m.last_index, m.last_term) for m in group.sent(VoteRequest, "a")} == {(2, 2)}


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
    """5.4.1: the later last term is newer; of equal ones the longer log; an older log gets no vote."""
    group = make_group("abc")
    group.start("a", persisted_with(*ours, term=3))
    group["a"].step("b", VoteRequest(term=4, last_index=theirs[0], last_term=theirs[1], pre=pre))
    (reply,) = group.sent(VoteReply, "a")
    assert reply.granted is granted


@pytest.mark.parametrize("terms", [(), (1,), (1, 1), (1, 1, 2), (1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1, 1, 1)])
def test_nobody_without_every_committed_entry_is_elected(make_group, persisted_with, terms):
    """5.4.1: entry 4 of term 2 is on three of five. Whoever lacks it, however long its log, finds no majority."""
    group = make_group("abcde")
    group.start("a", persisted_with(*terms, term=2))
    for name in "bcd":
        group.start(name, persisted_with(1, 1, 2, 2, term=2))
    for _ in range(3):
        group.campaign("a")
        group.stabilize()
        assert group["a"].role is not Role.LEADER
    group.elect("b")
