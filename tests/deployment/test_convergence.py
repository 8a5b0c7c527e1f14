"""From any rows to exactly what is wanted: two versions, labels, budgets, capacities, drains, singletons, balance."""

import itertools
import random
from collections import Counter

import attrs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.deployment.views import NEW, OLD, OTHER, view, wish

from aether.deployment.budget import needed, wanted_in_all
from aether.deployment.digest import started_with
from aether.deployment.orders import Assign, DropRoutes, Forget, Move, Unsatisfied
from aether.deployment.placement import least_loaded, round_robin, spread
from aether.deployment.reconcile import reconcile
from aether.model.artifact import Artifact
from aether.model.duty import Duty
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import REBALANCE_MOVES_MAX
from aether.model.placing import Kind, Placing
from aether.model.rows import InstanceRow, MemberRow
from aether.model.version import Version

S = SliceState
V2 = Version.parse("2.0.0")
EVERYTHING = (OLD, NEW, OTHER)
NODES = tuple(NodeId(f"n{n}") for n in range(1, 6))
HERE = Incarnation("i")

STEPS = {
    S.LOAD: S.LOADING,
    S.LOADING: S.LOADED,
    S.ACTIVATE: S.ACTIVATING,
    S.ACTIVATING: S.ACTIVE,
    S.DEACTIVATE: S.DEACTIVATING,
    S.DEACTIVATING: S.LOADED,
    S.UNLOAD: S.UNLOADING,
    S.UNLOADING: None,
}


def member(node, *available, **fields):
    return MemberRow(node=node, incarnation=HERE, available=available or EVERYTHING, **fields)


def row(number, node, state=S.ACTIVE, artifact=OLD, **fields):
    fields.setdefault("incarnation", HERE)
    return InstanceRow(
        instance=InstanceId(f"a{number:04}"), artifact=artifact, node=NodeId(node), state=state, **fields
    )


class Played:
    """A cluster that obeys orders as managers do; its nodes do their steps in an order that the seed draws."""

    def __init__(self, seen, seed=0, placement=spread):
        self.view = seen
        self.rows = {r.instance: r for r in seen.instances}
        self.singletons = dict(seen.singletons)
        self.rng = random.Random(seed)
        self.placement = placement
        self.ids = itertools.count()
        self.failing = set()  # digests with which no instance starts
        self.assigned = 0
        self.exchanges = 0

    def look(self):
        now = self.view.now + 1.0
        self.view = attrs.evolve(self.view, instances=tuple(self.rows.values()), now=now, singletons=self.singletons)
        parts = reconcile(self.view, lambda: InstanceId(f"b{next(self.ids):04}"), self.placement)
        return list(itertools.chain.from_iterable(parts))

    def obey(self, orders):
        touched = Counter(o.row.instance for o in orders if isinstance(o, Assign | Move | Forget))
        assert all(count == 1 for count in touched.values()), "one order per row and look"
        for order in orders:
            match order:
                case Assign(new, memory):
                    assert new.instance not in self.rows
                    self.rows[new.instance] = new
                    self.assigned += 1
                    self.exchanges += bool(new.replaces)
                    self._remember(memory)
                case Move(old, to, memory):
                    assert self.rows[old.instance] == old
                    self.rows[old.instance] = attrs.evolve(old, state=to, since=self.view.now)
                    self._remember(memory)
                case Forget(old):
                    del self.rows[old.instance]

    def _remember(self, memory):
        if memory is not None:
            known = self.singletons.get(memory.artifact)
            assert known is None or memory.token >= known.token
            self.singletons[memory.artifact] = memory

    def work(self, lazy=0.3):
        for key, one in list(self.rows.items()):
            host = self.view.members.get(one.node)
            if one.state not in STEPS or host is None or host.incarnation != one.incarnation:
                continue
            if self.rng.random() < lazy:
                continue
            to = STEPS[one.state]
            if to is None:
                del self.rows[key]
                continue
            desired = self.view.desired.get(one.artifact.base)
            if to is S.ACTIVE and desired is not None:
                digest = started_with(desired)
                to = S.FAILED if digest in self.failing else to
                one = attrs.evolve(one, digest=digest)
            self.rows[key] = attrs.evolve(one, state=to, since=self.view.now)

    def settle(self, looks=600, each=lambda: None):
        """Until nothing is ordered and nobody works; the reports that are left."""
        for _ in range(looks):
            found = self.look()
            orders = [o for o in found if not isinstance(o, Unsatisfied | DropRoutes)]
            self.obey(orders)
            each()
            if not orders and all(r.state not in STEPS and r.state is not S.FAILED for r in self.rows.values()):
                return [o.row for o in found if isinstance(o, Unsatisfied)]
            self.work()
            each()
        raise AssertionError([str(o) for o in self.look()], list(self.rows.values()))

    def where(self, artifact=OLD):
        return sorted(r.node for r in self.rows.values() if r.artifact == artifact and r.state is S.ACTIVE)

    def count(self, artifact=OLD):
        return len(self.where(artifact))


