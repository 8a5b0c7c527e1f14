"""Learners beyond the few that the leader serves itself get the log from another voter."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.consensus.fan_out import decide_serving
from aether.consensus.messages import AppendEntries, Relayed, RelayOrder, RelayReport, SnapshotChunk
from aether.consensus.relay_orders import RelayOrders
from aether.consensus.values import Role

LEARNERS = [f"w{number}" for number in range(12)]
RELAYS = ["b", "c", "d"]


@st.composite
def situations(draw):
    """Any state of the world, and what was decided in an earlier one."""
    learners = draw(st.lists(st.sampled_from(LEARNERS), unique=True))
    relays = draw(st.lists(st.sampled_from(RELAYS), unique=True))
    needy = draw(st.lists(st.sampled_from(learners), unique=True)) if learners else []
    before = draw(st.dictionaries(st.sampled_from(LEARNERS), st.sampled_from([None, *RELAYS])))
    return learners, needy, relays, before, draw(st.integers(0, 8))


@given(situations())
def test_everybody_is_served_and_the_leader_serves_few(situation):
    """The leader's work must not grow with the cluster, as long as somebody can help."""
    learners, _, relays, _, direct_max = situation
    serving = decide_serving(*situation)
    assert set(serving) == set(learners)
    if relays:
        assert Counter(serving.values())[None] <= direct_max
        assert set(serving.values()) <= {None, *relays}
    else:
        assert set(serving.values()) <= {None}


@given(situations())
def test_nobody_is_moved_without_a_reason(situation):
    """A move costs a probe; a cluster that stands still must stand still."""
    learners, _, relays, _, direct_max = situation
    first = decide_serving(*situation)
    assert decide_serving(learners, (), relays, first, direct_max) == first


@given(situations())
def test_those_in_need_come_first_or_change_their_relay(situation):
    """Only the leader has snapshots; and a relay that does not deliver is not kept while there is another."""
    learners, needy, relays, before, direct_max = situation
    serving = decide_serving(*situation)
    wanting = [learner for learner in learners if learner in needy]
    if relays:
        assert sum(serving[learner] is None for learner in wanting) == min(direct_max, len(wanting))
    for learner in wanting:
        if serving[learner] is not None and len(relays) > 1:
            assert serving[learner] != before.get(learner)


@pytest.fixture
def group(make_group):
    """Voters a, b, c; learners d to h, of which the leader serves two."""
    group = make_group("abc", workers_direct_max=2, entries_kept=0, snapshot_chunk_bytes=4)
    group.elect("a")
    for name in "defgh":
        group.join(name)
    group.change("a", add="defgh")
    group.stabilize()
    return group


def pass_time(group, ticks, *, skip=""):
    """Everybody else's clock moves; what is said is delivered."""
    traffic = []
    for _ in range(ticks):
        for name in group.names:
            if name in group.cores and name not in skip:
                group.tick(name)
        for node in group.names:
            group.drive(node)
        traffic += [(source, target, message) for source, target, message in group.wire]
        group.stabilize()
    return traffic


def applied(group, name):
    return [entry.payload for entry in group.applied[name] if entry.payload.startswith(b"x")]


def test_the_log_reaches_every_learner_while_the_leader_sends_it_to_few(group):
    """Fan-out of the leader: the voters and two more; the other three hear of it from b and c."""
    pass_time(group, 12)
    for number in range(5):
        group.propose("a", f"x{number}")
    traffic = pass_time(group, 12)
    assert all(applied(group, name) == [b"x0", b"x1", b"x2", b"x3", b"x4"] for name in "abcdefgh")
    receivers = {to for sender, to, message in traffic if sender == "a" and isinstance(message, AppendEntries)}
    assert len(receivers - {"b", "c"}) <= 2
    relayed = {to for sender, to, message in traffic if isinstance(message, Relayed)}
    assert len(relayed) == 3
    assert all(group["a"].followers[name].match == group["a"].last_index for name in "defgh")


def test_a_lost_relay_is_replaced(group):
    """Its learners must not stay behind for ever."""
    pass_time(group, 12)
    group.crash("b")
    group.propose("a", "x")
    pass_time(group, 60)
    assert all(applied(group, name) == [b"x"] for name in "acdefgh")


