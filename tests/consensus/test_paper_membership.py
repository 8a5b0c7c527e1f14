"""Raft by the paper, section 6: changing who belongs to the group. One test for each sentence.

Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm (extended version, 2014). Newcomers are learners
first; voters change through a joint configuration, spelt here {future}{present}.
"""

from __future__ import annotations

import itertools

import pytest

from aether.consensus.membership import decode_configuration
from aether.consensus.messages import AppendEntries, AppendReply, Heartbeat, TimeoutNow, VoteReply, VoteRequest
from aether.consensus.quorum import Configuration
from aether.consensus.values import Role
from aether.errors import Conflict


def subsets(names):
    return [set(some) for size in range(len(names) + 1) for some in itertools.combinations(names, size)]


@pytest.fixture
def changing(make_group):
    """a leads a, b and c, and begins to put d and e in the place of b and c: {ade}{abc}, on no other log yet."""
    group = make_group("abc")
    group.elect("a")
    group.join("d")
    group.join("e")
    group.change("a", add="de")
    group.stabilize()
    group.change("a", promote="de", remove="bc")
    assert group["a"].configuration == Configuration(("a", "d", "e"), outgoing=("a", "b", "c"))
    return group


# --- joint consensus --------------------------------------------------------------------------------------------------


def test_joint_entries_go_to_all_servers_of_both_configurations(changing):
    """6: everybody who is in one of the two gets the log."""
    changing.propose("a", "x")
    got = {to for _, to, m in changing.take("a") if isinstance(m, AppendEntries) and m.entries}
    assert got == {*"bcde"}


@pytest.mark.parametrize("candidate", "bcde")
def test_any_server_of_either_configuration_may_lead(changing, candidate):
    """6: those who will leave as well as those who come, while the change is under way."""
    changing.deliver("a")
    changing.take()
    changing.crash("a")
    for name in "bcde":
        changing.tick(name, 10)
    changing.take()
    changing.campaign(candidate)
    for _ in range(4):
        changing.deliver()
    assert changing[candidate].role is Role.LEADER
    assert changing[candidate].configuration.is_joint


@pytest.mark.parametrize("stored", subsets("bcde"), ids=lambda some: "".join(sorted(some)) or "none")
def test_joint_entries_are_committed_by_separate_majorities(changing, stored):
    """6: more than half of the present and more than half of the future voters; a counts in both."""
    index = changing["a"].last_index
    changing.take()
    for peer in sorted(stored):
        changing["a"].step(peer, AppendReply(term=1, match_index=index))
    changing.drive("a")
    expected = bool(stored & {*"bc"}) and bool(stored & {*"de"})
    assert (changing["a"].commit_index >= index) is expected


@pytest.mark.parametrize("granted", subsets("bcde"), ids=lambda some: "".join(sorted(some)) or "none")
def test_joint_elections_are_won_by_separate_majorities(changing, granted):
    """6: elections too; a candidate whose log holds the joint entry needs both."""
    changing.take()
    changing.crash("a")
    changing.start("a")
    changing.campaign("a")
    for peer in "bcde":
        changing["a"].step(peer, VoteReply(term=1, granted=True, pre=True, campaign=1))
    changing.drive("a")
    for peer in sorted(granted):
        changing["a"].step(peer, VoteReply(term=2, granted=True, campaign=2))
    expected = bool(granted & {*"bc"}) and bool(granted & {*"de"})
    assert (changing["a"].role is Role.LEADER) is expected


def test_clients_are_served_while_the_change_is_under_way(changing):
    """6: there is no moment without a group that decides."""
    for step in range(6):
        changing.propose("a", f"x{step}")
        changing.deliver()
    changing.stabilize()
    payloads = [e.payload for e in changing.applied["d"] if e.payload.startswith(b"x")]
    assert payloads == [b"x%d" % step for step in range(6)]


# --- configurations are entries ---------------------------------------------------------------------------------------


def test_a_configuration_is_in_force_as_soon_as_it_stands_in_the_log(changing):
    """6: the newest in its log, committed or not, is what a node goes by."""
    changing.deliver("a", "d")
    assert changing["d"].commit_index < changing["d"].configuration_index
    assert changing["d"].configuration.is_joint
    assert not changing["b"].configuration.is_joint


def test_a_configuration_that_is_cut_off_the_log_counts_no_more(changing, entries_of):
    """6: the newest in its log is what a node goes by: when another leader replaces that entry, the one before it."""
    index = changing["a"].configuration_index
    message = AppendEntries(
        term=2, prev_index=index - 1, prev_term=1, commit_index=0, entries=entries_of(2, start=index)
    )
    changing["a"].step("b", message)
    changing.drive("a")
    assert changing["a"].configuration == Configuration(("a", "b", "c"), learners=("d", "e"))
    assert changing["a"].configuration_index == index - 1


