"""Atomic applies: what comes off, what goes back, and that any leader finishes either."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.deployment.applies import Next, Verdict, judge_apply
from aether.deployment.apply_manager import ApplyManager
from aether.deployment.blueprint_operator import LEADER
from aether.deployment.operator import Operator
from aether.errors import BadInput, Conflict, NotFound, TakenBack
from aether.kv import keys
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rollout import TERMINAL, RolloutRow, RolloutState
from aether.model.rows import ApplyRow, ApplyState, DesiredRow, InstanceRow

OLD, NEW, STOCK = (Artifact.parse(f"shop:{t}") for t in ("pricing:1.0.0", "pricing:2.0.0", "stock:1.0.0"))
ROW = ApplyRow(id="shop", number=2, previous=1, slices=(NEW, STOCK), before=(OLD,), at=100.0, timeout_s=60.0)


def instance(name, artifact, state, attempt=0):
    return InstanceRow(
        instance=InstanceId(name),
        artifact=artifact,
        node=NodeId("n1"),
        incarnation=Incarnation("i"),
        state=state,
        attempt=attempt,
        reason="boom" if state is SliceState.FAILED else "",
    )


def wishes(*artifacts, instances=1):
    return {a.base: DesiredRow(artifact=a, instances=instances, blueprint="shop") for a in artifacts}


def update(state):
    return RolloutRow(
        id="u1", artifact=OLD.base, old=OLD.version, new=NEW.version, state=state, created_at=100.0, reason="bad p99"
    )


ACTIVE = (instance("a", NEW, SliceState.ACTIVE), instance("b", STOCK, SliceState.ACTIVE))


def test_when_all_is_active_the_watch_is_over():
    assert judge_apply(ROW, wishes(NEW, STOCK), ACTIVE, (), 1.0).next is Next.KEEP


def test_one_failed_start_is_tried_again_and_the_second_one_is_the_end():
    """A node that was short of memory for a moment is no reason to take a release back."""
    rows = (ACTIVE[1], instance("a", NEW, SliceState.FAILED, attempt=0))
    assert judge_apply(ROW, wishes(NEW, STOCK), rows, (), 1.0).next is Next.WAIT

    rows = (ACTIVE[1], instance("a", NEW, SliceState.FAILED, attempt=1))
    verdict = judge_apply(ROW, wishes(NEW, STOCK), rows, (), 1.0)
    assert (verdict.next, verdict.reason) == (Next.GIVE_UP, "shop:pricing:2.0.0 FAILED again: boom")


def test_what_is_not_active_in_time_goes_back_and_says_what_was_missing():
    verdict = judge_apply(ROW, wishes(NEW, STOCK, instances=2), ACTIVE, (), 60.0)
    assert verdict.next is Next.GIVE_UP
    assert "after 60 s: shop:pricing:2.0.0: 1 of 2 instances ACTIVE" in verdict.reason


def test_an_update_judges_itself_and_its_end_counts():
    """A canary may hold for hours: the time-out is for what does not start."""
    wished = wishes(OLD, STOCK)
    for state, expected in (
        (RolloutState.ROUTING, Next.WAIT),
        (RolloutState.ROLLED_BACK, Next.GIVE_UP),
        (RolloutState.FAILED, Next.GIVE_UP),
        (RolloutState.DEPLOYING, Next.GIVE_UP),  # in time it would have been DEPLOYED
    ):
        assert judge_apply(ROW, wished, ACTIVE, (update(state),), 900.0).next is expected, state
    assert judge_apply(ROW, wishes(NEW, STOCK), ACTIVE, (update(RolloutState.COMPLETED),), 900.0).next is Next.KEEP


def test_updates_are_stopped_before_the_text_goes_back():
    back = attrs.evolve(ROW, state=ApplyState.RETURNING)
    verdict = judge_apply(back, {}, (), (update(RolloutState.ROUTING),), 1.0)
    assert (verdict.next, verdict.updates) == (Next.STOP_UPDATES, ("u1",))
    assert judge_apply(back, {}, (), (update(RolloutState.ROLLING_BACK),), 1.0).next is Next.WAIT
    assert judge_apply(back, {}, (), (update(RolloutState.ROLLED_BACK),), 1.0).next is Next.RETURN


states = st.sampled_from(list(SliceState))
rows = st.lists(st.tuples(st.sampled_from([OLD, NEW, STOCK]), states, st.integers(0, 2)), max_size=6)


@given(
    rows,
    st.lists(st.sampled_from(list(RolloutState)).map(update), max_size=1),
    st.sampled_from([OLD, NEW]),
    st.integers(0, 3),
    st.floats(0, 300),
    st.sampled_from(list(ApplyState)),
)
def test_a_verdict_fits_what_stands(drawn, rollouts, in_force, wanted, lasted_s, state):
    """Nothing is kept that does not run, nothing goes back in time without a failure, nothing is judged for ever."""
    instances = [instance(f"x{n}", a, s, attempt) for n, (a, s, attempt) in enumerate(drawn)]
    desired = wishes(in_force, STOCK, instances=wanted)

    verdict = judge_apply(attrs.evolve(ROW, state=state), desired, instances, rollouts, lasted_s)

    assert verdict == judge_apply(attrs.evolve(ROW, state=state), desired, reversed(instances), rollouts, lasted_s)
    open_updates = [r for r in rollouts if r.state not in TERMINAL]
    if state is ApplyState.RETURNING:
        assert verdict.next in (Next.STOP_UPDATES, Next.WAIT, Next.RETURN)
        assert (verdict.next is Next.RETURN) == (not open_updates)
        return
    active = {a: sum(i.artifact == a and i.state is SliceState.ACTIVE for i in instances) for a in (NEW, STOCK)}
    if verdict.next is Next.KEEP:
        assert not open_updates
        assert active[STOCK] >= wanted
        assert in_force == OLD or active[NEW] >= wanted
    if verdict.next is Next.WAIT:
        assert lasted_s < ROW.timeout_s or open_updates
    if verdict.next is Next.GIVE_UP:
        assert verdict.reason


# --- with the managers, in virtual time -----------------------------------------------------------------------------

FIRST = 'id = "shop"\n[[slices]]\nartifact = "shop:stock:1.0.0"\ninstances = 2\n'
SECOND = (
    'id = "shop"\n[[slices]]\nartifact = "shop:stock:1.0.0"\ninstances = 1\n[[slices]]\n'
    'artifact = "shop:pricing:1.0.0"\n[deployment]\nmode = "atomic"\ntimeout = 60\n'
)


async def three(world, nursery):
    for name in ("n1", "n2", "n3"):
        node = await world.start(name, str(OLD), str(STOCK))
        manager = ApplyManager(node.kv, Operator(node.kv, world.wall).blueprints, None)
        nursery.start_soon(manager.run)
    world.elect("n1")
    await world.operator.apply(FIRST, "ann")
    await world.until(lambda: len(world.where("shop:stock")) == 2)


@pytest.fixture
async def shop(world, nursery):
    await three(world, nursery)
    return world


async def test_an_atomic_apply_that_comes_off_leaves_nothing_behind(autojump_clock, shop):
    await shop.operator.apply(SECOND, "bob")
    assert len(shop.rows(keys.APPLIES)) == 1

    await shop.until(lambda: not shop.rows(keys.APPLIES))

    assert len(shop.where("shop:pricing")) == 1
    assert shop.rows(keys.BLUEPRINTS_CURRENT) == [2]


@pytest.mark.parametrize("leader_dies", [False, True])
async def test_what_fails_twice_goes_back_by_itself_and_says_why(autojump_clock, shop, leader_dies):
    """Also what did come off goes back: half a release is what atomic is there to avoid."""
    for node in shop.nodes.values():
        node.host.fail["activate", "pricing"] = [RuntimeError("no such table")] * 50
    await shop.operator.apply(SECOND, "bob")
    if leader_dies:
        await shop.until(lambda: "FAILED" in {r.state for r in shop.instances("shop:pricing")})
        shop.kill("n1")
        shop.elect("n2")

    await shop.until(lambda: shop.rows(keys.BLUEPRINTS_CURRENT) == [3])
    await shop.until(lambda: not shop.instances("shop:pricing") and len(shop.where("shop:stock")) == 2)

    (third,) = [row for row in shop.rows(keys.BLUEPRINTS) if row.number == 3]
    assert (third.text, third.applied_by) == (FIRST, LEADER)
    assert third.reason.startswith("number 2 was taken back: shop:pricing:1.0.0 FAILED again")
    assert "no such table" in third.reason
    assert shop.rows(keys.APPLIES) == []


async def test_what_is_not_active_in_time_goes_back_too(autojump_clock, shop):
    for node in shop.nodes.values():
        node.host.waits_for["pricing"] = ("waits for Godot", 10_000)
    applied = await shop.operator.apply(SECOND, "bob")

    took_s = await shop.until(lambda: shop.rows(keys.BLUEPRINTS_CURRENT) == [3], within_s=100)

    assert 55 < took_s < 75
    with pytest.raises(TakenBack, match="number 2 is in force no more: number 2 was taken back"):
        applied.missing()

    await shop.operator.apply(FIRST + "# another\n", "cid")
    with pytest.raises(Conflict, match="number 2 is in force no more") as caught:
        applied.missing()
    assert not isinstance(caught.value, TakenBack), "somebody's word stands against it by now"


async def test_a_later_apply_is_not_taken_back_for_an_earlier_one(autojump_clock, shop):
    for node in shop.nodes.values():
        node.host.waits_for["pricing"] = ("waits for Godot", 10_000)
    await shop.operator.apply(SECOND, "bob")

    await shop.operator.apply(FIRST + "# and so\n", "cid")
    await shop.until(lambda: not shop.instances("shop:pricing"), within_s=100)

    assert shop.rows(keys.BLUEPRINTS_CURRENT) == [3]
    assert shop.rows(keys.APPLIES) == []


# --- history, rollback, delete ----------------------------------------------------------------------------------------


async def test_a_rollback_is_a_new_number_with_the_old_text(autojump_clock, shop):
    await shop.operator.apply(SECOND.replace("atomic", "best_effort"), "bob")

    back = await shop.operator.blueprints.rollback("shop", by="cid")

    assert back.number == 3
    (third,) = [row for row in shop.rows(keys.BLUEPRINTS) if row.number == 3]
    assert (third.text, third.applied_by, third.reason) == (FIRST, "cid", "back to 1")
    with pytest.raises(Conflict, match="the text of number 1 is in force already, as 3"):
        await shop.operator.blueprints.rollback("shop", 1)
    with pytest.raises(NotFound, match="kept are 3, 2, 1"):
        await shop.operator.blueprints.rollback("shop", 9)
    with pytest.raises(NotFound):
        await shop.operator.blueprints.rollback("other")


async def test_a_condition_on_the_number_is_kept(autojump_clock, shop):
    with pytest.raises(Conflict, match=r"number 1 by ann at .* is in force, not 0"):
        await shop.operator.blueprints.apply(SECOND, "bob", if_number=0)
    assert (await shop.operator.blueprints.apply(SECOND, "bob", if_number=1)).number == 2


async def test_a_deleted_blueprint_leaves_no_rows(autojump_clock, shop):
    deleted = await shop.operator.blueprints.delete("shop")
    await shop.until(lambda: not shop.instances())

    assert deleted.slices == (STOCK,)
    for prefix in (keys.DESIRED, keys.BLUEPRINTS, keys.BLUEPRINTS_CURRENT, keys.APPLIES, keys.OVERRIDES):
        assert shop.rows(prefix) == []
    with pytest.raises(NotFound):
        await shop.operator.blueprints.delete("shop")


async def test_a_plan_writes_nothing_and_says_what_an_apply_then_does(autojump_clock, shop):
    before = len(shop.log.history)
    planned = await shop.operator.blueprints.plan(SECOND)

    assert len(shop.log.history) == before
    assert (planned.number, planned.changes_something) == (2, True)
    await shop.operator.apply(SECOND)
    assert not (await shop.operator.blueprints.plan(SECOND)).changes_something
    with pytest.raises(BadInput, match="no member offers"):
        await shop.operator.blueprints.plan(SECOND.replace("pricing:1.0.0", "pricing:9.0.0"))


async def test_an_update_that_cannot_be_stopped_keeps_none_of_the_others_going(autojump_clock, world):
    """Each is asked to turn round, whatever the one before it said."""
    asked = []

    async def roll_back(update):
        asked.append(update)
        if update == "first":
            raise Conflict("update first", "its new version is in force")

    node = await world.start("n1", str(OLD))
    manager = ApplyManager(node.kv, Operator(node.kv, world.wall).blueprints, roll_back)
    await manager._stop(Verdict(next=Next.STOP_UPDATES, updates=("first", "second")))

    assert asked == ["first", "second"]