def test_a_new_leader_takes_care_of_every_learner(group):
    """Orders end with the term of their leader."""
    pass_time(group, 12)
    group.crash("a")
    for name in "bc":
        group[name].peer_closed("a")
    group.stabilize()
    leader = next(name for name in "bc" if group[name].role is Role.LEADER)
    group.propose(leader, "x")
    pass_time(group, 60)
    assert all(applied(group, name) == [b"x"] for name in "bcdefgh")
    assert {group[name].leader for name in "cdefgh"} == {leader}


def test_a_relay_sends_only_what_is_committed(group):
    """So that nothing which it passes on can ever be taken back."""
    pass_time(group, 12)
    group.cut |= {("b", "a"), ("c", "a")}
    group.propose("a", "x")
    traffic = pass_time(group, 5, skip="bc")
    sent = [m.message for _, _, m in traffic if isinstance(m, Relayed) and isinstance(m.message, AppendEntries)]
    assert not any(entry.payload == b"x" for message in sent for entry in message.entries)


def test_a_learner_that_needs_a_snapshot_gets_it_from_the_leader(group):
    """A relay holds none for others."""
    pass_time(group, 12)
    relayed = [name for name in "defgh" if group["a"]._leadership._fan_out._serving[name] is not None]
    group.crash(relayed[0])
    for number in range(5):
        group.propose("a", f"x{number}")
    pass_time(group, 3)
    for name in "abc":
        group.snapshot(name)
    group.start(relayed[0])
    traffic = pass_time(group, 60)
    chunks = {(sender, to) for sender, to, message in traffic if isinstance(message, SnapshotChunk)}
    assert chunks == {("a", relayed[0])}
    assert group[relayed[0]].commit_index == group["a"].commit_index


def test_dead_learners_keep_nobody_from_the_snapshot_that_it_needs(group):
    """They get nowhere with any relay, and there may be more of them than the leader serves: all are tried in turns."""
    pass_time(group, 12)
    for name in "defgh":
        group.crash(name)
    group.propose("a", "x")
    pass_time(group, 40)
    for name in "abc":
        group.snapshot(name)
    group.join("i")
    group.cut |= {("a", "i"), ("i", "a")}  # or it would have it before anybody is moved
    group.change("a", add="i")
    pass_time(group, 10)
    group.cut.clear()
    for number in range(4):
        group.propose("a", f"x{number}")
        pass_time(group, 10)
    assert group["i"].commit_index == group["a"].commit_index


def test_a_snapshot_of_which_no_byte_arrives_keeps_nobody_from_its_own(make_group):
    """Heartbeats come through to d, and chunks do not: with one turn only, e would never get its snapshot."""
    group = make_group("abc", workers_direct_max=1, entries_kept=0, snapshot_chunk_bytes=4)
    group.elect("a")
    group.propose("a", "x")
    group.stabilize()
    for name in "abc":
        group.snapshot(name)
    group.join("d")
    group.loses = lambda source, target, message: target == "d" and isinstance(message, SnapshotChunk)
    group.change("a", add="d")
    pass_time(group, 30)
    assert group["a"].followers["d"].match == 0
    group.join("e")
    group.change("a", add="e")
    pass_time(group, 400)
    assert group["e"].commit_index == group["a"].commit_index


def test_an_order_that_is_not_repeated_ends(group):
    """A relay that lost its leader must not go on in its name."""
    pass_time(group, 12)
    group["b"].step("a", RelayOrder(term=1, number=99, learners=("d",)))
    assert group["b"]._relay._replication.progress
    for _ in range(41):
        group["b"]._relay.tick(leader_lives=True)
    assert not group["b"]._relay._replication.progress


def test_a_relay_says_no_longer_than_it_hears_it_that_the_leader_lives(make_group):
    """Or a learner that has just got a vote would be kept loyal to a dead leader, and its vote may be needed."""
    group = make_group("ab", workers_direct_max=1)
    group.elect("a")
    for name in "ed":
        group.join(name)
    group.change("a", add="ed")
    pass_time(group, 30)
    assert "d" in group["b"]._relay._replication.progress
    group.change("a", promote="d")
    group.stabilize()
    assert group["b"].configuration.voters == ("a", "b", "d")
    group.crash("a")
    pass_time(group, 10)
    traffic = pass_time(group, 10)
    assert not [message for _, _, message in traffic if isinstance(message, Relayed)]
    assert Role.LEADER in {group["b"].role, group["d"].role}


