"""Reconcile as arithmetic: from any rows, obeying its orders leads to what was wished, and no further."""

import itertools
import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.deployment.views import NEW, OLD, OTHER, view, wish

from aether.deployment.orders import Assign, DropRoutes, Forget, Move, Unsatisfied
from aether.deployment.placement import Candidate, least_loaded, spread
from aether.deployment.reconcile import backoff_s, reconcile
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import IllegalTransition, SliceState
from aether.model.limits import FAILED_BACKOFF_MAX_S, FAILED_BACKOFF_MIN_S
from aether.model.rows import InstanceRow, MemberRow

S = SliceState
BASE = OLD.base


def member(node, *available, draining=False, incarnation="i"):
    return MemberRow(
        node=NodeId(node), incarnation=Incarnation(incarnation), available=available or (OLD,), draining=draining
    )


def row(number, node, state=S.ACTIVE, artifact=OLD, **fields):
    return InstanceRow(
        instance=InstanceId(f"a{number}"),
        artifact=artifact,
        node=NodeId(node),
        incarnation=fields.pop("incarnation", Incarnation("i")),
        state=state,
        **fields,
    )


def orders(seen, placement=spread):
    ids = (InstanceId(f"new{n}") for n in itertools.count())
    return list(itertools.chain.from_iterable(reconcile(seen, lambda: next(ids), placement)))


def spelt(found):
    """Orders as short texts, in order."""
    return [
        f"{type(o).__name__} {o.row.node} {o.row.instance}" + (f" {o.to}" if isinstance(o, Move) else "")
        if not isinstance(o, Unsatisfied | DropRoutes)
        else type(o).__name__
        for o in found
    ]


# --- cases --------------------------------------------------------------------------------------------------------


def test_three_wanted_on_two_nodes_gives_three():
    """Spread is a preference, not a cap: the operator asked for three."""
    found = orders(view([wish(3)], members=[member("n1"), member("n2")]))

    assert [o.row.node for o in found] == ["n1", "n2", "n1"]
    assert {o.row.state for o in found} == {S.LOAD}


def test_max_per_node_is_hard_and_the_shortage_says_so():
    """Two on one node may be two on one licence or one GPU."""
    found = orders(view([wish(3, max_per_node=1)], members=[member("n1"), member("n2")]))

    assert spelt(found) == ["Assign n1 new0", "Assign n2 new1", "Unsatisfied"]
    assert found[-1].row.missing == 1
    assert found[-1].row.reason == "max_per_node = 1 is reached on n1, n2"


def test_instances_go_only_where_their_code_can_be_loaded():
    """Elsewhere they would only fail."""
    found = orders(view([wish(2)], members=[member("n1", OTHER), member("n2", OLD)]))

    assert [o.row.node for o in found] == ["n2", "n2"]


def test_an_artifact_that_nobody_offers_is_a_shortage_that_names_what_is_offered():
    """Usually the version is a typing mistake."""
    found = orders(view([wish(1, NEW)], members=[member("n1", OLD), member("n2", OTHER)]))

    (shortage,) = found
    assert shortage.row.reason == "no live node offers shop:pricing:2.0.0; versions offered: 1.0.0"


def test_the_less_loaded_node_comes_first_among_equals():
    """Spread over artifacts too: five slices on three nodes should not all start on n1."""
    rows = [row(1, "n1", artifact=OTHER)]
    members = [member("n1", OLD, OTHER), member("n2", OLD, OTHER)]

    (found,) = orders(view([wish(1), wish(1, OTHER)], rows, members))

    assert found.row.node == "n2"


def test_least_loaded_looks_at_all_artifacts_before_this_one():
    """The two placements must differ, or one of them is not needed."""
    busy, idle = Candidate(node=NodeId("a"), same=0, load=5), Candidate(node=NodeId("b"), same=1, load=1)

    assert min((busy, idle), key=least_loaded) is idle
    assert min((busy, idle), key=spread) is busy