# --- any state ------------------------------------------------------------------------------------------------------


@st.composite
def members(draw):
    """One to five, with labels, duties, capacities that suffice."""
    nodes = draw(st.lists(st.sampled_from(NODES), unique=True, min_size=1))
    return [
        member(
            node,
            *draw(st.sampled_from((EVERYTHING, EVERYTHING, (OLD, OTHER), (NEW,)))),
            labels={"zone": draw(st.sampled_from("ab")), **draw(st.sampled_from(({}, {"disk": "ssd"})))},
        )
        for node in nodes
    ]


@st.composite
def wishes(draw):
    both = draw(st.booleans())
    placing = draw(
        st.sampled_from(
            (
                Placing(),
                Placing(spread="zone"),
                Placing(labels={"disk": "ssd"}),
                Placing(pin=(NODES[1], NODES[0])),
                Placing(kind=Kind.WORKERS),
                Placing(strategy="bin_pack"),
                Placing(strategy="round_robin"),
                Placing(strategy="pinned", pin=(NODES[2], NODES[0])),
                Placing(strategy="least_loaded", spread="zone"),
            )
        )
    )
    first = wish(
        draw(st.integers(0, 5)),
        beside=V2 if both else None,
        beside_instances=draw(st.integers(0, 3)) if both else 0,
        max_per_node=draw(st.none() | st.integers(1, 3)),
        placing=placing,
        min_available=draw(st.sampled_from(("", "1", "50%", "100%"))),
        config=draw(st.sampled_from(({}, {"a": "b"}))),
    )
    second = wish(draw(st.integers(0, 4)), OTHER, singleton=draw(st.booleans()))
    return draw(st.sampled_from(((), (first,), (second,), (first, second))))


@st.composite
def worlds(draw):
    found, wanted = draw(members()), draw(wishes())
    ids = [f"a{n:04}" for n in range(12)]
    rows = [
        row(
            number,
            draw(st.sampled_from(NODES)),
            draw(st.sampled_from(list(S))),
            draw(st.sampled_from(EVERYTHING)),
            incarnation=Incarnation(draw(st.sampled_from(("i", "i", "i", "old")))),
            attempt=draw(st.integers(0, 3)),
            since=draw(st.floats(0, 100)),
            digest=draw(st.sampled_from(("", "other"))),
            replaces=draw(st.sampled_from(("", "", "", *ids))),
            turn=draw(st.integers(0, 20)),
        )
        for number in range(draw(st.integers(0, 12)))
    ]
    duties = {m.node: draw(st.sampled_from((Duty.ON_DUTY, Duty.ON_DUTY, Duty.ON_DUTY, Duty.DRAINING))) for m in found}
    return view(
        wanted,
        rows,
        found,
        duties=duties,
        learners=frozenset(m.node for m in found if draw(st.booleans())),
        forced=frozenset(n for n, duty in duties.items() if duty is Duty.DRAINING and draw(st.booleans())),
        now=100.0,
    )


def may_keep(seen, desired):
    """Where an instance may go on running; a new one needs its code there too."""
    return [
        m
        for m in seen.members.values()
        if seen.duties.get(m.node, Duty.ON_DUTY) is Duty.ON_DUTY
        and all(m.labels.get(name) == value for name, value in desired.placing.labels.items())
        and (not desired.placing.pin or m.node in desired.placing.pin)
        and (desired.placing.kind is Kind.ANY or m.node in seen.learners)
    ]