@pytest.mark.parametrize("sender", ["b", "x"])
def test_only_the_leader_orders(group, sender):
    """Anybody else may be confused or hostile."""
    group["c"].step(sender, RelayOrder(term=1, number=99, learners=("d", "e", "f", "g", "h", "x")))
    assert group["c"]._relay is None or "x" not in group["c"]._relay._replication.progress


def test_idle_learners_hear_of_the_leader_once_a_second(group):
    """A hundred workers must not cost a thousand messages a second."""
    pass_time(group, 12)
    traffic = pass_time(group, 20)
    to_learners = Counter(to for _, to, _ in traffic if to in "defgh")
    assert max(to_learners.values()) <= 3


def test_a_second_without_news_costs_one_short_message_each_way(group):
    """However many a relay serves: the leader names them once, and hears of those alone who lag or are silent."""
    pass_time(group, 30)
    traffic = pass_time(group, 10)
    orders = [message for _, _, message in traffic if isinstance(message, RelayOrder)]
    reports = [message for _, _, message in traffic if isinstance(message, RelayReport)]
    assert len(orders) == len(reports) == 2
    assert {order.learners for order in orders} == {None}
    assert {(report.match, report.behind, report.silent) for report in reports} == {(group["a"].last_index, (), ())}
    unasked = {sender for sender, to, _ in traffic if to == "a"}  # answers at once are not among these
    assert unasked == {"b", "c"}


def test_a_relay_that_was_started_anew_is_told_again_whom_it_serves(group):
    """It has forgotten, and the leader names nobody as long as it believes that a relay knows."""
    pass_time(group, 30)
    served = set(group["b"]._relay._replication.progress)
    group.crash("b")
    group.start("b")
    pass_time(group, 40)
    group.propose("a", "x")
    pass_time(group, 12)
    assert all(applied(group, name) == [b"x"] for name in "abcdefgh")
    assert served


def test_those_of_a_relay_whose_connection_ended_go_to_another_at_once(group):
    """Not after the second in which it is not heard: they would miss what is committed meanwhile."""
    pass_time(group, 30)
    group.crash("b")
    group["a"].peer_closed("b")
    group.propose("a", "x")
    pass_time(group, 2)
    assert all(applied(group, name) == [b"x"] for name in "acdefgh")


def test_the_word_of_a_relay_commits_nothing_and_lets_nobody_vote(group):
    """What it says is where to go on; an acknowledgement comes from whoever holds the entry."""
    pass_time(group, 30)
    leadership = group["a"]._leadership
    relay, told = next((relay, told) for relay, told in leadership._orders._told.items() if told.learners)
    learner = told.learners[0]
    match = group["a"]._leadership._progress[learner].match
    group["a"].step(relay, RelayReport(term=1, number=told.number, match=10_000))
    assert leadership._progress[learner].match == match
    assert leadership._progress[learner].held == group["a"].commit_index


def test_a_dead_learner_does_not_look_alive_because_its_relay_does(group):
    """Who is silent for long may be removed; to move from relay to relay is no sign of life."""
    pass_time(group, 30)
    dead = next(iter(group["b"]._relay._replication.progress))
    group.crash(dead)
    pass_time(group, 80)
    assert group["a"].followers[dead].silent_ticks >= 40


@given(st.lists(st.tuples(st.sampled_from("bc"), st.sets(st.sampled_from("defg")), st.booleans(), st.integers(0, 3))))
def test_places_are_those_of_the_list_that_the_relay_has(turns):
    """Orders and reports may be lost or late, in any mixture: nobody is taken for somebody else."""
    orders, relays = RelayOrders(1), {}
    lists: dict[tuple[str, int], tuple[str, ...]] = {}
    late: list[tuple[str, RelayReport]] = []
    for relay, learners, arrives, delay in turns:
        order = orders.order(relay, sorted(learners))
        if order.learners is not None:
            lists[relay, order.number] = order.learners
        if arrives and (order.learners is not None or relays.get(relay) == order.number):
            relays[relay] = order.number
        number = relays.get(relay, 0)
        known = lists.get((relay, number), ())
        report = RelayReport(term=1, number=number, match=9, behind=tuple((n, n) for n in range(len(known))))
        late.append((relay, report))
        for sender, each in late[-delay:] if delay else []:
            for served in orders.reported(sender, each):
                assert lists[sender, each.number][served.held] == served.learner
    for relay, number in relays.items():
        assert (relay, number) in lists
