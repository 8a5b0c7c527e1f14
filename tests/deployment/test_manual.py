"""Instances placed by orders alone: the decision, the operator, and both with the loops of three nodes."""

from collections import Counter

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from aether.deployment.manual import carry_out
from aether.deployment.manual_manager import ManualDeploymentManager
from aether.deployment.orders import Assign, Forget, Move, Unsatisfied, View
from aether.deployment.placement_operator import PlacementOperator
from aether.errors import BadInput, Conflict, NotFound
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.model.artifact import Artifact
from aether.model.duty import Duty
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, MemberRow

ECHO = Artifact.parse("a:echo:1.0.0")
NEWER = Artifact.parse("a:echo:2.0.0")
BASE = ECHO.base
S = SliceState


def member(name, *available, incarnation="i1"):
    return MemberRow(node=NodeId(name), incarnation=Incarnation(incarnation), available=available or (ECHO, NEWER))


def desired(placed, instances=None, artifact=ECHO, **more):
    count = len(placed) if instances is None else instances
    orders = {InstanceId(order): NodeId(node) for order, node in placed.items()}
    return DesiredRow(artifact=artifact, instances=count, blueprint="adhoc", placed=orders, **more)


def row(name, node, state=S.ACTIVE, artifact=ECHO, incarnation="i1", attempt=0, since=0.0):
    return InstanceRow(
        instance=InstanceId(name),
        artifact=artifact,
        node=NodeId(node),
        incarnation=Incarnation(incarnation),
        state=state,
        attempt=attempt,
        since=since,
    )


def decided(wish, *rows, members=("n1", "n2", "n3"), now=100.0, **view):
    each = {NodeId(name): member(name) for name in members}
    wishes = {} if wish is None else {BASE: wish}
    looked = View(desired=wishes, instances=rows, members=each, now=now, **view)
    ids = (InstanceId(f"new{n}") for n in range(100))
    return [order for part in carry_out(looked, lambda: next(ids)) for order in part]


def assigned(orders):
    return [(o.row.instance, o.row.node, o.row.attempt) for o in orders if isinstance(o, Assign)]


def moved(orders):
    return {o.row.instance: o.to for o in orders if isinstance(o, Move)}


def test_an_instance_is_assigned_where_it_was_ordered_under_the_name_of_its_order():
    assert assigned(decided(desired({"o1": "n2", "o2": "n2"}))) == [("o1", "n2", 0), ("o2", "n2", 0)]


def test_nothing_is_placed_that_nobody_ordered():
    [said] = decided(desired({}, instances=3))

    assert isinstance(said, Unsatisfied)
    assert (said.row.missing, said.row.reason) == (3, "3 are not ordered anywhere; aether place a:echo --on NODE")


def test_a_loaded_instance_is_activated_and_one_that_is_ordered_no_longer_goes():
    orders = decided(desired({"o1": "n1"}), row("o1", "n1", S.LOADED), row("o2", "n2"), row("o3", "n3", S.LOADED))

    assert moved(orders) == {"o1": S.ACTIVATE, "o3": S.UNLOAD}  # o2 serves until o1 does
    assert moved(decided(desired({"o1": "n1"}), row("o1", "n1"), row("o2", "n2"))) == {"o2": S.DEACTIVATE}
    assert moved(decided(None, row("o1", "n1"))) == {"o1": S.DEACTIVATE}


def test_of_two_on_one_node_the_one_goes_whose_order_was_taken_back():
    assert moved(decided(desired({"o2": "n1"}), row("o1", "n1"), row("o2", "n1"))) == {"o1": S.DEACTIVATE}


def test_an_order_outlives_the_process_of_its_node():
    orders = decided(desired({"o1": "n1"}), row("o1", "n1", incarnation="before"))

    assert [type(order) for order in orders] == [Forget, Assign]


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        ({"members": ("n1",)}, "n2 does not answer"),
        ({"suspect": frozenset({NodeId("n2")})}, "n2 does not answer"),
        ({"duties": {NodeId("n2"): Duty.DRAINING}}, "n2 takes no instances: it is DRAINING"),
    ],
)
def test_an_order_for_a_node_that_cannot_take_it_waits_and_says_why(view, reason):
    [said] = decided(desired({"o1": "n2"}), **view)

    assert (said.row.missing, said.row.reason) == (1, reason)


