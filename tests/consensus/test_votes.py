"""Votes: one per term and node over all its lives, given again when asked again, whatever is lost, doubled or late."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aether.consensus.config import RaftConfig
from aether.consensus.core import RaftCore
from aether.consensus.messages import TimeoutNow, VoteReply, VoteRequest
from aether.consensus.values import Role
from aether.errors import AetherError
from aether.storage.memory import MemoryStorage

NAMES = ("a", "b", "c", "d")  # an even number: elections can end in a draw
ELECTION_TICKS = (4, 8)


class Elections(RuleBasedStateMachine):
    """Four cores and every message that was ever sent; hypothesis says what happens to whom."""

    @initialize(seed=st.integers(0, 1_000), leases=st.booleans(), wished=st.lists(st.integers(-1, 1), min_size=4))
    def begin(self, seed, leases, wished):
        self.leases = leases
        self.wished = dict(zip(NAMES, wished, strict=False))
        self.random = random.Random(seed)
        self.stores = {name: MemoryStorage() for name in NAMES}
        self.cores = {name: self.make(name) for name in NAMES}
        self.wire = []
        self.votes = {}  # (voter, term) -> candidate
        self.leads = {}  # term -> leader
        self.terms = dict.fromkeys(NAMES, 0)

    def make(self, name):
        config = RaftConfig(
            node=name,
            voters=NAMES,
            random=self.random,
            election_ticks_min=ELECTION_TICKS[0],
            election_ticks_max=ELECTION_TICKS[1],
            lease_reads=self.leases,
            priority=self.wished[name],
        )
        return RaftCore(config, self.stores[name].load())

    def drive(self, name):
        core = self.cores[name]
        while (ready := core.ready()) is not None:
            for to, message in ready.messages:
                self.wire.append((name, to, message))
                if isinstance(message, VoteReply) and message.granted and not message.pre:
                    given = self.votes.setdefault((name, message.term), to)
                    assert given == to, f"{name} votes in term {message.term} for {to} and for {given}"
            if ready.write is not None:
                self.stores[name].write([ready.write])
                core.persisted(ready.write.number)
            if ready.committed:
                core.applied(ready.committed[-1].index)
        if core.role is Role.LEADER:
            assert self.leads.setdefault(core.term, name) == name, f"two lead term {core.term}"
            own = self.votes.setdefault((name, core.term), name)
            assert own == name, f"{name} leads term {core.term}, in which it voted for {own}"

    def step(self, sender, to, message):
        self.cores[to].step(sender, message)
        self.drive(to)

    # --- what may happen ----------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), count=st.integers(1, 9))
    def tick(self, name, count):
        for _ in range(count):
            self.cores[name].tick()
            self.drive(name)

    @rule(where=st.floats(0, 1, exclude_max=True), keep=st.booleans())
    def deliver_any(self, where, keep):
        """One message; some stay on their way, to arrive again."""
        if self.wire:
            position = int(where * len(self.wire))
            self.step(*(self.wire[position] if keep else self.wire.pop(position)))

    @rule(most=st.integers(1, 30))
    def deliver_some(self, most):
        """A network that works for a while."""
        for _ in range(most):
            if self.wire:
                self.step(*self.wire.pop(0))

    @rule(where=st.floats(0, 1, exclude_max=True))
    def lose_from(self, where):
        del self.wire[int(where * len(self.wire)) :]

    @rule(name=st.sampled_from(NAMES))
    def restart(self, name):
        self.cores[name] = self.make(name)
        self.drive(name)

    @rule(name=st.sampled_from(NAMES), peer=st.sampled_from(NAMES))
    def close(self, name, peer):
        if name != peer:
            self.cores[name].peer_closed(peer)
            self.drive(name)

    @rule(name=st.sampled_from(NAMES))
    def campaign_in_earnest(self, name):
        """Pre-votes bind nobody, so safety must not rest on them: as if they had been won a while ago."""
        if self.cores[name].role is not Role.LEADER:
            self.cores[name]._start_campaign(pre=False)
            self.drive(name)

    @rule(name=st.sampled_from(NAMES), to=st.sampled_from(NAMES))
    def transfer(self, name, to):
        try:
            self.cores[name].transfer(to)
        except AetherError:
            assert name == to or self.cores[name].role is not Role.LEADER
        self.drive(name)

    @rule(name=st.sampled_from(NAMES))
    def propose(self, name):
        try:
            self.cores[name].propose([b"x"])
        except AetherError:
            assert self.cores[name].role is not Role.LEADER or self.cores[name].transferee
        self.drive(name)

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def terms_never_fall(self):
        for name, core in self.cores.items():
            assert core.term >= self.terms[name], f"{name} went from term {self.terms[name]} to {core.term}"
            self.terms[name] = core.term
            core.check()

    def teardown(self):
        """When the network works, there is a leader within ten time-outs, and it commits."""
        self.wire.clear()
        for _ in range(10 * ELECTION_TICKS[1]):
            for name in NAMES:
                self.tick(name, 1)
            self.deliver_some(1_000)
            assert not self.wire, f"they never stop talking: {self.wire[:3]}"
        leaders = [name for name, core in self.cores.items() if core.role is Role.LEADER]
        assert len(leaders) == 1, f"{leaders} lead"
        (leader,) = leaders
        assert {core.leader for core in self.cores.values()} == {leader}
        assert {core.commit_index for core in self.cores.values()} == {self.cores[leader].last_index}


TestElections = Elections.TestCase
TestElections.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)


# --- one by one -------------------------------------------------------------------------------------------------------


def replies(group, voter, candidate):
    return [message for _, _, message in group.take(voter, candidate) if isinstance(message, VoteReply)]


def test_a_vote_is_given_again_to_the_same_candidate(group):
    """Its reply may be lost: PySyncObj ignores the second request, which costs a whole term."""
    request = VoteRequest(term=1, last_index=0, last_term=0, campaign=3)
    for _ in range(3):
        group["a"].step("b", request)
    assert replies(group, "a", "b") == [VoteReply(term=1, granted=True, campaign=3)] * 3
    group["a"].step("c", request)
    assert [reply.granted for reply in replies(group, "a", "c")] == [False]


def test_a_vote_is_given_again_after_a_restart(group):
    """The store knows for whom it was."""
    request = VoteRequest(term=1, last_index=0, last_term=0)
    group["a"].step("b", request)
    group.drive("a")
    group.take()
    group.crash("a")
    group.start("a")
    group["a"].step("c", request)
    group["a"].step("b", request)
    assert [reply.granted for reply in replies(group, "a", "c")] == [False]
    assert [reply.granted for reply in replies(group, "a", "b")] == [True]


@pytest.mark.parametrize("term", [3, 9])
def test_b13_a_node_that_comes_back_does_not_end_a_leadership(make_group, persisted_with, term):
    """It was away for long; its log is short, its term perhaps high. Its pre-votes end at those who hear the leader."""
    group = make_group("abc")
    group.elect("a")
    group.propose("a", "x")
    group.stabilize()
    before = group["a"].term
    group.start("c", persisted_with(term=1))
    group.tick("c", 40)
    group.stabilize()
    assert (group["a"].role, group["a"].term) == (Role.LEADER, before)
    # A higher term is another matter: it cannot follow until the group has moved past it, which happens once.
    group.start("c", persisted_with(term=term))
    group.tick("a")
    group.stabilize()
    group.elect("a")
    assert group["a"].term == term + 1
    assert group["c"].leader == "a"
    assert group["c"].last_index == group["a"].last_index


def test_b16_a_pre_candidate_learns_a_higher_term_from_the_refusal(make_group, persisted_with):
    """openraft 1796: its pre-votes named a term that the other had passed; ignored, they were refused for ever."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 1, term=3))  # the longer log, a lower term
    group.start("b", persisted_with(1, term=7))
    group.crash("c")
    group.campaign("a")
    group.stabilize()
    assert group["a"].term == 7
    assert group["a"].role is Role.FOLLOWER
    group.elect("a")
    assert group["a"].term == 8


