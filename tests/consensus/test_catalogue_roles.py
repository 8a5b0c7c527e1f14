"""Bugs of other implementations, by their number in docs/design/catalogue.md: votes, leaders, reads, handing over."""

from __future__ import annotations

import pytest

from aether.consensus.messages import Heartbeat, HeartbeatReply, TimeoutNow, VoteReply, VoteRequest
from aether.consensus.values import Role
from aether.errors import NotLeader


def vote_request(term, *, last_index=0, last_term=0):
    return VoteRequest(term=term, last_index=last_index, last_term=last_term)


def test_b03_a_vote_is_durable_before_anybody_hears_of_it(group):
    """The disk is slow. If the vote could leave before it, a crash would let this node vote twice in one term."""
    group.held.add("a")
    group["a"].step("b", vote_request(1))
    assert group.sent(VoteReply, "a") == []
    group.crash("a")
    group.held.clear()
    group.start("a")
    group["a"].step("c", vote_request(1))
    assert [(to, m.granted) for _, to, m in group.take("a")] == [("c", True)]
    group.crash("a")
    group.start("a")
    group["a"].step("b", vote_request(1))
    assert [(to, m.granted) for _, to, m in group.take("a")] == [("b", False)]


def test_b03_a_candidate_asks_only_when_its_own_vote_is_durable(group):
    """It would count itself, crash, forget that it did, and vote for another one in the same term."""
    group.held.add("a")
    group.campaign("a")
    group["a"].step("b", VoteReply(term=0, granted=True, pre=True, campaign=1))
    assert [m.pre for m in group.sent(VoteRequest, "a")] == [True, True]
    assert group["a"].role is Role.CANDIDATE
    group["a"].step("b", VoteReply(term=1, granted=True, campaign=2))
    assert group["a"].role is Role.CANDIDATE, "one vote of three: its own does not count yet"
    group.persist("a")
    group.drive("a")
    assert group["a"].role is Role.LEADER


def test_b04_terms_do_not_fall_when_all_nodes_restart_at_once(group):
    """After three elections everybody restarts. Nobody may begin at an old term, and win one that was led already."""
    group.elect("a")
    for leader, successor in ("ab", "bc"):
        group[leader].transfer(successor)
        group.stabilize()
    group.propose("c", "x")
    group.stabilize()
    for name in "abc":
        group.crash(name)
    assert [group.start(name).term for name in "abc"] == [3, 3, 3]
    assert {group.disks[name].hard.vote for name in "abc"} == {"c"}
    group.elect("b")
    assert (group["b"].term, group.terms("b")) == (4, [1, 2, 3, 3, 4])


def test_b04_a_restart_before_the_first_entry_keeps_the_term_of_its_vote(group):
    """The log is empty, so the term can come from nowhere but the stored hard state."""
    group["a"].step("b", vote_request(7))
    group.drive("a")
    group.crash("a")
    assert group.start("a").term == 7
    group["a"].step("c", vote_request(7))
    group["a"].step("c", vote_request(6))
    assert [m.granted for m in group.sent(VoteReply, "a", "c")] == [False, False]


def test_b08_a_fresh_leader_answers_no_read_before_its_own_entry_is_committed(make_group, persisted_with):
    """Its predecessor committed entry 2 and told a client; the new leader does not know yet that it is committed."""
    group = make_group("abc")
    for name in "abc":
        group.start(name, persisted_with(1, 1, commit=1))
    group.campaign("a")
    for _ in range(4):
        group.deliver()
    assert (group["a"].role, group["a"].commit_index) == (Role.LEADER, 1)
    group.read("a", 7)
    for peer in "bc":
        group["a"].step(peer, HeartbeatReply(term=2, round=1))
    group.drive("a")
    assert group.reads == []
    group.stabilize()
    assert group.reads == [("a", 7, 3)]


def test_b09_a_read_that_is_asked_again_gets_the_index_of_its_own_round(group):
    """The same context is used twice. The answers to the first round must not end the second one."""
    group.elect("a")
    group.read("a", 7)
    group.propose("a", "x")
    group.stabilize()
    assert group.reads == [("a", 7, 1)]
    group.read("a", 7)
    for peer in "bc":
        group["a"].step(peer, HeartbeatReply(term=1, round=1))
    group.drive("a")
    assert group.reads == [("a", 7, 1)]
    group.stabilize()
    assert group.reads == [("a", 7, 1), ("a", 7, 2)]