def targets(desired):
    if desired.singleton:
        return [(desired.artifact, min(1, desired.instances))]
    both = [(desired.artifact, desired.instances)]
    return both + ([(desired.artifact.base.at(desired.beside), desired.beside_instances)] if desired.beside else [])


def check_settled(played, short):
    seen = played.view
    reported = {r.artifact: r.missing for r in short}
    for base in {a.base for a in EVERYTHING}:
        rows = [r for r in played.rows.values() if r.artifact.base == base]
        desired = seen.desired.get(base)
        if desired is None:
            assert rows == []
            continue
        assert all(r.state is S.ACTIVE for r in rows)
        digest = started_with(desired)
        good, missing = 0, 0
        keeping = may_keep(seen, desired)
        has_places = desired.max_per_node is None and all(
            any(artifact in m.available for m in keeping) for artifact, wanted in targets(desired) if wanted
        )
        for artifact, wanted in targets(desired):
            hosts = {m.node for m in keeping if artifact in m.available}
            mine = [r for r in rows if r.artifact == artifact and r.node in {m.node for m in keeping}]
            # Where something has no place, the budget may forbid to take even what nobody wants any more.
            assert len(mine) <= wanted or len(rows) <= needed(desired.min_available, wanted_in_all(desired))
            if hosts and len(mine) <= wanted and (desired.max_per_node is None or not desired.min_available):
                stale = [r for r in mine if r.node in hosts and r.digest not in ("", digest)]
                assert not stale, "no instance is left with an old configuration"
            if hosts and desired.max_per_node is None:
                assert len(mine) >= wanted, "there was a place for each"
            assert len(mine) <= wanted or not has_places, "nobody wants more"
            good += len(mine)
            missing += max(0, wanted - len(mine))
        assert len(rows) <= good + missing, "what stays in a wrong place stands for one that has no right place"
        if desired.singleton and any(r.token == 0 for r in rows):
            continue  # it ran before it was one, and there is no place for the next: that is said too
        assert (missing > 0) == (reported.get(base, 0) > 0), "a shortage is said, and nothing else"


def serving(played, base):
    return sum(r.state is S.ACTIVE and r.artifact.base == base for r in played.rows.values())


@settings(max_examples=1_000, deadline=None)
@given(worlds(), st.integers(0, 2**32))
def test_any_rows_become_exactly_what_is_wanted(seen, seed):
    """Two versions, labels, pins, kinds, zones, budgets, drains, configurations, exchanges that were under way."""
    played = Played(seen, seed)

    short = played.settle()

    check_settled(played, short)


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(0, 2**32), st.data())
def test_nodes_may_be_lost_and_wishes_may_change_on_the_way(seen, seed, data):
    """Whatever happens meanwhile; looks that never came and looks that came twice are the same to what looks at all."""
    played = Played(seen, seed)
    for _ in range(data.draw(st.integers(1, 6))):
        for _ in range(data.draw(st.integers(0, 3))):
            played.obey(played.look())
        played.work()
        left = dict(played.view.members)
        if len(left) > 1 and data.draw(st.booleans()):
            del left[data.draw(st.sampled_from(sorted(left)))]
        wanted = data.draw(wishes()) if data.draw(st.booleans()) else tuple(played.view.desired.values())
        played.view = attrs.evolve(played.view, members=left, desired={w.artifact.base: w for w in wanted})

    check_settled(played, played.settle())


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(0, 2**32))
def test_nothing_goes_below_what_must_stay_available(seen, seed):
    """Drain, version, configuration, surplus, balance: whoever takes asks the budget. Only loss and force do not."""
    assume(not seen.forced)
    desired = seen.desired.get(OLD.base)
    assume(desired is not None)
    floor = needed(desired.min_available, wanted_in_all(desired))
    alive = tuple(r for r in seen.instances if r.node in seen.members and r.incarnation == HERE)
    played = Played(attrs.evolve(seen, instances=alive), seed)
    low = min(floor, serving(played, OLD.base))

    def look():
        nonlocal low
        assert serving(played, OLD.base) >= low
        low = max(low, min(floor, serving(played, OLD.base)))

    played.settle(each=look)