def test_b16_nodes_of_different_terms_elect_one_by_themselves(make_group, persisted_with):
    """Nobody helps: only ticks pass."""
    group = make_group("abc")
    group.start("a", persisted_with(1, 1, term=3))
    group.start("b", persisted_with(1, term=7))
    group.crash("c")
    for _ in range(100):
        group.tick("a")
        group.tick("b")
        group.stabilize()
    assert group["a"].role is Role.LEADER


def test_b17_grants_of_an_earlier_campaign_are_not_counted(make_group):
    """openraft 511f33c7: the voters may have heard a leader since they granted."""
    group = make_group("abcde")
    group.campaign("a")
    group.deliver("a")
    late = group.take(to="a")
    assert [message.granted for _, _, message in late] == [True] * 4
    group.campaign("a")
    group.take()
    for sender, _, message in late:
        group["a"].step(sender, message)
    assert group["a"].role is Role.PRE_CANDIDATE
    group.campaign("a")
    group.stabilize()
    assert group["a"].role is Role.LEADER


def test_b17_a_vote_for_an_earlier_life_of_a_candidate_is_not_counted(group):
    """Its disk kept the voter's promise back while the candidate restarted, whose campaigns have the same numbers."""
    group.campaign("a")
    group.deliver()
    group.deliver(to="a")
    group.held.add("b")
    group.deliver("a", "b")
    group.crash("a")
    group.start("a")
    group.campaign("a")
    group.deliver()
    group.deliver(to="a")
    assert (group["a"].role, group["a"].term) == (Role.CANDIDATE, 2)
    group.persist("b", 1)
    late = group.take("b", "a")
    assert [message for _, _, message in late if not message.pre] == [VoteReply(term=1, granted=True, campaign=2)]
    for sender, _, message in late:
        group["a"].step(sender, message)
    assert group["a"].role is Role.CANDIDATE
    group.stabilize()
    assert group["a"].role is Role.LEADER