def test_a_loaded_instance_is_activated():
    """The leader paces the second half of a start; the node never goes on by itself."""
    assert spelt(orders(view([wish(1)], [row(1, "n1", S.LOADED)], [member("n1")]))) == ["Move n1 a1 ACTIVATE"]


def test_a_surplus_is_stopped_first_and_unloaded_then():
    """Nothing is unloaded while it serves."""
    rows = [row(1, "n1"), row(2, "n1", S.LOADED)]

    assert spelt(orders(view([], rows, [member("n1")]))) == ["Move n1 a1 DEACTIVATE", "Move n1 a2 UNLOAD"]


def test_an_instance_under_way_is_left_alone_until_it_arrives():
    """The table has no way back from LOADING: the node is acting on that row."""
    rows = [row(n, "n1", state) for n, state in enumerate((S.LOAD, S.LOADING, S.ACTIVATE, S.ACTIVATING))]

    assert orders(view([], rows, [member("n1")])) == []


def test_scaling_down_gives_up_what_has_come_least_far():
    """A serving instance is worth more than one that is still to start."""
    rows = [row(1, "n1", S.LOADED), row(2, "n2", S.ACTIVE)]

    found = orders(view([wish(1)], rows, [member("n1"), member("n2")]))

    assert spelt(found) == ["Move n1 a1 UNLOAD"]


def test_scaling_down_leaves_the_rest_on_different_nodes():
    """One crash must not take all that is left, though the other node has more to do."""
    busy = [row(10 + n, "n2", artifact=OTHER) for n in range(3)]
    rows = [row(1, "n1"), row(2, "n1"), row(3, "n2"), *busy]

    found = orders(view([wish(2), wish(3, OTHER)], rows, [member("n1"), member("n2")]))

    assert spelt(found) == ["Move n1 a2 DEACTIVATE"]


def test_rows_of_lost_nodes_and_of_earlier_incarnations_are_forgotten():
    """The original kept them for ever, and each new leader took them for real."""
    rows = [row(1, "gone"), row(2, "n1", incarnation=Incarnation("before"))]

    found = orders(view([wish(1)], rows, [member("n1")]))

    assert spelt(found) == ["Forget gone a1", "Forget n1 a2", "Assign n1 new0"]


def test_a_silent_member_keeps_what_it_has_and_gets_nothing_new():
    """Two seconds of silence must not move instances, nor send new ones there."""
    found = orders(view([wish(3)], [row(1, "n1")], [member("n1"), member("n2")], suspect=frozenset({NodeId("n1")})))

    assert spelt(found) == ["Assign n2 new0", "Assign n2 new1"]


def test_a_failed_instance_waits_for_its_back_off():
    """It holds its place meanwhile: nothing else is started for it."""
    failed = row(1, "n1", S.FAILED, attempt=2, since=100.0)

    assert orders(view([wish(1)], [failed], [member("n1")], now=103.9)) == []
    assert spelt(orders(view([wish(1)], [failed], [member("n1")], now=104.0))) == [
        "Move n1 a1 UNLOAD",
        "Assign n1 new0",
    ]


def test_the_next_attempt_counts_on_and_prefers_another_node():
    """Otherwise the pause would never grow, and a broken node would be tried for ever."""
    failed = row(1, "n1", S.FAILED, attempt=2)

    (_, assigned) = orders(view([wish(1)], [failed], [member("n1"), member("n2")], now=1e6))

    assert assigned.row.attempt == 3
    assert assigned.row.node == "n2"


def test_a_failed_instance_that_nobody_wants_goes_at_once():
    """Undeploy must not wait a minute for a back-off."""
    failed = row(1, "n1", S.FAILED, attempt=9, since=100.0)

    assert spelt(orders(view([], [failed], [member("n1")], now=100.0))) == ["Move n1 a1 UNLOAD"]


def test_a_stamp_from_the_future_does_not_stop_the_retry():
    """A node's clock that ran a day ahead must not keep an instance FAILED for a day."""
    failed = row(1, "n1", S.FAILED, since=86_400.0)

    assert spelt(orders(view([wish(1)], [failed], [member("n1")], now=0.0))) == ["Move n1 a1 UNLOAD", "Assign n1 new0"]