@settings(max_examples=200, deadline=None)
@given(worlds(), st.integers(0, 2**32))
def test_of_two_versions_neither_is_taken_while_it_is_wanted(seen, seed):
    """A step of an update must not cost the version that has the traffic."""
    calm = dict.fromkeys(seen.members, Duty.ON_DUTY)
    here = (r for r in seen.instances if r.node in seen.members and r.incarnation == HERE)
    alive = tuple(attrs.evolve(r, digest="") for r in here)  # another configuration is a reason of its own
    desired = wish(2, beside=V2, beside_instances=2)
    start = attrs.evolve(seen, instances=alive, desired={OLD.base: desired}, duties=calm, forced=frozenset())
    played = Played(start, seed)
    low = {artifact: min(2, played.count(artifact)) for artifact in (OLD, NEW)}

    def look():
        for artifact in (OLD, NEW):
            assert played.count(artifact) >= low[artifact]

    played.settle(each=look)


# --- singletons -------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(0, 2**32))
def test_a_singleton_never_runs_twice_and_its_tokens_rise(data, seed):
    """Drains, versions, configurations, failures, lost nodes: the next one begins when the last one is gone."""
    wishes = [
        wish(1, singleton=True),
        wish(1, NEW, singleton=True),
        wish(1, singleton=True, config={"a": "b"}),
        wish(0),
    ]
    played = Played(view([wishes[0]], (), [member(n) for n in NODES[:3]], now=100.0), seed)
    played.failing = {started_with(wishes[2])} if data.draw(st.booleans()) else set()
    tokens = {}
    for _ in range(data.draw(st.integers(5, 40))):
        orders = played.look()
        played.obey(orders)
        played.work()
        rows = [r for r in played.rows.values() if r.node in played.view.members]
        assert len(rows) <= 1, "one row at most, in whatever state"
        for one in rows:
            tokens.setdefault(one.instance, one.token)
        if data.draw(st.integers(0, 4)) == 0:
            node = data.draw(st.sampled_from(NODES[:3]))
            duty = data.draw(st.sampled_from((Duty.ON_DUTY, Duty.DRAINING)))
            wanted = data.draw(st.sampled_from(wishes))
            here = {n: member(n) for n in NODES[:3]}
            if data.draw(st.booleans()):
                here[node] = attrs.evolve(here[node], incarnation=Incarnation("gone"))
            played.view = attrs.evolve(played.view, duties={node: duty}, members=here, desired={OLD.base: wanted})

    found = list(tokens.values())
    assert found == sorted(set(found)), "each instance has a higher token than the one before it"
    assert all(token > 0 for token in found)


def test_a_singleton_that_fails_is_tried_again_with_growing_pauses():
    """Its row goes before the next one comes, and the number of the attempt must not go with it."""
    desired = wish(1, singleton=True)
    played = Played(view([desired], (), [member(NODES[0])], now=100.0))
    played.failing = {started_with(desired)}
    attempts = {}
    for _ in range(120):
        played.obey(played.look())
        played.work(lazy=0.0)
        for one in played.rows.values():
            if one.state is S.FAILED:
                attempts[one.attempt] = one.since
    times = list(attempts.values())

    assert list(attempts) == list(range(len(attempts)))
    assert all(later - sooner >= 2**n for n, (sooner, later) in enumerate(itertools.pairwise(times)))


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_changed_wish_forgets_the_back_off():
    """Who has deployed the fix does not wait a minute for the pause after the last failure."""
    failed = row(1, "n1", S.FAILED, attempt=9, since=100.0)
    base, one = OLD.base, InstanceId("a0001")
    seen = view([wish(1)], [failed], [member(NODES[0])], now=101.0, failed_at={one: 7})

    assert Played(attrs.evolve(seen, desired_at={base: 6})).look() == []
    unload, again = Played(attrs.evolve(seen, desired_at={base: 8})).look()
    assert (unload.to, again.row.attempt) == (S.UNLOAD, 0)


