"""What the leader's loop must not do: write on what has changed, hold the loop, act without its fence."""

import functools
import itertools
from collections import Counter

import attrs
import pytest
import trio

from aether.deployment.cluster_manager import ClusterDeploymentManager
from aether.deployment.placement import least_loaded, spread
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, LeadershipRow, MemberRow

PRICING = Artifact.parse("shop:pricing:1.0.0")
ARTIFACTS = tuple(Artifact.parse(f"shop:s{n:02}:1.0.0") for n in range(40))


@pytest.fixture
def prepared(log, kv):
    """One live member that offers everything, and leads."""
    member = MemberRow(node=NodeId("n1"), incarnation=Incarnation("i"), available=(PRICING, *ARTIFACTS))
    leads = LeadershipRow(term=1, node=NodeId("n1"))
    log.apply(Batch((), (Put(keys.member(member.node), member), Put(keys.leadership, leads))))
    return kv


def manager(kv, placement=spread):
    ids = itertools.count()
    return ClusterDeploymentManager(
        kv,
        lambda: {NodeId("n1"): Incarnation("i")},
        wall=lambda: 0.0,
        new_id=lambda: InstanceId(f"x{next(ids)}"),
        placement=placement,
    )


def want(log, *artifacts, instances=1):
    rows = [DesiredRow(artifact=a, instances=instances, blueprint="app") for a in artifacts]
    log.apply(Batch((), tuple(Put(keys.desired(row.artifact.base), row) for row in rows)))


async def test_a_wish_that_changed_during_the_decision_is_decided_anew(autojump_clock, log, prepared):
    """The decision may yield; what it was made on must still stand when it is written."""
    want(log, PRICING, instances=2)

    def withdrawn_meanwhile(candidate):
        key = keys.desired(PRICING.base)
        row = prepared.get(key)
        if row.instances == 2:
            log.apply(Batch((), (Put(key, attrs.evolve(row, instances=1)),)))
        return spread(candidate)

    async with trio.open_nursery() as nursery:
        await nursery.start(manager(prepared, withdrawn_meanwhile).run)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()

    assert len(list(prepared.rows(keys.INSTANCES))) == 1


async def test_a_wish_that_is_gone_when_its_batch_arrives_gets_no_instance(autojump_clock, log, prepared):
    """The compare in the batch catches what no look can."""
    want(log, PRICING)
    prepared.before_apply = [lambda: log.apply(Batch((), (Delete(keys.desired(PRICING.base)),)))]

    async with trio.open_nursery() as nursery:
        await nursery.start(manager(prepared).run)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()

    assert list(prepared.rows(keys.INSTANCES)) == []


async def test_a_long_decision_lets_others_run(autojump_clock, log, prepared):
    """User code shares the loop: forty artifacts at ten milliseconds each must not stop it for 0.4 s."""
    want(log, *ARTIFACTS)
    turns = 0
    seen = []

    def slow(candidate):
        autojump_clock.jump(0.01)
        seen.append(turns)
        return spread(candidate)

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await nursery.start(manager(prepared, slow).run)
        while len(seen) < len(ARTIFACTS):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()

    assert max(Counter(seen).values()) <= 6, "a slice is ranked a few times in one go, and then others have their turn"


async def test_an_order_that_can_never_be_written_is_tried_again_ever_more_rarely(autojump_clock, log, prepared):
    """Here an id that is given out twice. It neither keeps the loop busy nor keeps others from their instances."""
    here = {"node": NodeId("n1"), "incarnation": Incarnation("i")}
    taken = InstanceRow(instance=InstanceId("x"), artifact=PRICING, state=SliceState.ACTIVE, **here)
    log.apply(Batch((), (Put(keys.instance(PRICING.base, taken.instance), taken),)))
    want(log, PRICING, instances=2)
    decided = []

    def noting(candidate):
        decided.append(trio.current_time())
        return spread(candidate)

    stuck = manager(prepared, noting)
    stuck._new_id = lambda: InstanceId("x")
    async with trio.open_nursery() as nursery:
        await nursery.start(stuck.run)
        await trio.sleep(60)
        tried = len(decided)
        want(log, ARTIFACTS[0])
        await trio.sleep(0.01)
        others = [row for row in prepared.rows(keys.INSTANCES) if row.artifact == ARTIFACTS[0]]
        nursery.cancel_scope.cancel()

    assert 20 < tried < 200, "at first soon, then about once a second"
    assert len(others) == 1


async def test_a_follower_writes_nothing(autojump_clock, log, prepared):
    """Every node runs the manager; one acts."""
    want(log, PRICING)
    log.apply(Batch((), (Put(keys.leadership, LeadershipRow(term=2, node=NodeId("n2"))),)))
    revision = prepared.revision

    async with trio.open_nursery() as nursery:
        await nursery.start(manager(prepared).run)
        await trio.sleep(60)
        nursery.cancel_scope.cancel()

    assert prepared.revision == revision


async def test_more_orders_than_fit_one_batch_are_written_in_several(autojump_clock, log, prepared):
    want(log, PRICING, instances=700)

    async with trio.open_nursery() as nursery:
        await nursery.start(manager(prepared).run)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()

    assert len(list(prepared.rows(keys.INSTANCES))) == 700


async def test_a_strategy_that_raises_does_not_end_the_leaders_loop_and_is_logged_once(autojump_clock, world, caplog):
    def broken(candidate):
        raise LookupError("no rack of that name")

    world.make_cluster_manager = functools.partial(ClusterDeploymentManager, placement=broken)
    await world.start("n1", "shop:pricing:1.0.0", "shop:stock:1.0.0")
    world.elect("n1")
    await world.operator.deploy("shop:pricing:1.0.0", 1)
    await world.until(lambda: world.rows(keys.UNSATISFIED))
    await trio.sleep(60)

    (short,) = world.rows(keys.UNSATISFIED)
    assert short.reason == "the placement strategy broken failed: LookupError: no rack of that name"
    assert sum("no rack of that name" in record.getMessage() for record in caplog.records) == 1
    caplog.clear()
    world.nodes["n1"].cluster._placement = spread
    await world.operator.deploy("shop:stock:1.0.0", 1)
    await world.until(lambda: world.where("shop:pricing") == world.where("shop:stock") == ["n1"])
    await world.until(lambda: not world.rows(keys.UNSATISFIED))


async def test_a_strategy_that_fails_while_instances_go_is_logged_once(autojump_clock, world, caplog):
    """What goes is then chosen by another strategy than the one that was asked for."""
    world.make_cluster_manager = functools.partial(ClusterDeploymentManager, placement=least_loaded)
    await world.start("n1", "shop:pricing:1.0.0")
    world.elect("n1")
    await world.operator.deploy("shop:pricing:1.0.0", 4)
    await world.until(lambda: world.where("shop:pricing") == ["n1"] * 4)

    def broken(candidate):
        raise LookupError("no rack of that name")

    world.nodes["n1"].cluster._placement = broken
    for count in (3, 2):
        await world.operator.scale("shop:pricing", count)
        await world.until(lambda count=count: world.where("shop:pricing") == ["n1"] * count)
    await trio.sleep(60)

    told = [record.getMessage() for record in caplog.records if "no rack of that name" in record.getMessage()]
    assert told == [
        "spread chooses which instances go: the placement strategy broken failed: LookupError: no rack of that name"
    ]