def test_the_future_configuration_is_proposed_when_the_joint_one_is_committed(changing):
    """6: neither may decide alone before; the leader itself takes the second step, once."""
    index = changing["a"].last_index
    changing.take()
    changing["a"].step("b", AppendReply(term=1, match_index=index))
    changing.drive("a")
    assert changing["a"].last_index == index
    changing["a"].step("d", AppendReply(term=1, match_index=index))
    changing.drive("a")
    (last,) = [e for e in changing["a"]._log.entries() if e.index == index + 1]
    assert decode_configuration(last.payload) == Configuration(("a", "d", "e"))
    assert changing["a"].last_index == index + 1


def test_without_the_joint_entry_a_candidate_asks_the_present_voters_only(changing):
    """6: a new leader is chosen under the old or the joint configuration; the future one alone decides nothing."""
    changing.crash("a")
    for name in "bcde":
        changing.tick(name, 10)
    changing.take()
    for candidate in "de":
        changing.campaign(candidate)
        changing.stabilize()
        assert changing[candidate].role is Role.FOLLOWER
    changing.elect("b")
    assert not changing["b"].configuration.is_joint
    assert changing.log("b").endswith("2/1:{abc}+de 3/2:-")


def test_when_the_change_has_ended_those_outside_can_be_shut_down(changing):
    """6: committed in its majority, the future configuration needs nobody else."""
    changing.stabilize()
    assert changing["b"].is_removed
    assert changing["c"].is_removed
    changing.crash("b")
    changing.crash("c")
    changing.propose("a", "x")
    changing.stabilize()
    assert changing["d"].applied_index == changing["a"].last_index


# --- newcomers --------------------------------------------------------------------------------------------------------


def test_a_newcomer_gets_the_log_and_has_no_say(make_group):
    """6: before it is caught up it is no part of a majority, and nobody asks for its vote."""
    group = make_group("abc")
    group.elect("a")
    group.join("d")
    group.change("a", add="d")
    group.stabilize()
    group.cut = {(one, other) for one in "abc" for other in "bc" if one != other}
    group.propose("a", "x")
    group.stabilize()
    assert group["d"].last_index == 3
    assert group["a"].commit_index == 2
    group.campaign("b")
    assert {to for _, to, _ in group.take("b")} == {"a", "c"}


def test_a_newcomer_votes_only_when_it_has_caught_up(make_group):
    """6: else the group could decide nothing until it had."""
    group = make_group("abc", append_bytes_max=60)
    group.elect("a")
    group.propose("a", *["x" * 40] * 4)
    group.stabilize()
    group.join("d")
    group.change("a", add="d")
    group.take("a", "d")
    group.stabilize()
    with pytest.raises(Conflict, match="learner d cannot vote yet"):
        group.change("a", promote="d")
    for _ in range(2):
        group.tick("a")
        group.stabilize()
    group.change("a", promote="d")
    group.stabilize()
    assert group["d"].voters == ("a", "b", "c", "d")


# --- a leader that leaves ---------------------------------------------------------------------------------------------


def test_a_leader_outside_the_new_configuration_leads_without_counting_itself(make_group):
    """6: until the change is committed it replicates for a group to which it does not belong."""
    group = make_group("abc")
    group.elect("a")
    group.change("a", remove="a")
    group.deliver("a")
    group.deliver(None, "a")
    assert group["a"].configuration == Configuration(("b", "c"))
    group.take()
    index = group["a"].last_index
    group["a"].step("b", AppendReply(term=1, match_index=index))
    group.drive("a")
    assert (group["a"].role, group["a"].commit_index) == (Role.LEADER, index - 1)


def test_it_steps_down_when_its_removal_is_committed_and_not_before(make_group):
    """6: from then on the new voters can elect one of themselves, and are told to."""
    group = make_group("abc")
    group.elect("a")
    group.change("a", remove="a")
    group.deliver("a")
    group.deliver(None, "a")
    group.take()
    index = group["a"].last_index
    for peer, role in (("b", Role.LEADER), ("c", Role.FOLLOWER)):
        group["a"].step(peer, AppendReply(term=1, match_index=index))
        group.drive("a")
        assert group["a"].role is role
    assert len(group.sent(TimeoutNow, "a")) == 1


# --- those who were removed -------------------------------------------------------------------------------------------


def test_votes_are_refused_within_the_minimum_election_timeout_of_hearing_a_leader(in_role):
    """6: who heard a leader within the shortest time-out takes neither term nor candidate from a vote request."""
    group = in_role("follower")
    group["a"].step("c", VoteRequest(term=2, last_index=9, last_term=1))
    (reply,) = group.sent(VoteReply, "a")
    assert (reply.granted, group["a"].term) == (False, 1)
    group.tick("a", 10)
    group.take("a")
    group["a"].step("c", VoteRequest(term=2, last_index=9, last_term=1))
    (reply,) = group.sent(VoteReply, "a")
    assert (reply.granted, group["a"].term) == (True, 2)