# --- configuration ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.none() | st.integers(1, 2), st.integers(0, 2**32))
def test_another_configuration_restarts_one_instance_at_a_time(instances, limit, seed):
    """With room beside it the new one serves first; without, one is missing at a time."""
    nodes = NODES[:3]
    before = wish(instances, max_per_node=limit)
    played = Played(view([before], (), [member(n) for n in nodes], now=100.0), seed)
    played.settle()
    had = played.count()
    after = attrs.evolve(before, config={"a": "b"})
    played.view = attrs.evolve(played.view, desired={OLD.base: after})
    low = high = had

    def look():
        nonlocal low, high
        low, high = min(low, played.count()), max(high, len(played.rows))

    played.settle(each=look)

    assert {r.digest for r in played.rows.values()} == {started_with(after)}
    assert low >= had - (limit is not None)
    assert high <= had + 2, "one more, and one that is on its way out"


def test_a_changed_configuration_costs_each_instance_one_start_and_no_move():
    """A replacement is placed as if the one that it replaces had gone: nothing is left to balance afterwards."""
    here = [member(n) for n in NODES[:4]]
    played = Played(view([wish(1, OTHER), wish(3)], (), here, now=100.0))
    played.settle()
    changed = wish(3, config={"a": "b"})
    played.view = attrs.evolve(played.view, desired={OTHER.base: wish(1, OTHER), OLD.base: changed})
    played.assigned = 0

    played.settle()

    assert played.assigned == 3
    assert len({*played.where(OLD), *played.where(OTHER)}) == 4


def test_another_version_costs_each_instance_one_start_and_no_move():
    here = [member(n) for n in NODES[:4]]
    played = Played(view([wish(1, OTHER), wish(3)], (), here, now=100.0))
    played.settle()
    played.view = attrs.evolve(played.view, desired={OTHER.base: wish(1, OTHER), OLD.base: wish(3, NEW)})
    played.assigned = 0

    played.settle()

    assert played.assigned == 3
    assert len({*played.where(NEW), *played.where(OTHER)}) == 4


def test_exchanges_that_were_made_void_do_not_take_turns_for_ever():
    """a0001 should have gone for a0002 when another instance failed, wherefore both stayed. Now a0003 is exchanged."""
    rows = [row(1, "n1"), row(2, "n2", replaces="a0001", turn=2), row(3, "n3"), row(4, "n4", replaces="a0003", turn=4)]
    played = Played(view([wish(3)], rows, [member(n) for n in NODES[:4]], now=100.0))
    moved = set()

    played.settle(each=lambda: moved.update(r.instance for r in played.rows.values() if r.state is not S.ACTIVE))

    assert moved == {"a0003"}
    assert sorted(played.rows) == ["a0001", "a0002", "a0004"], "the exchange that was begun last is carried out"
    assert played.assigned == 0


def test_exchanges_that_were_made_void_do_not_use_up_the_moves():
    """Pairs of which both stay are nothing that is on its way."""
    pairs = [Artifact.parse(f"shop:s{n}:1.0.0") for n in range(REBALANCE_MOVES_MAX)]
    here = [member(n, OLD, *pairs) for n in NODES[:2]]
    stay = [
        [row(10 + 2 * n, "n1", artifact=a), row(11 + 2 * n, "n2", artifact=a, replaces=f"a{10 + 2 * n:04}", turn=n)]
        for n, a in enumerate(pairs)
    ]
    rows = [*itertools.chain.from_iterable(stay), *(row(n, "n1") for n in range(4))]
    played = Played(view([wish(4), *(wish(2, a) for a in pairs)], rows, here, now=100.0))

    played.settle()

    assert Counter(played.where()) == {"n1": 2, "n2": 2}


def test_a_configuration_that_does_not_start_leaves_the_others_serving():
    """And is tried again with pauses, not at once and for ever."""
    before, after = wish(3), wish(3, config={"broken": "yes"})
    played = Played(view([before], (), [member(n) for n in NODES[:3]], now=100.0))
    played.settle()
    played.view = attrs.evolve(played.view, desired={OLD.base: after})
    played.failing = {started_with(after)}
    played.assigned = 0
    for _ in range(100):
        played.obey(played.look())
        played.work(lazy=0.0)
        assert sum(r.state is S.ACTIVE and r.digest == started_with(before) for r in played.rows.values()) == 3

    assert played.assigned <= 7


# --- balance ----------------------------------------------------------------------------------------------------------

