"""Lease reads: no stale one while clocks keep their bounds, and every way in which others had one (B10 to B12)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.consensus.clockwork import Clockwork

from aether.consensus.config import RaftConfig
from aether.consensus.elector import Elector
from aether.consensus.handover import Handover
from aether.consensus.lease import LeaseClock, LeaseRounds, Loyalty, lease_s
from aether.consensus.messages import VoteReply, VoteRequest
from aether.consensus.quorum import Configuration
from aether.consensus.values import Role
from aether.errors import AetherError, BadInput
from aether.model.limits import ELECTION_TICKS_MIN, TICK_S

# --- in true time, with clocks that differ ----------------------------------------------------------------------------


class Readers:
    """Each node is asked all the time; under a lease its leader answers alone, and the answer is checked."""

    def __init__(self, works):
        self.works = works
        self.count = 0
        self.stale = 0
        for process in works.processes.values():
            works.at(0.0, self._reader(process))

    def _reader(self, process):
        def read():
            works = self.works
            if works.true_s < process.paused_until:
                works.at(process.paused_until, read)  # the process goes on where it was: before it looks at its mail
                return
            core = process.core
            if process.lease.holds(core.term, core.leased_round, process.now_s(works.true_s)):
                self.count += 1
                self.stale += core.commit_index < works.committed
            works.at(works.true_s + 0.007, read)

        return read


def trouble(works, faults, pace_s):
    """Something happens to the leader or to somebody, again and again."""
    draw = works.random

    def cut_off(name):
        works.cut = {link for peer in works.processes for link in ((name, peer), (peer, name)) if peer != name}
        works.at(works.true_s + draw.uniform(0.5, 3.0), works.cut.clear)
        if draw.random() < 0.5:
            works.closed(name)

    def cut_one_way(name):
        works.cut = {(peer, name) if draw.random() < 0.7 else (name, peer) for peer in works.processes if peer != name}
        works.at(works.true_s + draw.uniform(0.5, 3.0), works.cut.clear)

    def transfer(name):
        to = draw.choice([peer for peer in works.processes if peer != name])

        def act(core):
            try:
                core.transfer(to)
            except AetherError:
                assert core.role is not Role.LEADER

        works.turn(works.processes[name], act)
        if draw.random() < 0.7:
            cut_off(name)

    def step(name):
        works.processes[name].stepped_s += draw.choice((0.5, 5.0))

    def restart_a_voter(name):
        """Somebody did not hear the leader for long; the one that refused it restarts, and the leader is cut off."""
        waits, restarts = draw.sample([peer for peer in works.processes if peer != name], 2)
        works.cut = {(name, waits), (waits, name)}

        def act():
            works.restart(restarts)
            cut_off(name)

        works.at(works.true_s + draw.uniform(1.5, 3.0), act)

    kinds = {
        "cut": cut_off,
        "one way": cut_one_way,
        "pause": lambda name: works.pause(name, draw.uniform(0.2, 3.0)),
        "transfer": transfer,
        "step": step,
        "restart": restart_a_voter,
    }

    def act():
        if works.leaders:
            name = draw.choice(works.leaders) if draw.random() < 0.8 else draw.choice(list(works.processes))
            if works.true_s >= works.processes[name].paused_until:
                kinds[draw.choice(faults)](name)
        works.at(works.true_s + draw.uniform(*pace_s), act)

    works.at(2.0, act)


EVERYTHING = ("cut", "one way", "pause", "transfer", "step", "restart")


def run(seed, error, faults=EVERYTHING, names="abc", pace_s=(0.3, 2.5), write_s=0.02):
    """Leased reads and the stale ones among them, with clocks that are wrong by up to `error`, one way or the other."""
    draw = random.Random(seed)
    rates = {name: draw.choice((1 - error, 1.0, 1 + error)) for name in names}
    works = Clockwork(names, seed, rates, lease_reads=True)
    readers = Readers(works)
    trouble(works, faults, pace_s)
    works.write_everywhere(write_s)
    works.run(60)
    return readers


@pytest.mark.parametrize("names", ["abc", "abcde"])
def test_b11_clocks_that_are_ten_percent_wrong_give_no_stale_read(names):
    """B11: the lease is shorter than the promise by both errors. Cuts, pauses, steps, transfers, restarts."""
    runs = [run(seed, 0.1, names=names) for seed in range(3)]
    assert sum(readers.stale for readers in runs) == 0
    assert all(readers.count > 500 for readers in runs)


def test_clocks_that_are_forty_percent_wrong_are_noticed():
    """Outside the bound stale reads are to be expected: a checker that saw none would see nothing."""
    assert any(run(seed, 0.4, ("cut",)).stale for seed in range(12))


def test_b10_a_paused_leader_answers_nothing_when_it_wakes():
    """Its ticks stood still and its mail waits, but its clock went on: that is why the lease is measured by a clock."""
    runs = [run(seed, 0.0, ("pause",)) for seed in range(4)]
    assert sum(readers.stale for readers in runs) == 0
    assert all(readers.count > 500 for readers in runs)


def test_b12_no_lease_outlives_the_beginning_of_a_transfer(monkeypatch):
    """The receiver is voted for although the leader lives; without the rule this run has stale reads."""
    assert sum(run(seed, 0.0, ("transfer",)).stale for seed in range(3)) == 0
    monkeypatch.setattr(Handover, "was_tried", property(lambda self: False, lambda self, value: None), raising=False)
    assert any(run(seed, 0.0, ("transfer",)).stale for seed in range(6))


def test_a_restarted_voter_keeps_the_promise_that_it_forgot(monkeypatch):
    """Without the rule a leader that is cut off reads on while a follower that restarted has elected another."""
    idle = {"pace_s": (6, 8), "write_s": 5.0}  # who did not hear the leader for long may still have the whole log
    assert sum(run(seed, 0.0, ("restart",), **idle).stale for seed in range(6)) == 0

    class Forgetful(Loyalty):
        def __init__(self, ticks):
            super().__init__(ticks)
            self._left = 0

    monkeypatch.setattr("aether.consensus.elector.Loyalty", Forgetful)
    assert any(run(seed, 0.0, ("restart",), **idle).stale for seed in range(12))


def test_a_closed_connection_frees_nobody_from_the_promise(monkeypatch):
    """The leader may live behind a broken network: failover waits, or a stale read would be possible."""
    assert sum(run(seed, 0.0, ("cut",)).stale for seed in range(3)) == 0

    def campaign_now(self):
        self._leader = None
        self._loyalty = Loyalty(0)
        self._start_campaign(pre=True)

    monkeypatch.setattr(Elector, "_leader_closed", campaign_now)
    assert any(run(seed, 0.0, ("cut",)).stale for seed in range(6))


# --- the promise ------------------------------------------------------------------------------------------------------


def ask(group, voter, candidate, term, **fields):
    """One request for a vote, and the voter's answer."""
    group.take()
    group[voter].step(candidate, VoteRequest(term=term, last_index=9, last_term=9, **fields))
    (answer,) = [m for _, to, m in group.take(voter, candidate) if isinstance(m, VoteReply)]
    return answer.granted