def test_b17_a_pre_vote_is_no_vote(make_group):
    """Late pre-votes reach a candidate that is past them: they bind nobody, so they elect nobody."""
    group = make_group("abcde")
    group.campaign("a")
    group.deliver("a")
    answers = group.take(to="a")
    for sender, _, message in answers[:2]:
        group["a"].step(sender, message)
    group.take()
    assert group["a"].role is Role.CANDIDATE
    for sender, _, message in answers:
        group["a"].step(sender, message)
    assert group["a"].role is Role.CANDIDATE


def test_a_node_whose_term_ran_ahead_is_freed_by_the_leaders_next_word(make_group, persisted_with):
    """It cannot obey an older term: it says so, the leader steps down, and the next election includes it."""
    group = make_group("abc")
    group.elect("a")
    group.start("c", persisted_with(1, term=5, commit=1))
    group.tick("a")
    group.stabilize()
    assert group["a"].term == 5
    for _ in range(100):
        for name in "abc":
            group.tick(name)
        group.stabilize()
    assert {group[name].leader for name in "abc"} == {next(n for n in "abc" if group[n].role is Role.LEADER)}


@pytest.mark.parametrize("sender", ["b", "c"])
def test_a_word_to_campaign_counts_only_from_the_leader_that_is_followed(group, sender):
    """Anybody else's would let one broken node depose leaders."""
    group.elect("a")
    group["b"].step("c", TimeoutNow(term=1))
    assert group["b"].role is Role.FOLLOWER
    group["a"].step(sender, TimeoutNow(term=1))
    assert group["a"].role is Role.LEADER


# --- priority ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def wishing(make_group):
    """c is wished for; a led, and is gone."""
    group = make_group("abc")
    group.elect("a")
    group.priorities["c"] = 5
    group.start("c")
    group.crash("a")
    group.tick("b", 10)
    return group


def pre_vote(group, candidate, **fields):
    group["c"].step(candidate, VoteRequest(term=2, last_index=1, last_term=1, pre=True, **fields))
    return [reply.granted for reply in replies(group, "c", candidate)]


def test_a_claim_of_priority_is_made_once_until_a_leader_is_heard(wishing):
    """Or a node that cannot win could keep the others from winning for ever."""
    assert pre_vote(wishing, "b") == [False]
    assert wishing["c"].role is Role.PRE_CANDIDATE
    wishing.tick("c")
    assert pre_vote(wishing, "b") == [True]
    wishing.tick("c", 40)
    wishing["c"]._become_follower(wishing["c"].term, None)
    assert pre_vote(wishing, "b") == [True]
    wishing.elect("b")
    wishing.crash("b")
    wishing.tick("c", 10)
    wishing["c"].step("a", VoteRequest(term=3, last_index=2, last_term=2, pre=True))
    assert [reply.granted for reply in replies(wishing, "c", "a")] == [False]


@pytest.mark.parametrize(("fields", "why"), [({"priority": 5}, "equal"), ({"priority": 6}, "higher")])
def test_nobody_of_equal_or_higher_priority_is_refused(wishing, fields, why):
    assert pre_vote(wishing, "b", **fields) == [True], why


def test_priority_says_nothing_in_a_vote_proper(wishing):
    """Whoever came so far has a majority that waits for it."""
    wishing["c"].step("b", VoteRequest(term=2, last_index=1, last_term=1))
    assert [reply.granted for reply in replies(wishing, "c", "b")] == [True]


def test_a_longer_log_counts_more_than_priority(wishing):
    """What was acknowledged must survive; who leads is a wish."""
    wishing["c"].step("b", VoteRequest(term=2, last_index=2, last_term=1, pre=True))
    assert [reply.granted for reply in replies(wishing, "c", "b")] == [True]
    assert wishing["c"].role is Role.FOLLOWER


@pytest.mark.parametrize(("priority", "low", "high"), [(0, 10, 19), (1, 10, 14), (-1, 15, 19)])
def test_time_outs_are_drawn_from_the_half_that_the_priority_names(priority, low, high):
    """Who is wished for comes first."""
    config = RaftConfig(node="a", voters="abc", random=random.Random(1), priority=priority)
    drawn = set()
    core = RaftCore(config, MemoryStorage().load())
    for _ in range(300):
        core._rest()
        drawn.add(core._election_ticks)
    assert (min(drawn), max(drawn)) == (low, high)
    assert len(drawn) == high - low + 1
