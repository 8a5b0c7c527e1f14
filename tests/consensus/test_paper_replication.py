"""Raft by the paper, sections 5.3, 5.4.2 and 5.5: replication, commitment, crashed followers. A test for each sentence.

Ongaro, Ousterhout: In Search of an Understandable Consensus Algorithm (extended version, 2014).
"""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.consensus.messages import AppendEntries, AppendReply, Heartbeat, VoteReply, VoteRequest
from aether.consensus.values import Role

# --- 5.3 log replication ----------------------------------------------------------------------------------------------


def test_the_leader_appends_a_command_and_sends_it_to_the_others_in_parallel(in_role):
    """5.3: a command joins the leader's log, and goes to all others at once."""
    group = in_role("leader")
    group.propose("a", "x")
    got = {to: (m.prev_index, m.prev_term, [e.payload for e in m.entries]) for _, to, m in group.take("a")}
    assert got == {"b": (1, 1, [b"x"]), "c": (1, 1, [b"x"])}


@pytest.mark.parametrize("size", [3, 5])
def test_an_entry_is_committed_once_a_majority_has_replicated_it(in_role, size):
    """5.3: committed means that more than half store it: for each set of followers that acknowledge."""
    names = "abcde"[:size]
    for count in range(size - 1):
        for acknowledging in itertools.combinations(names[1:], count):
            group = in_role("leader", names)
            group.propose("a", "x")
            for peer in acknowledging:
                group["a"].step(peer, AppendReply(term=1, match_index=2))
            group.drive("a")
            assert (group["a"].commit_index == 2) is (count + 1 > size // 2), acknowledging


def test_the_leader_applies_what_it_committed_in_order(in_role):
    """5.3: what is replicated safely is applied by the leader, in the order of the log."""
    group = in_role("leader")
    group.propose("a", "x", "y")
    group.stabilize()
    assert [e.payload for e in group.applied["a"]] == [b"", b"x", b"y"]


def test_followers_learn_the_commit_index_and_apply_in_log_order(in_role):
    """5.3: followers apply the same, in the same order, when they hear that it is committed."""
    group = in_role("leader")
    group.propose("a", "x", "y")
    group.stabilize()
    assert group.applied["a"] == group.applied["b"] == group.applied["c"]


def test_committing_commits_all_preceding_entries(make_group, persisted_with):
    """5.3: with an entry everything before it is committed, whoever wrote it."""
    group = make_group("abc")
    for name in "abc":
        group.start(name, persisted_with(1, 2, term=2))
    group.elect("a")
    assert group["c"].commit_index == 3
    assert [e.term for e in group.applied["c"]] == [1, 2, 3]


def test_a_follower_refuses_entries_when_it_lacks_the_one_before(make_group, persisted_with):
    """5.3: entries fit only behind the one that the leader names, of the same index and term."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 2))
    for prev_index, prev_term, rejected in ((0, 0, False), (1, 1, False), (2, 2, False), (2, 1, True), (3, 2, True)):
        group["a"].step("b", AppendEntries(term=3, prev_index=prev_index, prev_term=prev_term, commit_index=0))
        (reply,) = group.sent(AppendReply, "a")
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
    """5.3: where the logs differ the leader's is right; what agrees is not touched."""
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
    """5.3, figure 7: whatever a follower's log looks like, in the end it is the leader's."""
    group = make_group("lfo")
    group.start("l", persisted_with(1, 1, 1, 4, 4, 5, 5, 6, 6, 6, term=7))
    group.start("f", persisted_with(*FIGURE_7[shape], term=7))
    group.elect("l")
    group.tick("l")
    group.stabilize()
    assert group.terms("f") == group.terms("l") == [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 8]


def test_a_leader_never_overwrites_its_own_log(in_role, entries_of):
    """5.3, figure 3: a leader only appends. Two leaders of one term are a broken cluster: stop, do not obey."""
    group = in_role("leader")
    message = AppendEntries(term=1, prev_index=0, prev_term=0, commit_index=0, entries=entries_of(1))
    with pytest.raises(AssertionError, match="also leads term 1"):
        group["a"].step("b", message)


def test_an_entry_knows_its_term_and_its_place(make_group):
    """5.3: each entry stores the term in which a leader took it, and its index, which never changes."""
    group = make_group("abc")
    group.elect("a")
    group.propose("a", "x")
    group.stabilize()
    group["a"].transfer("b")
    group.stabilize()
    group.propose("b", "y")
    group.stabilize()
    for name in "abc":
        stored = group.disks[name].load().entries
        assert [(e.index, e.term, e.payload) for e in stored] == [(1, 1, b""), (2, 1, b"x"), (3, 2, b""), (4, 2, b"y")]


def test_a_leader_sends_until_every_follower_has_everything(make_group):
    """5.3: what is committed, and answered to its client, still goes to those who were away, however long."""
    group = make_group("abc")
    group.elect("a")
    group.crash("c")
    group.propose("a", "x")
    group.stabilize()
    assert [e.payload for e in group.applied["a"]] == [b"", b"x"]
    for _ in range(50):
        group.tick("a")
        group.stabilize()
    group.start("c")
    for _ in range(2):
        group.tick("a")
        group.stabilize()
    assert group.log("c") == group.log("a")


def test_a_slow_follower_holds_nobody_up(make_group):
    """5.3, 2: a majority is enough; an entry is committed one round trip after it was proposed."""
    group = make_group("abcde")
    group.elect("a")
    group.cut = {("a", "d"), ("a", "e")}
    for number in range(20):
        group.propose("a", f"x{number}")
        group.deliver("a")
        group.deliver(None, "a")
        assert group["a"].commit_index == 2 + number


def test_appends_and_heartbeats_carry_the_commit_index(in_role):
    """5.3: followers hear how far the leader has committed with whatever it sends next, even with nothing else."""
    group = in_role("leader")
    group.propose("a", "x")
    for peer in "bc":
        group["a"].step(peer, AppendReply(term=1, match_index=2))
    group.drive("a")
    assert [m.commit_index for m in group.sent(Heartbeat, "a")] == [2, 2]
    group.tick("a")
    assert [m.commit_index for m in group.sent(Heartbeat, "a")] == [2, 2]
    group.propose("a", "y")
    assert [m.commit_index for m in group.sent(AppendEntries, "a")] == [2, 2]


def test_a_follower_commits_no_further_than_what_it_was_just_shown(make_group, persisted_with):
    """5.3, figure 2: the smaller of the leader's commit index and the last new entry; what lies behind may be wrong."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 1, 1, 1, term=1))
    for prev_index, commit in ((1, 1), (2, 2)):
        message = AppendEntries(term=2, prev_index=prev_index, prev_term=1, commit_index=9)
        group["a"].step("b", message)
        group.drive("a")
        assert group["a"].commit_index == commit


def test_a_new_leader_begins_behind_its_own_last_entry(make_group, persisted_with):
    """5.3: it guesses that everybody has all that it has, and does nothing else to bring the others into line."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 1, 2, term=2))
    group.campaign("a")
    group["a"].step("b", VoteReply(term=2, granted=True, pre=True, campaign=1))
    group.drive("a")
    group["a"].step("b", VoteReply(term=3, granted=True, campaign=2))
    group.drive("a")
    assert group["a"].role is Role.LEADER
    sent = [(to, m) for _, to, m in group.take("a") if not isinstance(m, VoteRequest)]
    assert [(to, m.prev_index, m.prev_term, len(m.entries)) for to, m in sent] == [("b", 3, 2, 1), ("c", 3, 2, 1)]


@pytest.mark.parametrize("terms", list(itertools.combinations_with_replacement((1, 2, 3), 4)))
def test_a_refused_append_is_tried_further_back_until_it_fits(make_group, persisted_with, terms):
    """5.3: the leader goes back, one conflicting term at a time, and ends where the logs agree, or at the start."""
    group = make_group("ab")
    ours = (1, 1, 4, 4, 4, 5)
    agreed = next((i for i, (x, y) in enumerate(zip(ours, terms, strict=False)) if x != y), 4)
    group.start("a", persisted_with(*ours, term=5))
    group.start("b", persisted_with(*terms, term=5))
    group.campaign("a")
    for _ in range(4):
        group.deliver()
    refusals = 0
    while group["b"].last_index < 7:
        for sender, to, message in group.take():
            refusals += isinstance(message, AppendReply) and message.rejected
            group[to].step(sender, message)
    assert group.terms("b") == [*ours, 6]
    assert refusals <= len({*terms[agreed:]}) + 1


# --- 5.4.2 entries of earlier terms -----------------------------------------------------------------------------------


def test_only_entries_of_its_own_term_are_committed_by_counting(make_group, persisted_with):
    """5.4.2: only entries of the leader's own term are committed by counting; the others along with them."""
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


def test_entries_of_earlier_terms_keep_their_term(make_group, persisted_with):
    """5.4.2: a leader does not rename what it found; the term of an entry is the same in every log for ever."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 2, term=4))
    group.elect("a")
    assert group.terms("a") == group.terms("b") == group.terms("c") == [1, 2, 5]


# --- 5.5 crashed followers and candidates -----------------------------------------------------------------------------


def test_requests_to_a_crashed_node_are_repeated(make_group):
    """5.5: until it is back; nothing else has to notice that it was away."""
    group = make_group("abc")
    group.crash("b")
    group.crash("c")
    group.campaign("a")
    group.stabilize()
    group.start("b")
    group.tick("a", 20)
    group.stabilize()
    assert group["a"].role is Role.LEADER


def test_the_same_request_twice_is_as_good_as_once(make_group, entries_of):
    """5.5: a node may crash after it obeyed and before it answered, so each request may come again."""
    group = make_group("abc")
    append = AppendEntries(term=2, prev_index=0, prev_term=0, commit_index=1, entries=entries_of(1, 2))
    vote = VoteRequest(term=3, last_index=9, last_term=2)
    answers = []
    for _ in range(2):
        group["a"].step("b", append)
        group.drive("a")
        answers.append(group.take("a"))
        assert (group.log("a"), group["a"].commit_index) == ("1/1:e1t1 2/2:e2t2", 1)
    group.tick("a", 10)
    group.take()
    for _ in range(2):
        group["a"].step("c", vote)
        answers.append(group.take("a"))
    assert answers[0] == answers[1]
    assert answers[2] == answers[3]
    assert [e.index for e in group.applied["a"]] == [1]


# --- 5.3 and 5.4.3: what must hold whatever happens -------------------------------------------------------------------

STEPS = st.tuples(
    st.sampled_from(["elect", "elect", "propose", "propose", "talk", "drop", "crash"]), st.permutations("abc")
)
"""What happens, and to whom: the first of the three, with the second; the third hears nothing of it."""


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, min_size=15, max_size=40))
def test_logs_that_share_an_entry_share_all_before_it_and_machines_agree(group_class, steps):
    """5.3, figure 3: Log Matching. 5.4.3: State Machine Safety: what one applied at an index no other differs in."""
    group = group_class("abc")
    for number, (what, (one, other, _)) in enumerate(steps):
        if what == "elect":
            for name in "abc":
                group.tick(name, 10)
            group.take()
            if group[one].role is not Role.LEADER:
                group.campaign(one)
        elif what == "propose" and group[one].role is Role.LEADER:
            group.propose(one, f"p{number}")
        elif what == "crash":
            group.crash(one)
            group.start(one)
        elif what == "drop":
            group.take(one, other)
        for _ in range(5 if what in ("elect", "talk") else 0):
            group.deliver(one, other)
            group.deliver(other, one)
        _check_agreement(group)


def _check_agreement(group):
    for one, other in itertools.combinations("abc", 2):
        mine, theirs = list(group[one]._log.entries()), list(group[other]._log.entries())
        shared = [i for i, (x, y) in enumerate(zip(mine, theirs, strict=False)) if x.term == y.term]
        if shared:
            assert mine[: shared[-1] + 1] == theirs[: shared[-1] + 1]
        assert all(x == y for x, y in zip(group.applied[one], group.applied[other], strict=False))