@pytest.fixture
def leased(make_group):
    """a leads b and c, who have promised not to elect anybody else."""
    group = make_group("abc", lease_reads=True)
    for name in "abc":
        group.tick(name, ELECTION_TICKS_MIN)
    group.stabilize()
    group.elect("a")
    return group


@pytest.mark.parametrize("pre", [True, False])
def test_a_higher_term_does_not_free_a_voter_from_its_promise(leased, pre):
    """It may hear of one from anybody; the leader that it heard a moment ago reads on meanwhile."""
    leased["b"].step("c", VoteReply(term=7, granted=False))
    assert leased["b"].term == 7
    assert leased["b"].leader is None
    leased.tick("b", ELECTION_TICKS_MIN - 1)
    assert not ask(leased, "b", "c", 8, pre=pre)
    leased.tick("b")
    assert ask(leased, "b", "c", 8, pre=pre)


def test_a_vote_in_the_term_that_was_only_heard_of_is_refused_as_well(leased):
    """The request that names no newer term must not pass by the promise."""
    leased["b"].step("c", VoteReply(term=7, granted=False))
    assert not ask(leased, "b", "c", 7)


def test_the_leader_itself_may_be_voted_for(leased):
    """If it asks, it has restarted and holds no lease any more."""
    leased["b"].step("c", VoteReply(term=7, granted=False))
    assert ask(leased, "b", "a", 8)


def test_after_a_start_nobody_is_voted_for_until_an_election_time_out(make_group):
    """Whom it heard before, and when, it does not know any more."""
    group = make_group("abc", lease_reads=True)
    assert not ask(group, "a", "b", 9, pre=True)
    assert not ask(group, "a", "b", 9)
    group.tick("a", ELECTION_TICKS_MIN - 1)
    assert not ask(group, "a", "b", 9)
    group.tick("a", 1)
    assert ask(group, "a", "b", 9)


def test_a_group_of_one_leads_at_once_and_reads(make_group):
    """It waits for nobody's promise."""
    group = make_group("a", lease_reads=True)
    group.stabilize()
    assert group["a"].role is Role.LEADER
    group.tick("a")
    assert group["a"].leased_round == group["a"].begun_round == 1


def test_without_the_setting_nothing_is_promised(make_group):
    """Elections are as fast as ever: the vote is free as soon as the term is."""
    group = make_group("abc")
    group.elect("a")
    group["b"].step("c", VoteReply(term=7, granted=False))
    assert ask(group, "b", "c", 8)


# --- which round counts -----------------------------------------------------------------------------------------------


def test_a_round_counts_once_a_quorum_has_promised(leased):
    """The leader and one of two."""
    leased.tick("a")
    assert leased["a"].leased_round == 0
    leased.deliver("a", "b")
    leased.deliver("b", "a")
    assert leased["a"].leased_round == leased["a"].begun_round == 1


def test_a_follower_that_does_not_promise_carries_no_lease(make_group):
    """Its settings differ: reads go the longer way, and stay right."""
    group = make_group("abc")
    group.settings["lease_reads"] = True
    group.start("a")
    group.tick("a", ELECTION_TICKS_MIN)
    group.stabilize()
    group.elect("a")
    group.tick("a")
    group.stabilize()
    assert group["a"].begun_round == 1
    assert group["a"].leased_round == 0