def test_back_off_doubles_up_to_its_limit():
    """Also for an attempt number that would overflow a float."""
    assert backoff_s(0) == FAILED_BACKOFF_MIN_S
    assert backoff_s(3) == 8 * FAILED_BACKOFF_MIN_S
    assert backoff_s(10_000) == FAILED_BACKOFF_MAX_S


def test_old_versions_stay_until_the_new_are_active():
    """One old instance stops for each new one that serves."""
    members = [member("n1", OLD, NEW)]
    starting = [row(1, "n1"), row(2, "n1"), row(3, "n1", S.ACTIVE, NEW), row(4, "n1", S.LOADING, NEW)]

    assert spelt(orders(view([wish(2, NEW)], starting, members))) == ["Move n1 a2 DEACTIVATE"], "two serve after this"


def test_an_old_version_that_cannot_be_replaced_goes_on_serving():
    """A wish for a version that nobody has must not take the service down."""
    found = orders(view([wish(1, NEW)], [row(1, "n1")], [member("n1", OLD)]))

    assert spelt(found) == ["Unsatisfied"]


def test_where_max_per_node_leaves_no_room_old_instances_make_place_one_at_a_time():
    """Otherwise an update under max_per_node = 1 would never begin."""
    members = [member("n1", OLD, NEW), member("n2", OLD, NEW)]
    update = wish(2, NEW, max_per_node=1)

    found = orders(view([update], [row(1, "n1"), row(2, "n2")], members))
    assert spelt(found) == ["Move n1 a1 DEACTIVATE"]

    later = [row(1, "n1", S.DEACTIVATING), row(2, "n2")]
    assert orders(view([update], later, members)) == []


def test_an_update_under_way_is_no_shortage_and_a_real_one_is_counted_alone():
    """Otherwise every update under max_per_node would look like a fault."""
    members = [member("n1", OLD, NEW), member("n2", OLD, NEW)]
    rows = [row(1, "n1", S.DEACTIVATING), row(2, "n2")]

    (shortage,) = orders(view([wish(3, NEW, max_per_node=1)], rows, members))

    assert shortage.row.missing == 1


def test_a_draining_node_is_relieved_and_keeps_what_has_no_other_place():
    """Stopping the last instance early would help nobody; the shortage says why it stays."""
    members = [member("n1", draining=True), member("n2", OTHER)]

    (shortage,) = orders(view([wish(1)], [row(1, "n1")], members))

    assert shortage.row.reason == "the nodes that offer it are draining or do not answer: n1"


def test_routes_go_when_nobody_wants_the_artifact_and_nothing_remains():
    """Earlier, a request would get 404 for a slice that is only resting."""
    routes = frozenset({BASE})

    assert orders(view(routes=routes)) == [DropRoutes(BASE)]
    assert orders(view([wish(0)], routes=routes)) == []
    unloading = [row(1, "n1", S.UNLOADING)]
    assert orders(view([], unloading, [member("n1")], routes=routes)) == []


def test_an_order_against_the_lifecycle_table_cannot_be_made():
    """The table is enforced where the order is born, not hoped for where it is read."""
    with pytest.raises(IllegalTransition, match="is ACTIVE and cannot become UNLOAD"):
        Move(row(1, "n1"), S.UNLOAD)


def test_a_decision_comes_in_parts_so_that_it_can_yield():
    """User code shares the loop."""
    wishes = [wish(1, Artifact.parse(f"shop:a{n}:1.0.0")) for n in range(50)]

    assert len(list(reconcile(view(wishes), lambda: InstanceId("x")))) >= 50


def test_a_large_wish_comes_in_parts_too_and_whole():
    """One artifact with a thousand instances must not stall the loop either."""
    parts = list(reconcile(view([wish(200)], members=[member("n1"), member("n2")]), lambda: InstanceId("x")))

    assert max(map(len, parts)) <= 32
    assert sum(map(len, parts)) == 200