STRATEGIES = (spread, least_loaded, round_robin)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=6),
    st.integers(1, 5),
    st.sampled_from(STRATEGIES),
    st.sampled_from(("", "zone")),
    st.integers(0, 2**32),
)
def test_from_any_placement_moves_end_and_none_is_left_to_make(counts, nodes, strategy, label, seed):
    """It never goes back and forth: each move makes the sum of squares smaller, and that cannot go on."""
    rng = random.Random(seed)
    artifacts = [Artifact.parse(f"shop:s{n}:1.0.0") for n in range(len(counts))]
    here = [member(n, *artifacts, labels={"zone": rng.choice("ab")}) for n in NODES[:nodes]]
    rows = [
        row(f"{n}-{k}", rng.choice(here).node, artifact=artifact)
        for n, (artifact, count) in enumerate(zip(artifacts, counts, strict=True))
        for k in range(count)
    ]
    rows = [attrs.evolve(r, instance=InstanceId(f"a{n:04}")) for n, r in enumerate(rows)]
    wanted = [wish(count, a, placing=Placing(spread=label)) for a, count in zip(artifacts, counts, strict=True)]
    played = Played(view(wanted, rows, here, now=100.0), seed, strategy)

    def look():
        under_way = sum(r.replaces in played.rows for r in played.rows.values() if r.state in STEPS)
        assert under_way <= REBALANCE_MOVES_MAX

    played.settle(each=look)
    moves = played.exchanges

    assert moves <= sum(counts) * nodes
    assert [o for o in played.look() if not isinstance(o, Unsatisfied)] == [], "a balanced fleet gets no order"


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 2**32))
def test_a_node_that_joins_gets_its_share_and_the_service_nothing_less(instances, nodes, seed):
    """Replacement first: at no moment serve fewer than are wanted."""
    first = [member(n) for n in NODES[:nodes]]
    played = Played(view([wish(instances)], (), first, now=100.0), seed)
    played.settle()
    newcomer = member(NODES[nodes])
    members_now = {**played.view.members, newcomer.node: newcomer}
    played.view = attrs.evolve(played.view, members=members_now, resting=frozenset({newcomer.node}))
    assert played.look() == [], "it rests first: a restart does not shuffle"
    played.view = attrs.evolve(played.view, resting=frozenset())

    def look():
        assert played.count() >= instances

    played.settle(each=look)

    shares = Counter(played.where())
    assert max(shares.values()) - min(shares[n] for n in members_now) <= 1


def test_moving_can_be_switched_off_for_one_slice():
    """A slice whose start costs an hour of warming up stays where it is."""
    rows = [row(n, "n1") for n in range(4)]
    here = [member(NODES[0]), member(NODES[1])]

    assert Played(view([wish(4, placing=Placing(rebalance=False))], rows, here)).look() == []
    (moved,) = Played(view([wish(4)], rows, here)).look()
    assert (moved.row.node, moved.row.replaces) == ("n2", "a0003")


def test_what_cannot_start_on_the_emptier_node_is_not_tried_there_all_the_time():
    """A broken newcomer must not become a mill."""
    desired = wish(4)
    played = Played(view([desired], [row(n, "n1") for n in range(4)], [member(n) for n in NODES[:2]], now=100.0))
    played.failing = {started_with(desired)}
    for _ in range(100):
        played.obey(played.look())
        played.work(lazy=0.0)
        assert played.count() == 4

    assert played.assigned <= 7


# --- places -----------------------------------------------------------------------------------------------------------


def test_zones_share_as_evenly_as_they_can():
    """Three nodes in one zone and one in the other: half of the instances stand in each."""
    here = [member(n, labels={"zone": z}) for n, z in zip(NODES[:4], "aaab", strict=True)]
    played = Played(view([wish(6, placing=Placing(spread="zone"))], (), here, now=100.0))

    played.settle()

    assert Counter(played.where()) == {"n1": 1, "n2": 1, "n3": 1, "n4": 3}


def test_a_full_node_takes_no_more_and_the_rest_is_a_shortage_without_churn():
    """More than the capacity of all is said once, and nothing is moved about because of it."""
    here = [member(n, labels={"capacity": "2"}) for n in NODES[:2]]
    played = Played(view([wish(7)], (), here, now=100.0))

    (short,) = played.settle()

    assert (short.missing, short.reason) == (3, "the capacity of n1, n2 is used up")
    assert played.assigned == 4