def test_no_lease_before_an_entry_of_the_term_is_committed(make_group):
    """Until then the leader does not know of all that its predecessors committed."""
    group = make_group("abc", lease_reads=True)
    for name in "abc":
        group.tick(name, ELECTION_TICKS_MIN)
    group.stabilize()
    group.campaign("a")
    while group["a"].role is not Role.LEADER:
        group.deliver()
    group.take()
    group.tick("a")
    group.stabilize()
    assert group["a"].leased_round == 1
    group["a"]._leadership._own_start = group["a"].commit_index + 1
    assert group["a"].leased_round == 0


def test_no_lease_in_a_term_in_which_a_transfer_was_begun(leased):
    """Even when it was given up: the word to campaign may arrive late."""
    leased.tick("a")
    leased.stabilize()
    assert leased["a"].leased_round
    leased.cut = {("a", "b"), ("b", "a")}
    leased["a"].transfer("b")
    for _ in range(ELECTION_TICKS_MIN + 1):
        leased.tick("a")
        leased.stabilize()
    assert leased["a"].transferee is None
    assert leased["a"].role is Role.LEADER
    assert leased["a"].leased_round == 0


def test_a_new_configuration_needs_a_quorum_of_its_own(make_group):
    """It is in force when it is appended: answers of the old members alone carry nothing any more."""
    group = make_group("abc", lease_reads=True)
    for name in "abc":
        group.tick(name, ELECTION_TICKS_MIN)
    group.stabilize()
    group.elect("a")
    group.join("d")
    group.join("e")
    group.change("a", add="de")
    group.stabilize()
    group.tick("a")
    group.stabilize()
    assert group["a"].leased_round == group["a"].begun_round
    group.cut = {(one, other) for one in "de" for other in "abc"}
    group.change("a", promote="de", demote="bc")
    assert group["a"].leased_round == 0  # neither d nor e has answered a round


def test_a_leader_without_a_vote_has_no_lease():
    """Who stays may be a single voter, which leads as soon as it starts."""
    rounds = LeaseRounds()
    rounds.answered("b", 5, promised=True)
    assert rounds.newest(Configuration(("a", "b")), "a", 6) == 5
    assert rounds.newest(Configuration(("b",)), "a", 6) == 0


def test_an_answer_without_the_promise_voids_those_before_it():
    """The follower may have restarted with other settings."""
    rounds = LeaseRounds()
    rounds.answered("b", 5, promised=True)
    rounds.answered("b", 7, promised=False)
    rounds.answered("b", 6, promised=True)  # late
    assert rounds.newest(Configuration(("a", "b", "c")), "a", 7) == 0
    rounds.answered("b", 8, promised=True)
    assert rounds.newest(Configuration(("a", "b", "c")), "a", 9) == 8


# --- until when -------------------------------------------------------------------------------------------------------


def test_a_lease_is_shorter_than_the_promise_by_both_clock_errors():
    """Holder 10 % slow, voters 10 % fast, and three ticks that a late loop may give at once."""
    true_lease_s = lease_s(ELECTION_TICKS_MIN, TICK_S) / 0.9
    true_promise_s = (ELECTION_TICKS_MIN - 3) * TICK_S / 1.1
    assert true_lease_s == pytest.approx(true_promise_s)
    assert lease_s(ELECTION_TICKS_MIN, TICK_S) > 3 * TICK_S  # three lost rounds do not end it


@given(
    steps=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2), st.integers(0, 3)), max_size=60),
)
def test_a_lease_never_lasts_longer_than_from_before_its_round_began(steps):
    """Against the plain rule: the newest round answered, and the time of the turn in which it began."""
    clock = LeaseClock(0.5)
    begun, answered, now_s, not_before_s = {}, 0, 0.0, 0.0
    number = 0
    for elapsed_s, begins, answers in steps:
        clock.note(1, number, not_before_s)
        not_before_s = now_s
        for _ in range(begins):
            number += 1
            begun[number] = now_s
        answered = min(number, answered + answers)
        now_s += elapsed_s
        if clock.holds(1, answered, now_s):
            assert answered
            assert now_s < begun[answered] + 0.5
        assert not clock.holds(2, answered, now_s)


def test_rounds_that_nobody_answers_are_not_remembered_without_end():
    """A leader that is cut off begins a round each tick until it steps down."""
    clock = LeaseClock(0.5)
    for number in range(1, 10_000):
        clock.note(1, number, number / 10)
    assert len(clock._begun) <= 64
    assert not clock.holds(1, 9_999, 1_000.0)
    assert not clock.holds(1, 0, 0.0)


def test_a_time_out_too_short_for_any_lease_is_refused():
    """With a next step, at start: not found out by reads that never become faster."""
    with pytest.raises(BadInput, match="election_ticks_min above 3"):
        RaftConfig(
            node="a", voters="a", random=random.Random(1), election_ticks_min=3, election_ticks_max=6, lease_reads=True
        )