# --- properties -----------------------------------------------------------------------------------------------------

NODES = ("n1", "n2", "n3", "n4")
ARTIFACTS = (OLD, NEW, OTHER)


@st.composite
def worlds(draw):
    """Any rows at all: of dead nodes, wrong incarnations, forgotten versions, mixed states."""
    members = [
        member(
            node,
            *draw(st.lists(st.sampled_from(ARTIFACTS), unique=True)),
            draining=draw(st.booleans()) and node == "n4",
        )
        for node in draw(st.lists(st.sampled_from(NODES), unique=True))
    ]
    # Codes that nobody offers at all are a case of their own above; here an empty list means OLD.
    wishes = [
        wish(
            draw(st.integers(0, 6)), draw(st.sampled_from((OLD, NEW))), max_per_node=draw(st.none() | st.integers(1, 3))
        )
    ] * draw(st.integers(0, 1))
    wishes += [wish(draw(st.integers(0, 3)), OTHER)] * draw(st.integers(0, 1))
    rows = [
        row(
            number,
            draw(st.sampled_from(NODES)),
            draw(st.sampled_from(list(S))),
            draw(st.sampled_from(ARTIFACTS)),
            incarnation=Incarnation(draw(st.sampled_from(("i", "i", "i", "old")))),
            attempt=draw(st.integers(0, 3)),
            since=draw(st.floats(0, 100)),
        )
        for number in range(draw(st.integers(0, 12)))
    ]
    return view(wishes, rows, members, now=100.0)


NODE_STEPS = {
    S.LOAD: S.LOADING,
    S.LOADING: S.LOADED,
    S.ACTIVATE: S.ACTIVATING,
    S.ACTIVATING: S.ACTIVE,
    S.DEACTIVATE: S.DEACTIVATING,
    S.DEACTIVATING: S.LOADED,
    S.UNLOAD: S.UNLOADING,
    S.UNLOADING: None,
}


class Cluster:
    """Obeys orders as managers do, and lets nodes do their steps in any order that the seed draws."""

    def __init__(self, seen, rng):
        self.view = seen
        self.rows = {(r.artifact.base, r.instance): r for r in seen.instances}
        self.rng = rng
        self._ids = itertools.count()

    def look(self):
        self.view = attrs.evolve(self.view, instances=tuple(self.rows.values()), now=self.view.now + 1.0)
        ids = iter(lambda: InstanceId(f"b{next(self._ids)}"), None)
        return [
            o
            for o in itertools.chain.from_iterable(reconcile(self.view, lambda: next(ids)))
            if not isinstance(o, Unsatisfied)
        ]

    def obey(self, found):
        for order in found:
            match order:
                case Assign(new):
                    assert (new.artifact.base, new.instance) not in self.rows
                    self.rows[new.artifact.base, new.instance] = new
                case Move(old, to):
                    assert self.rows[old.artifact.base, old.instance] == old, "one order per row and look"
                    self.rows[old.artifact.base, old.instance] = attrs.evolve(old, state=to)
                case Forget(old):
                    del self.rows[old.artifact.base, old.instance]

    def work(self, failures=0.0):
        for key, one in list(self.rows.items()):
            alive = one.node in self.view.members and self.view.members[one.node].incarnation == one.incarnation
            if one.state not in NODE_STEPS or not alive or self.rng.random() < 0.3:
                continue
            to = NODE_STEPS[one.state]
            if one.state is S.ACTIVATING and self.rng.random() < failures:
                to = S.FAILED
            if to is None:
                del self.rows[key]
            else:
                self.rows[key] = attrs.evolve(one, state=to, since=self.view.now if to is S.FAILED else one.since)

    def settle(self):
        for _ in range(400):
            found = self.look()
            self.obey(found)
            if not found and all(r.state not in NODE_STEPS and r.state is not S.FAILED for r in self.rows.values()):
                return
            self.work()
        raise AssertionError([str(o) for o in self.look()], list(self.rows.values()))

    def active(self, artifact):
        return sum(r.artifact == artifact and r.state is S.ACTIVE for r in self.rows.values())