def test_a_singleton_is_not_placed_by_orders_and_says_why():
    orders = decided(desired({"o1": "n1", "o2": "n2"}, singleton=True))

    assert assigned(orders) == []
    (short,) = [order.row for order in orders if isinstance(order, Unsatisfied)]
    assert (short.missing, "it is a singleton" in short.reason) == (2, True)


def test_a_failed_instance_is_tried_again_on_its_node_after_its_pause():
    failed = row("o1", "n1", S.FAILED, attempt=2, since=99.0)
    wish = desired({"o1": "n1"})

    assert decided(wish, failed, now=100.0) == []
    later = decided(wish, failed, now=200.0)
    assert moved(later) == {"o1": S.UNLOAD}
    assert assigned(later) == [("new0", "n1", 3)]


def test_another_version_replaces_each_instance_where_it_is_the_old_ones_last():
    wish = desired({"o1": "n1"}, artifact=NEWER)

    assert assigned(decided(wish, row("o1", "n1"))) == [("new0", "n1", 0)]
    assert moved(decided(wish, row("o1", "n1"))) == {}
    assert moved(decided(wish, row("o1", "n1"), row("x", "n1", artifact=NEWER))) == {"o1": S.DEACTIVATE}


ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from([f"o{n}" for n in range(6)]),
        st.sampled_from(["n1", "n2", "n3"]),
        st.sampled_from(list(S)),
        st.sampled_from([ECHO, NEWER]),
        st.sampled_from(["i1", "i0"]),
    ),
    unique_by=lambda r: r.instance,
    max_size=6,
)
ORDERS = st.dictionaries(st.sampled_from([f"o{n}" for n in range(4)]), st.sampled_from(["n1", "n2", "n3"]))


@given(ROWS, ORDERS)
def test_from_any_rows_it_comes_to_what_was_ordered_and_never_above(rows, placed):
    """Obeyed by nodes that always succeed, in any state of the table."""
    wish, after = desired(placed), {S.LOAD: S.LOADED, S.LOADING: S.LOADED, S.ACTIVATE: S.ACTIVE, S.ACTIVATING: S.ACTIVE}
    after |= {S.DEACTIVATE: S.LOADED, S.DEACTIVATING: S.LOADED, S.UNLOAD: None, S.UNLOADING: None}
    standing = {r.instance: r for r in rows}
    for turn in range(40):
        orders = decided(wish, *standing.values(), now=100.0 * (turn + 1))
        for order in orders:
            if isinstance(order, Assign):
                fresh = attrs.evolve(order.row, instance=InstanceId(f"{order.row.instance}-{turn}"))
                standing[fresh.instance] = fresh
            elif isinstance(order, Forget):
                del standing[order.row.instance]
            elif isinstance(order, Move):
                standing[order.row.instance] = attrs.evolve(order.row, state=order.to)
        if not orders and not any(r.state in after for r in standing.values()):
            break
        moved_on = {name: (r, after.get(r.state, r.state)) for name, r in standing.items()}
        standing = {name: attrs.evolve(r, state=to) for name, (r, to) in moved_on.items() if to is not None}
    assert Counter(r.node for r in standing.values()) == Counter(placed.values())
    assert {r.state for r in standing.values()} <= {S.ACTIVE}
    assert {r.artifact for r in standing.values()} <= {ECHO}


# --- the operator -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def manual(world):
    """Three nodes with the manual manager; `manual.operator` orders, from any node."""
    world.make_cluster_manager = ManualDeploymentManager
    for name in ("n1", "n2", "n3"):
        node = await world.start(name, str(ECHO))
        key = keys.member(NodeId(name))
        world.log.apply(Batch((), (Put(key, attrs.evolve(node.kv.get(key), cluster_manager="manual")),)))
    world.elect("n1")
    world.placements = PlacementOperator(world.nodes["n2"].kv, world._new_id)
    return world


async def settle():
    await trio.sleep(3)