def test_pinned_instances_fill_the_first_node_of_the_pin_and_then_the_next():
    placing = Placing(strategy="pinned", pin=(NODES[2], NODES[0]))
    played = Played(view([wish(3, placing=placing, max_per_node=2)], (), [member(n) for n in NODES], now=100.0))

    played.settle()

    assert played.where() == ["n1", "n3", "n3"]


def test_bin_packing_fills_one_node_before_it_begins_another():
    here = [member(n, labels={"capacity": "3"}) for n in NODES[:3]]
    played = Played(view([wish(4, placing=Placing(strategy="bin_pack"))], (), here, now=100.0))

    played.settle()

    assert sorted(Counter(played.where()).values()) == [1, 3]


def test_turns_go_round_though_every_decision_begins_anew():
    """The position stands in the rows: four slices of one instance, wanted one after the other, get four nodes."""
    played = Played(view([], (), [member(n, *EVERYTHING) for n in NODES[:3]], now=100.0), placement=round_robin)
    for artifact in (OLD, OTHER):
        played.view = attrs.evolve(played.view, desired={**played.view.desired, artifact.base: wish(1, artifact)})
        played.settle()

    assert (played.where(OLD), played.where(OTHER)) == (["n1"], ["n2"])


def test_a_strategy_that_nobody_has_is_a_shortage_of_its_slice_alone():
    wanted = [wish(1, placing=Placing(strategy="best")), wish(1, OTHER)]
    played = Played(view(wanted, (), [member(NODES[0])], now=100.0))

    (short,) = played.settle()

    assert (short.artifact, short.reason) == (OLD.base, "there is no placement strategy 'best'")
    assert played.where(OTHER) == ["n1"]


def broken(candidate):
    raise LookupError("no rack of that name")


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        (broken, "the placement strategy broken failed: LookupError: no rack of that name"),
        (lambda candidate: None, "failed: it returned a rank of type NoneType; return a tuple of whole numbers"),
        (lambda candidate: ("a",), "failed: it returned a rank of type tuple; return a tuple of whole numbers"),
        ("best", "the placement strategy str failed: TypeError: 'str' object is not callable"),
    ],
)
def test_a_strategy_that_gives_no_rank_is_a_shortage_of_its_slices_alone(strategy, reason):
    """It is code of somebody else: it must not end the loop of the leader."""
    rows = [row(1, "n1"), row(2, "n2", S.LOADED), row(3, "n9")]
    wanted = [wish(3), wish(1, OTHER, placing=Placing(strategy="spread"))]
    played = Played(view(wanted, rows, [member(n) for n in NODES[:2]], now=100.0), placement=strategy)

    (short,) = played.settle()

    assert (short.artifact, short.missing) == (OLD.base, 1)
    assert reason in short.reason
    assert (played.where(), played.where(OTHER)) == (["n1", "n2"], ["n1"]), "what needs no place goes on"
    played.view = attrs.evolve(played.view, desired={OLD.base: wish(1)})
    assert played.settle() == []
    assert (played.count(), played.count(OTHER)) == (1, 0), "and what is to go goes"


# --- drains -----------------------------------------------------------------------------------------------------------


def test_a_drain_without_another_place_waits_and_says_why():
    rows = [row(1, "n1"), row(2, "n1")]
    seen = view([wish(2, min_available="1")], rows, [member(NODES[0])], duties={NODES[0]: Duty.DRAINING})
    played = Played(seen)

    (short,) = played.settle()

    assert played.count() == 1, "as many as the budget says may go without a replacement"
    assert short.reason == (
        "the nodes that offer it are draining or do not answer: n1; min_available = 1 keeps what runs on n1"
    )


def test_a_forced_drain_waits_for_nobody():
    rows = [row(1, "n1"), row(2, "n1")]
    duties = {NODES[0]: Duty.DRAINING}
    seen = view([wish(2, min_available="2")], rows, [member(NODES[0])], duties=duties, forced=frozenset(duties))
    played = Played(seen)

    played.settle()

    assert played.count() == 0


def test_a_node_that_is_still_joining_keeps_what_it_has_and_gets_nothing():
    seen = view([wish(2)], [row(1, "n1")], [member(n) for n in NODES[:2]], duties={NODES[0]: Duty.JOINING})

    (assigned,) = Played(seen).look()

    assert assigned.row.node == "n2"