def test_a_removed_node_disturbs_nobody(make_group):
    """6: it hears no heartbeats any more; whatever terms it asks for, while a leader is heard nobody follows it."""
    group = make_group("abc")
    group.elect("a")
    group.change("a", remove="c")
    group.take("a", "c")
    group.deliver("a", "b")
    group.deliver("b", "a")
    group.take("a", "c")
    group.stabilize()
    for term in range(2, 9):
        group.tick("a")
        group.stabilize()
        for peer in "ab":
            group[peer].step("c", VoteRequest(term=term, last_index=99, last_term=1))
        assert not any(m.granted for m in group.sent(VoteReply, None, "c"))
    assert (group["a"].role, group["a"].term, group["b"].term) == (Role.LEADER, 1, 1)


def test_ordinary_elections_are_not_hindered(in_role):
    """6: whoever campaigns has waited for the shortest time-out itself, and so, by then, have the others."""
    group = in_role("follower", "abcde")
    group.crash("b")
    for name in "acde":
        group.tick(name, 10)
    group.take()
    group.elect("a")
    assert {group[name].leader for name in "acde"} == {"a"}


def test_a_leader_of_a_configuration_that_a_node_does_not_know_is_obeyed(make_group):
    """6: nodes take requests of servers outside their own configuration, or a newcomer could never be led."""
    group = make_group("abc")
    group["a"].step("x", Heartbeat(term=3, commit_index=0, round=1))
    assert (group["a"].leader, group["a"].term) == ("x", 3)
    group.tick("a", 10)
    group.take()
    group["a"].step("y", VoteRequest(term=4, last_index=1, last_term=3))
    assert [m.granted for m in group.sent(VoteReply, "a", "y")] == [True]


def test_a_newcomer_that_has_not_come_to_its_own_entry_is_not_removed(make_group):
    """4.2.1: it catches up through a past in which it was no member."""
    group = make_group("abc", entries_kept=0)
    group.elect("a")
    group.change("a", add="d")
    group.stabilize()
    group.snapshot("a")
    group.join("e")
    group.change("a", add="e")
    committed, removed = set(), set()
    for _ in range(20):
        for name in "abc":
            group.tick(name)
        group.deliver()
        committed.add(group["e"].commit_index)
        removed.add(group["e"].is_removed)
    assert group["e"].configuration_index - 1 in committed, "it jumped over the past"
    assert removed == {False}
    group.change("a", remove="e")
    group.stabilize()
    assert group["e"].is_removed


def test_a_leaver_is_served_until_it_can_hear_that_it_is_out(make_group):
    """4.2.2: two seconds are enough for that, but only from the moment when it is committed."""
    group = make_group("abc")
    group.elect("a")
    group.change("a", remove="c")
    for sender, to in ("ab", "ac", "ca", "ba"):
        group.deliver(sender, to)
    group.held.add("b")  # of the last entry, which b alone can commit
    for _ in range(28):  # a leader stays no longer with a majority that cannot write
        for name in "abc":
            group.tick(name)
        group.stabilize()
    assert group["a"].commit_index < group["a"].configuration_index
    group.held.clear()
    group.persist("b")
    group.stabilize()
    assert group["c"].is_removed
    group.tick("a", 20)
    assert "c" not in group["a"].followers


def test_a_node_that_is_added_again_has_to_show_anew_what_it_holds(make_group):
    """It may have begun with an empty store meanwhile."""
    group = make_group("abc")
    group.elect("a")
    group.join("d")
    group.change("a", add="d")
    group.stabilize()
    group.change("a", remove="d")
    group.stabilize()
    assert group["a"].followers["d"].match == group["a"].last_index
    group.change("a", add="d")
    assert group["a"].followers["d"].match == 0
    group.stabilize()
    assert group["a"].followers["d"].match == group["a"].last_index


def test_a_learner_that_needs_a_snapshot_cannot_vote_however_short_the_log_is(make_group):
    """4.2.1: it lacks what was compacted as well; another voter tells the leader about it, which sends it nothing."""
    group = make_group("abc", workers_direct_max=1, entries_kept=0)
    group.elect("a")
    for name in "ed":
        group.join(name)
    group.change("a", add="ed")
    for _ in range(30):
        for name in "abcde":
            group.tick(name)
        group.stabilize()
    held = group["a"].followers["d"].match
    assert held == group["a"].last_index
    group.crash("d")
    for payload in "xyz":
        group.propose("a", payload)
        group.stabilize()
    group.snapshot("a")
    group["a"].step("d", AppendReply(term=1, match_index=held))
    with pytest.raises(Conflict, match="learner d cannot vote yet"):
        group.change("a", promote="d")