async def test_orders_place_move_and_take_back_single_instances(autojump_clock, manual):
    placed = await manual.placements.place(str(ECHO), "n2")
    await settle()
    assert (manual.states(), placed.count) == (["n2:ACTIVE"], 1)

    moved_to = await manual.placements.move(placed.instance, "n3")
    await settle()
    assert manual.states() == ["n3:ACTIVE"]

    await manual.placements.unplace(moved_to.instance)
    await settle()
    assert manual.states() == []


async def test_no_instance_moves_when_its_node_is_lost_and_it_is_back_when_the_node_is(autojump_clock, manual):
    await manual.placements.place(str(ECHO), "n2")
    await settle()
    manual.kill("n2")
    await trio.sleep(30)
    assert manual.states() == []

    await manual.start("n2", str(ECHO))
    await settle()
    assert manual.states() == ["n2:ACTIVE"]


async def test_an_order_is_refused_where_the_cluster_places_by_itself(autojump_clock, manual):
    key = keys.member(NodeId("n1"))  # the leader decides
    row_ = manual.nodes["n1"].kv.get(key)
    manual.log.apply(Batch((), (Put(key, attrs.evolve(row_, cluster_manager="reconcile")),)))

    with pytest.raises(Conflict, match="manager 'reconcile' places instances by itself; start every node with"):
        await manual.placements.place(str(ECHO), "n2")


async def test_an_order_that_cannot_be_carried_out_is_refused_with_what_there_is(autojump_clock, manual):
    with pytest.raises(NotFound, match="n1, n2, n3"):
        await manual.placements.place(str(ECHO), "n9")
    with pytest.raises(BadInput, match=r"n2 cannot run a:echo:9\.0\.0"):
        await manual.placements.place("a:echo:9.0.0", "n2")
    with pytest.raises(NotFound, match="say its version"):
        await manual.placements.place("a:echo", "n2")
    with pytest.raises(NotFound, match="x99"):
        await manual.placements.unplace("x99")


async def test_nobody_orders_more_than_a_blueprint_wants(autojump_clock, manual):
    wish = DesiredRow(artifact=ECHO, instances=1, blueprint="shop")
    manual.log.apply(Batch((), (Put(keys.desired(BASE), wish),)))
    await manual.placements.place("a:echo", "n1")

    with pytest.raises(Conflict, match="blueprint 'shop' wants 1, and as many are placed; scale it first"):
        await manual.placements.place("a:echo", "n2")


async def test_an_instance_that_is_needed_is_given_up_by_force_alone(autojump_clock, manual):
    wish = DesiredRow(artifact=ECHO, instances=1, blueprint="shop", min_available="1")
    manual.log.apply(Batch((), (Put(keys.desired(BASE), wish),)))
    placed = await manual.placements.place("a:echo", "n1")
    await settle()

    with pytest.raises(Conflict, match="min_available = 1 leaves no instance to spare"):
        await manual.placements.unplace(placed.instance)
    await manual.placements.unplace(placed.instance, force=True)
    await settle()
    assert manual.states() == []


async def test_orders_taken_back_in_one_breath_leave_what_is_needed(autojump_clock, manual):
    wish = DesiredRow(artifact=ECHO, instances=2, blueprint="shop", min_available="1")
    manual.log.apply(Batch((), (Put(keys.desired(BASE), wish),)))
    first = await manual.placements.place("a:echo", "n1")
    second = await manual.placements.place("a:echo", "n2")
    await settle()

    await manual.placements.unplace(first.instance)
    with pytest.raises(Conflict, match="min_available = 1 leaves no instance to spare"):
        await manual.placements.unplace(second.instance)
    await settle()
    assert manual.states() == ["n2:ACTIVE"]


async def test_an_order_for_a_singleton_is_refused(autojump_clock, manual):
    wish = DesiredRow(artifact=ECHO, instances=1, blueprint="shop", singleton=True)
    manual.log.apply(Batch((), (Put(keys.desired(BASE), wish),)))

    with pytest.raises(Conflict, match="it is a singleton"):
        await manual.placements.place("a:echo", "n1")