def possible(seen, desired):
    hosts = [m for m in seen.members.values() if desired.artifact in m.available and not m.draining]
    room = len(hosts) * (desired.max_per_node if desired.max_per_node is not None else 10**6)
    return min(desired.instances, room)


def check_settled(cluster):
    seen = cluster.view
    for base in {a.base for a in ARTIFACTS}:
        desired = seen.desired.get(base)
        rows = [r for r in cluster.rows.values() if r.artifact.base == base]
        if desired is None:
            assert rows == []
            continue
        good = [r for r in rows if r.artifact == desired.artifact and not seen.members[r.node].draining]
        # More than max_per_node may only be left where they stood from the beginning.
        assert len(good) >= possible(seen, desired)
        assert len(good) <= desired.instances
        assert all(r.state is S.ACTIVE for r in rows)
        assert len(rows) <= max(desired.instances, len(good)), "what is not needed is gone"


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(0, 2**32))
def test_from_any_rows_obeying_the_orders_reaches_what_is_possible(seen, seed):
    """Level-triggered means: no state, however strange, is a dead end."""
    cluster = Cluster(seen, random.Random(seed))

    cluster.settle()

    check_settled(cluster)
    assert cluster.look() == []


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers(0, 2**32), st.data())
def test_nodes_may_die_and_starts_may_fail_on_the_way(seen, seed, data):
    """Whatever happens meanwhile: once it stops happening, the wish is reached."""
    cluster = Cluster(seen, random.Random(seed))
    for _ in range(6):
        cluster.obey(cluster.look())
        cluster.work(failures=0.3)
        if len(cluster.view.members) > 1 and data.draw(st.booleans()):
            dead = data.draw(st.sampled_from(sorted(cluster.view.members)))
            left = {n: m for n, m in cluster.view.members.items() if n != dead}
            cluster.view = attrs.evolve(cluster.view, members=left)

    cluster.settle()

    check_settled(cluster)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 2**32))
def test_an_update_never_takes_away_what_serves(seen, seed):
    """Old and new together are at least as many ACTIVE as before, up to what is wanted, without max_per_node."""
    desired = attrs.evolve(wish(3, NEW))
    members = {m.node: attrs.evolve(m, available=ARTIFACTS, draining=False) for m in seen.members.values()}
    rows = tuple(attrs.evolve(r, artifact=OLD) for r in seen.instances if r.node in members and r.incarnation == "i")
    cluster = Cluster(attrs.evolve(seen, desired={BASE: desired}, members=members, instances=rows), random.Random(seed))
    floor = min(3, cluster.active(OLD) + cluster.active(NEW))

    for _ in range(40):
        cluster.obey(cluster.look())
        cluster.work()
        assert sum(r.state is S.ACTIVE for r in cluster.rows.values()) >= floor


@settings(max_examples=60, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_every_leader_gives_the_same_orders_for_the_same_view(seen, rng):
    """Rows, members and wishes may arrive in any order."""
    rows = list(seen.instances)
    rng.shuffle(rows)
    members = dict(sorted(seen.members.items(), reverse=True))
    desired = dict(reversed(seen.desired.items()))

    assert orders(seen) == orders(attrs.evolve(seen, instances=tuple(rows), members=members, desired=desired))


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_max_per_node_is_never_exceeded_by_an_order(seen):
    """Whatever stands there already, whatever its state."""
    for desired in seen.desired.values():
        assigned = [
            o.row for o in orders(seen) if isinstance(o, Assign) and o.row.artifact.base == desired.artifact.base
        ]
        for node in {r.node for r in assigned}:
            there = [
                r
                for r in seen.instances
                if r.node == node
                and r.incarnation == "i"
                and r.artifact.base == desired.artifact.base
                and r.state not in (S.FAILED, S.UNLOAD, S.UNLOADING)
            ]
            limit = desired.max_per_node or 10**6
            assert len(there) + sum(r.node == node for r in assigned) <= limit
