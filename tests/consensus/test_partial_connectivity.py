"""Networks in which not everybody hears everybody: a node that sees a quorum must lead soon, and leadership must rest.

The three topologies in which protocols were found to wedge or to flap (Omni-Paxos, EuroSys 2023), links that work one
way, random links, and starts in lock-step. In true time, with whole cores.
"""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.consensus.clockwork import ELECTION_S, Clockwork

from aether.consensus.values import Role

SEEDS = range(5)
FIVE = "abcde"


def settled(names, seed, **how):
    """A group with a leader and a few entries; gives it and the leader's name."""
    works = Clockwork(names, seed, **how)
    works.run(3 * ELECTION_S)
    assert works.leads_a_quorum()
    return works, works.leads_a_quorum()


def star(hub, names):
    return [hub + name for name in names if name != hub]


def changes(works, seconds):
    """How often somebody won an election in that time, and how far terms grew."""
    won, term = len(works.terms), max(process.core.term for process in works.processes.values())
    works.run(seconds)
    return len(works.terms) - won, max(process.core.term for process in works.processes.values()) - term


@pytest.mark.parametrize("seed", SEEDS)
def test_b14_quorum_loss_the_only_node_that_sees_a_majority_leads(seed):
    """Everybody still hears one node and nobody else; the old leader has lost its majority and must give way."""
    works, old = settled(FIVE, seed)
    hub = next(name for name in FIVE if name != old)
    works.keep_links(*star(hub, FIVE))
    works.run(5 * ELECTION_S)
    assert works.leads_a_quorum() == hub
    assert changes(works, 30) == (0, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_quorum_loss_holds_with_leases_as_well(seed):
    """A promise that is kept to a leader without a majority ends by itself."""
    works, old = settled(FIVE, seed, lease_reads=True)
    hub = next(name for name in FIVE if name != old)
    works.keep_links(*star(hub, FIVE))
    works.run(6 * ELECTION_S)
    assert works.leads_a_quorum() == hub
    assert changes(works, 30) == (0, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_b14_constrained_election_the_hub_catches_up_from_a_leader_that_it_hears(seed):
    """It lags when the links break; the leader, which still reaches it, completes its log before it steps down."""
    works, old = settled(FIVE, seed)
    hub = next(name for name in FIVE if name != old)
    works.cut = {(name, hub) for name in FIVE if name != hub}
    for _ in range(3):
        works.propose(old)
        works.run(0.05)
    assert works.processes[hub].core.last_index < works.processes[old].core.last_index
    works.keep_links(*star(hub, FIVE))
    works.run(6 * ELECTION_S)
    assert works.leads_a_quorum() == hub


@pytest.mark.parametrize("seed", SEEDS)
def test_constrained_election_without_a_way_to_catch_up_waits_quietly_and_ends_with_one_more_link(seed):
    """The hub lacks what a majority holds, and that majority has only the hub: Raft has no leader here, by design.

    Nobody may lead without the committed entries. What is asked is that nothing runs away meanwhile, and that the first
    link between two who have them ends it.
    """
    works, old = settled(FIVE, seed)
    hub = next(name for name in FIVE if name != old)
    works.cut = {(name, hub) for name in FIVE if name != hub}
    works.propose(old)
    works.run(0.5)
    rest = [name for name in FIVE if name not in (hub, old)]
    works.keep_links(*star(hub, [*rest, hub]))
    assert changes(works, 10 * ELECTION_S)[1] <= 1
    assert works.leads_a_quorum() is None
    works.keep_links(*star(hub, [*rest, hub]), rest[0] + rest[1])
    works.run(6 * ELECTION_S)
    assert works.leads_a_quorum() in rest[:2]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("place", ["end", "middle"])
def test_b14_chained_nodes_do_not_take_leadership_from_each_other(seed, place):
    """Three in a row: whoever does not hear the leader asks the middle, which hears it and refuses."""
    works, old = settled("abc", seed)
    others = [name for name in "abc" if name != old]
    middle = old if place == "middle" else others[0]
    ends = [name for name in "abc" if name != middle]
    works.keep_links(middle + ends[0], middle + ends[1])
    works.run(2 * ELECTION_S)
    assert works.leads_a_quorum()
    assert changes(works, 20 * ELECTION_S) == (0, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_leader_that_is_heard_but_hears_nobody_steps_down_and_stays_down(seed):
    """It only sends: its heartbeats must not keep the others from an election for longer than a time-out."""
    works, old = settled("abc", seed)
    works.cut = {(name, old) for name in "abc" if name != old}
    works.run(4 * ELECTION_S)
    assert works.leads_a_quorum() not in (None, old)
    assert changes(works, 20 * ELECTION_S) == (0, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_that_only_hears_or_only_speaks_disturbs_nobody(seed):
    """A follower with one half of its links."""
    works, old = settled("abc", seed)
    other = next(name for name in "abc" if name != old)
    for cut in ([(other, name) for name in "abc"], [(name, other) for name in "abc"]):
        works.cut = set(cut)
        assert changes(works, 10 * ELECTION_S) == (0, 0)
        assert works.leads_a_quorum() == old


@pytest.mark.parametrize("seed", SEEDS)
def test_b14_a_leader_that_one_node_hears_now_and_then_is_left_in_peace(seed):
    """B14: the outage of six and a half hours at Cloudflare (2020-11-02), as an hour; its terms do not grow."""
    works, old = settled("abc", seed)
    doubtful = next(name for name in "abc" if name != old)

    def toggle():
        works.cut ^= {(old, doubtful)}
        works.at(works.true_s + works.random.uniform(0.2, 4.0), toggle)

    toggle()
    assert changes(works, 600) == (0, 0)
    works.cut.clear()
    assert works.leads_a_quorum() == old


def sees_a_quorum_that_sees_it(works, name):
    both = [peer for peer in works.processes if not {(name, peer), (peer, name)} & works.cut]
    return 2 * len(both) > len(works.processes)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), wished=st.lists(st.integers(-2, 2), min_size=5, max_size=5), leases=st.booleans())
def test_whoever_could_lead_does_whatever_links_are_gone_and_whoever_is_wished_for(seed, wished, leases):
    """Random links from the start, logs empty: if somebody has a majority both ways, there is a leader, and it stays.

    Priorities only order those who could lead; they never keep the only one who could from leading.
    """
    draw = random.Random(seed)
    works = Clockwork(FIVE, seed, priorities=dict(zip(FIVE, wished, strict=True)), lease_reads=leases)
    links = list(itertools.permutations(FIVE, 2))
    works.cut = {link for link in links if draw.random() < draw.choice((0.1, 0.3, 0.5))}
    works.run(10 * ELECTION_S)
    able = [name for name in FIVE if sees_a_quorum_that_sees_it(works, name)]
    if able:
        assert works.leads_a_quorum() in able
    else:
        assert not [name for name in works.leaders if works.processes[name].core.commit_index]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("delay_s", [(0.0005, 0.01), (0.08, 0.25)])
def test_b39_ticks_in_lock_step_and_equal_draws_settle(seed, delay_s):
    """All start at one instant with one seed; messages may take longer than a tick. The names still differ."""
    works = Clockwork(FIVE, seed, draw=lambda name: random.Random(seed), delay_s=delay_s)
    works.run(5 * ELECTION_S)
    assert [process.core.role for process in works.processes.values()].count(Role.LEADER) == 1
    assert works.leads_a_quorum()
    assert works.processes["a"].core.term <= 3
