"""Read index: one test for each sentence of section 6.4 of the dissertation, and for bugs that others had."""

from __future__ import annotations

import pytest

from aether.consensus.messages import AppendEntries, Heartbeat, HeartbeatReply, ReadReply, ReadRequest, TimeoutNow
from aether.consensus.reads import Read, ReadRounds
from aether.consensus.values import Role
from aether.errors import NotLeader, Overloaded


def sent(group, kind, sender=None, to=None):
    return [message for _, _, message in group.take(sender, to) if isinstance(message, kind)]


@pytest.fixture
def led(group):
    """a leads b and c; everything is committed, nothing is on its way."""
    group.elect("a")
    group.reads.clear()
    return group


# --- the dissertation, 6.4 --------------------------------------------------------------------------------------------


def test_a_read_writes_nothing(led):
    """6.4: linearizable reads can be processed without appending to the log."""
    before = led["a"].last_index
    led.read("a", 1)
    led.stabilize()
    assert led.reads == [("a", 1, before)]
    assert led["a"].last_index == before


def test_b08_a_leader_whose_own_entry_is_not_committed_waits_until_it_is(make_group, persisted_with):
    """6.4: if the leader has not yet marked an entry from its current term committed, it waits until it has done so.

    A fresh leader that answered at once would miss what its predecessor committed (Redis-Raft 19, etcd 7331).
    """
    group = make_group("abc")
    for name in "abc":
        group.start(name, persisted_with(1, 1, commit=1))
    group.campaign("a")
    while group["a"].role is not Role.LEADER:
        group.deliver()
    group.read("a", 7)
    group.take("a", "b")
    group.take("a", "c")
    for _ in range(3):  # rounds of heartbeats are answered, but the no-op is not committed
        group.tick("a")
        group.wire = [m for m in group.wire if isinstance(m[2], Heartbeat)]
        group.deliver("a")
        group.wire = [m for m in group.wire if isinstance(m[2], HeartbeatReply)]
        for peer in "bc":
            for _, _, message in group.take(peer, "a"):
                group["a"].step(peer, message)
    assert group.reads == []
    group.stabilize()
    assert group.reads == [("a", 7, 3)]


def test_the_index_of_a_read_is_the_commit_index_when_its_round_begins(led):
    """6.4: the leader saves its current commit index; what commits later the read need not see."""
    led.read("a", 1)
    led.propose("a", "x")
    led.stabilize()
    assert led["a"].commit_index == 2
    assert led.reads == [("a", 1, 1)]


def test_a_read_waits_for_a_majority_of_answers_to_a_round_begun_after_it_came(make_group):
    """6.4: the leader needs to make sure it has not been superseded: a round of heartbeats, answered by a majority."""
    group = make_group("abcde")
    group.elect("a")
    group.read("a", 1)
    beats = sent(group, Heartbeat, "a")
    assert [beat.round for beat in beats] == [1] * 4
    group["a"].step("b", HeartbeatReply(term=1, round=1))
    group["a"].step("b", HeartbeatReply(term=1, round=1))
    group.drive("a")
    assert group.reads == []
    group["a"].step("c", HeartbeatReply(term=1, round=1))
    group.drive("a")
    assert group.reads == [("a", 1, 1)]


def test_one_round_confirms_any_number_of_reads(led):
    """6.4: a single round of heartbeats is enough for all reads that the leader has accumulated."""
    for context in range(50):
        led["a"].read_index(context)
    assert len(sent(led, Heartbeat, "a")) == 2
    led["a"].step("b", HeartbeatReply(term=1, round=1))
    led.drive("a")
    assert led.reads == [("a", context, 1) for context in range(50)]


def test_followers_ask_the_leader_and_answer_themselves(led):
    """6.4: a follower asks the leader for a read index, and serves the read when it has applied that far."""
    led.propose("a", "x")
    led.stabilize()
    led.read("b", 1)
    assert led.deliver("b", "a") == 1
    led.stabilize()
    assert led.reads == [("b", 1, 2)]


def test_a_node_without_a_leader_says_so(group):
    """Nobody could confirm it; the caller waits for the election, not for a reply."""
    with pytest.raises(NotLeader):
        group["b"].read_index(1)
    assert group["b"].ready() is None


def test_a_group_of_one_confirms_at_once(make_group):
    """There is nobody else who could lead."""
    group = make_group("a")
    group.stabilize()
    group.read("a", 1)
    assert group.reads == [("a", 1, 1)]


# --- a follower's question is its own vote of confidence ---