def test_b36_reads_of_a_lost_leadership_end_and_leave_nothing_behind(make_group):
    """Whoever asked must hear it, and the next leadership of this node begins with an empty queue."""
    group = make_group("abc", reads_pending_max=3)
    group.elect("a")
    for context in (1, 2, 3):
        group.read("a", context)
    group.take()
    group["a"].step("c", Heartbeat(term=5, commit_index=1))
    group.drive("a")
    assert group.reads == [("a", context, 0) for context in (1, 2, 3)]
    group.reads.clear()
    for name in "abc":
        group.tick(name, 10)
    group.take()
    group.elect("a")
    for context in (4, 5, 6):
        group.read("a", context)
    group.stabilize()
    assert [context for _, context, index in group.reads if index] == [4, 5, 6]


def test_b13_a_node_that_was_cut_off_disturbs_nobody_when_it_is_back(group):
    """Hundreds of its time-outs pass. Its term has not grown meanwhile, and its question deposes nobody."""
    group.elect("a")
    group.cut = {(one, other) for one in "abc" for other in "abc" if "c" in (one, other)}
    group.tick("c", 3_000)
    for _ in range(30):
        for name in "ab":
            group.tick(name)
        group.stabilize()
    assert (group["c"].role, group["c"].term) == (Role.PRE_CANDIDATE, 1)
    group.cut.clear()
    group.tick("c", 20)
    group.stabilize()
    group.tick("a")
    group.stabilize()
    assert [(core.leader, core.term) for core in group.cores.values()] == [("a", 1)] * 3


def test_b15_a_node_that_has_not_heard_of_its_promotion_votes(make_group):
    """The entry that makes c a voter is committed by a and b. With a gone, b needs the vote of c, which thinks that
    it is a learner: if it kept silent, the two would never lead."""
    group = make_group("ab")
    group.elect("a")
    group.join("c")
    group.change("a", add="c")
    group.stabilize()
    group.change("a", promote="c")
    for _ in range(3):
        group.deliver("a", "b")
        group.deliver("b", "a")
    assert group["b"].configuration.voters == ("a", "b", "c")
    assert group["c"].configuration.learners == ("c",)
    group.crash("a")
    group.tick("b", 10)
    group.tick("c", 10)
    group.take()
    group.elect("b")
    assert (group["c"].leader, group["c"].configuration.learners) == ("b", ())


def test_b32_heartbeats_do_not_keep_a_leader_whose_disk_stands_still(group):
    """It hears its followers all the time, and stores nothing: it goes by itself, within an election time-out."""
    group.elect("a")
    group.held.add("a")
    group.propose("a", "x")
    ticks = 0
    while group["a"].role is Role.LEADER:
        group.tick("a")
        group.stabilize()
        ticks += 1
        assert ticks <= 22, "it never goes"
    assert ticks >= 10, "a short stall is no reason to go"
    with pytest.raises(NotLeader):
        group["a"].propose([b"y"])
    group.tick("b", 10)
    group.tick("c", 10)
    group.elect("b")
    group.propose("b", "z")
    group.stabilize()
    assert group["c"].commit_index == group["b"].last_index


def test_b42_a_late_word_to_campaign_costs_an_election_and_no_entry(group):
    """The leader has given the handover up and gone on. Its word arrives after all, at a follower that lags now.

    That one deposes the leader by its term, cannot be elected, and whoever is elected has what was committed.
    """
    group.elect("a")
    group["a"].transfer("c")
    (late,) = group.sent(TimeoutNow, "a", "c")
    for _ in range(10):
        group.tick("a")
        group.deliver("a", "b")
        group.deliver("b", "a")
    group.take()
    assert group["a"].transferee is None
    group.propose("a", "x")
    group.deliver("a", "b")
    group.deliver("b", "a")
    assert group["a"].commit_index == 2
    group.take()

    group["c"].step("a", late)
    group.stabilize()
    assert group["c"].role is not Role.LEADER
    group.tick("b", 10)
    group.elect("b")
    assert group.log("c") == "1/1:- 2/1:x 3/3:-"


def test_b42_a_word_to_campaign_of_an_earlier_term_is_not_heard(group):
    """The receiver follows somebody else by now."""
    group.elect("a")
    group["a"].transfer("c")
    (late,) = group.sent(TimeoutNow, "a", "c")
    group.tick("b", 10)
    group.tick("c", 10)
    group.elect("b")
    group["c"].step("a", late)
    group.stabilize()
    assert (group["b"].role, group["b"].term, group["c"].leader) == (Role.LEADER, 2, "b")