def test_in_a_group_of_three_a_followers_question_confirms_itself(led):
    """It was sent after the read began, by a node that followed this leader then: with the leader, a majority."""
    led.cut = {("a", "c")}
    led.read("b", 1)
    led.deliver("b", "a")
    led.deliver("a", "b")

    assert led.reads == [("b", 1, led["a"].commit_index)]
    assert sent(led, Heartbeat, "a", "c") == []


def test_in_a_group_of_five_it_takes_one_more(make_group):
    """Two of five prove nothing: the other three may follow somebody else by now."""
    group = make_group("abcde")
    group.elect("a")
    group.reads.clear()
    group.cut = {("a", other) for other in "cde"}
    group.read("b", 1)
    group.deliver("b", "a")
    group.deliver("a", "b")

    assert group.reads == []


def test_a_question_of_an_earlier_term_vouches_for_nothing(led):
    """What its sender did in later terms is not known."""
    led["b"].step("a", TimeoutNow(term=1))
    led.drive("b")
    led.stabilize()
    assert led["b"].role is Role.LEADER
    led.cut = {("b", "a"), ("b", "c")}
    led["b"].step("c", ReadRequest(term=1, context=9))
    led.drive("b")

    assert sent(led, ReadReply, "b", "c") == []


def test_a_new_leader_vouches_for_nothing_before_its_own_entry_is_committed(make_group):
    """B8: until then an earlier leader may have committed, and acknowledged, more than this one knows of."""
    group = make_group("abc")
    group.elect("a")
    group["b"].step("a", TimeoutNow(term=1))
    group.drive("b")
    group.deliver("b", "c")
    group.deliver("c", "b")
    assert group["b"].role is Role.LEADER
    group["b"].step("c", ReadRequest(term=2, context=9))
    group.drive("b")

    assert sent(group, ReadReply, "b", "c") == []


# --- losing leadership ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asker", ["a", "b"])
def test_b36_reads_of_a_leader_that_steps_down_are_refused(make_group, asker):
    """Explicitly, so that the asker repeats them at once (etcd: read-only queue leak)."""
    led = make_group("abcde")
    led.elect("a")
    led.reads.clear()
    led.read(asker, 1)
    led.deliver(asker, "a")
    led.take("a")
    led["a"].step("c", AppendEntries(term=2, prev_index=1, prev_term=1, commit_index=1))
    led.stabilize()
    assert led.reads == [(asker, 1, 0)]


def test_a_leader_that_hears_nobody_refuses_what_waits(led):
    """Check-quorum ends the leadership, and with it the reads."""
    led.read("a", 1)
    led.cut = {("a", "b"), ("a", "c")}
    led.tick("a", 11)
    assert led["a"].role is Role.FOLLOWER
    assert led.reads == [("a", 1, 0)]


def test_whoever_is_wrongly_taken_for_the_leader_refuses(led):
    """The asker must not wait for its time-out."""
    led["b"].step("c", ReadRequest(term=1, context=9))
    led.drive("b")
    assert sent(led, ReadReply, "b", "c") == [ReadReply(context=9, index=0)]
    led["c"].step("b", ReadReply(context=9, index=0))
    led.drive("c")
    assert led.reads == [("c", 9, 0)]


def test_a_leader_that_hands_over_is_not_confirmed_by_its_successor(led):
    """A transfer needs no lease to be safe: once others follow the new leader, nobody confirms the old (TiKV 9239)."""
    led["a"].transfer("b")
    led.read("a", 1)
    led.deliver("a", "b")
    led.deliver("b", "a")
    assert led.reads == [("a", 1, 0)]  # b had begun its campaign when it heard the heartbeat
    led.stabilize()
    assert led["b"].role is Role.LEADER
    led.reads.clear()
    led["a"].read_index(2)
    led.stabilize()
    assert led.reads == [("a", 2, 2)]


def test_an_old_leader_is_not_confirmed_by_voters_of_the_new_one(led):
    """B12: b leads by transfer, a has not heard; a's round must fail."""
    led["b"].step("a", TimeoutNow(term=1))
    led.drive("b")
    for _ in range(4):
        led.deliver("b", "c")
        led.deliver("c", "b")
    assert (led["b"].role, led["a"].role) == (Role.LEADER, Role.LEADER)
    led.take("b", "a")
    led.read("a", 1)
    led.deliver("a", "c")
    led.deliver("c", "a")
    led.stabilize()
    assert ("a", 1, 0) in led.reads
    assert not [read for read in led.reads if read[2]]


# --- old answers ------------------------------------------------------------------------------------------------------


def test_answers_to_heartbeats_sent_before_the_read_do_not_confirm_it(led):
    """B10, etcd 20418: a leader is paused with answers in its mailbox; meanwhile another one leads and commits."""
    led.tick("a")
    led.deliver("a")
    old = led.take(to="a")
    assert {type(message) for _, _, message in old} == {HeartbeatReply}
    led.read("a", 1)
    for sender, _, message in old:
        led["a"].step(sender, message)
    led.drive("a")
    assert led.reads == []


def test_a_read_that_comes_while_a_round_is_under_way_is_not_confirmed_by_it(led):
    """Its heartbeats left before the read came."""
    led.read("a", 1)
    led.read("a", 2)
    led["a"].step("b", HeartbeatReply(term=1, round=1))
    led.drive("a")
    assert led.reads == [("a", 1, 1)]
    assert sent(led, Heartbeat, "a", "b")[-1].round == 2
    led["a"].step("b", HeartbeatReply(term=1, round=2))
    led.drive("a")
    assert led.reads == [("a", 1, 1), ("a", 2, 1)]


def test_b09_the_same_context_twice_gets_two_answers_each_from_its_own_round(led):
    """B9, etcd/raft 397: a repeated or doubled request must not be given the index of the earlier one."""
    led["a"].step("b", ReadRequest(term=1, context=5))
    led.stabilize()
    led.propose("a", "x")
    led.stabilize()
    led["a"].step("b", ReadRequest(term=1, context=5))
    led.stabilize()
    assert led.reads == [("b", 5, 1), ("b", 5, 2)]


def test_reads_of_an_earlier_leadership_are_gone(led):
    """Leading again, the node must not answer what it refused."""
    led.read("a", 1)
    led.take("a")
    led["a"].step("c", AppendEntries(term=2, prev_index=1, prev_term=1, commit_index=1))
    led.drive("a")
    led.stabilize()
    led.tick("a", 20)
    led.elect("a")
    led.stabilize()
    assert led.reads == [("a", 1, 0)]


def test_an_answer_to_a_round_that_was_never_begun_confirms_nothing(led):
    """A broken peer must not vouch for what nobody asked it."""
    led["a"].step("b", HeartbeatReply(term=1, round=99))
    led.read("a", 1)
    assert led.reads == []


def test_a_heartbeat_of_a_tick_makes_good_a_lost_round(led):
    """Its number is higher, and it was sent after the read came."""
    led.read("a", 1)
    led.read("a", 2)
    led.take("a")
    led.tick("a")
    led.deliver("a", "b")
    led.deliver("b", "a")
    assert led.reads == [("a", 1, 1), ("a", 2, 1)]


# --- limits and side effects ------------------------------------------------------------------------------------------


def test_waiting_reads_are_bounded(make_group):
    """Without a majority they would pile up: callers are told, peers are refused."""
    group = make_group("abcde", reads_pending_max=2)
    group.elect("a")
    group.cut = {("a", other) for other in "bcde"}
    group.read("a", 1)
    group.read("a", 2)
    with pytest.raises(Overloaded):
        group.read("a", 3)
    group["a"].step("b", ReadRequest(term=1, context=4))
    assert sent(group, ReadReply, "a", "b") == [ReadReply(context=4, index=0)]


def test_room_is_made_by_answers_and_by_giving_up():
    """Else the bound would be reached once and for all."""
    rounds = ReadRounds(2)
    for start in (0, 2, 4):
        rounds.gather(Read("a", start))
        rounds.begun(start + 1, 1)
        rounds.gather(Read("a", start + 1))
        if start == 2:
            assert rounds.give_up() == [Read("a", 2), Read("a", 3)]
        else:
            rounds.begun(start + 2, 1)
            assert len(rounds.confirm(lambda number: True)) == 2


def test_frequent_reads_do_not_make_a_slow_follower_look_lossy(led):
    """Rounds for reads come every millisecond: an append under way for two of them is not lost."""
    led.held = {"b", "c"}
    led.propose("a", "x")
    led.deliver("a")
    for context in range(5):
        led.read("a", context)
        led.deliver("a")
        led.deliver("b", "a")
        led.deliver("c", "a")
    assert len(led.reads) == 5
    assert not [message for _, _, message in led.take("a") if isinstance(message, AppendEntries)]


def test_learners_have_no_part_in_rounds_for_reads(make_group):
    """They cannot vouch for a leader, and busy readers would cost each of them thousands of messages a second."""
    group = make_group("abc")
    group.elect("a")
    group.join("d")
    group.change("a", add="d")
    group.stabilize()
    group.propose("a", "x")
    group.cut.add(("a", "d"))  # it lags, so that it is heartbeaten with each tick
    group.stabilize()
    group.read("a", 1)
    assert {to for _, to, message in group.take("a") if isinstance(message, Heartbeat) and message.round} == {"b", "c"}
    group.tick("a")
    assert {to for _, to, message in group.take("a") if isinstance(message, Heartbeat)} == {"b", "c", "d"}
