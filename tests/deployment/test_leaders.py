"""Leadership may change anywhere: at each proposal of a deployment, with the old leader alive or dead."""

import itertools

import pytest
import trio

from aether.deployment.digest import started_with
from aether.errors import OutcomeUnknown
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.kv.watch_service import Watch
from aether.model.artifact import Artifact
from aether.model.duty import Duty, DutyRow
from aether.model.ids import NodeId
from aether.model.limits import REBALANCE_AFTER_S
from aether.model.rows import DesiredRow
from aether.model.version import Version

PRICING, NEWER, STOCK = map(Artifact.parse, ("shop:pricing:1.0.0", "shop:pricing:2.0.0", "shop:stock:1.0.0"))
OFFERED = tuple(map(str, (PRICING, NEWER, STOCK)))
PROPOSALS = 20  # the story below takes fewer, when nothing happens; checked


def want(world, *rows):
    world.log.apply(Batch((), tuple(Put(keys.desired(row.artifact.base), row) for row in rows)))


def wish(artifact, instances, **fields):
    return DesiredRow(artifact=artifact, instances=instances, blueprint="app", **fields)


STORY = (
    (wish(PRICING, 3), wish(STOCK, 1, singleton=True)),
    (wish(PRICING, 2, beside=Version.parse("2.0.0"), beside_instances=2, min_available="50%"),),
    (wish(NEWER, 3, config={"a": "b"}), wish(STOCK, 1, singleton=True, config={"a": "b"})),
)


def settled(world):
    rows = world.instances()
    hosted = {i for node in world.nodes.values() for i in node.host.running}
    wanted = {}
    for row in world.rows(keys.DESIRED):
        wanted[row.artifact] = row.instances
        if row.beside is not None:
            wanted[row.artifact.base.at(row.beside)] = row.beside_instances
    digests = {row.artifact.base: started_with(row) for row in world.rows(keys.DESIRED)}
    counts = {artifact: sum(row.artifact == artifact for row in rows) for artifact in wanted}
    active = all(row.state == "ACTIVE" and row.digest == digests[row.artifact.base] for row in rows)
    return active and counts == wanted and len(rows) == sum(wanted.values()) and hosted == {r.instance for r in rows}


class Proposals:
    """Counts what the leaders' managers propose, and does something in front of the number `at`."""

    def __init__(self, world, at, act):
        self.count = 0
        for node in world.nodes.values():
            self._watch(node.kv, at, act)

    def _watch(self, kv, at, act):
        propose = kv.propose

        async def counted(batch, *, fence=None):
            if fence is not None:
                self.count += 1
                if self.count == at:
                    act(kv.node)
            return await propose(batch, fence=fence)

        kv.propose = counted


async def tell(world, proposals):
    for chapter in STORY:
        want(world, *chapter)
        await world.until(lambda: settled(world), within_s=150)
    took = proposals.count
    await stays(world)
    return took


async def stays(world):
    """Nothing is written any more, once all members have rested and were given their share."""
    await trio.sleep(5)
    assert settled(world), "and stays, for somebody rests"
    await trio.sleep(REBALANCE_AFTER_S)  # more than the longest that it takes until nobody rests
    await world.until(lambda: settled(world))
    await still(world)


async def still(world):
    """Not a single row changes for long."""
    revision = world.log.store.revision
    await trio.sleep(4 * REBALANCE_AFTER_S)
    assert world.log.history[-1][0] <= revision, "and stays for good"


def extra(world):
    """Instances beyond the most that any chapter wanted, with those that replace others."""
    pricing = [r for r in world.instances("shop:pricing") if r.state not in ("UNLOAD", "UNLOADING")]
    return len(pricing) > 3 + 4 or len(world.instances("shop:stock")) > 1


async def test_a_story_that_nobody_disturbs_leaves_nothing_to_balance(autojump_clock, world):
    """Every replacement stood in the right place from the beginning: no node is given its share later."""
    for name in ("n1", "n2", "n3", "n4"):
        await world.start(name, *OFFERED)
    world.elect("n1")
    for chapter in STORY:
        want(world, *chapter)
        await world.until(lambda: settled(world), within_s=150)

    await still(world)


async def test_the_story_takes_no_more_proposals_than_the_tests_below_go_through(autojump_clock, world):
    for name in ("n1", "n2", "n3", "n4"):
        await world.start(name, *OFFERED)
    world.elect("n1")

    assert 10 < await tell(world, Proposals(world, 0, print)) <= PROPOSALS


@pytest.mark.parametrize("at", range(1, PROPOSALS + 1))
async def test_a_leader_that_dies_at_any_proposal_is_followed_by_one_that_finishes(autojump_clock, world, at):
    """What it had written stands, what it had not is decided anew; nobody hands anything over."""
    for name in ("n1", "n2", "n3", "n4"):
        await world.start(name, *OFFERED)
    world.elect("n1")

    def die(node):
        world.kill(node)
        world.elect(sorted(world.nodes)[0])

    await tell(world, Proposals(world, at, die))


@pytest.mark.parametrize("at", range(1, PROPOSALS + 1))
async def test_two_leaders_interleaved_at_any_proposal_leave_no_extra_instance(autojump_clock, world, at):
    """The old one decided, the new one leads, the old one's batch arrives: the fence refuses it, and the guards too."""
    for name in ("n1", "n2", "n3"):
        await world.start(name, *OFFERED)
    world.elect("n1")
    seen = []

    def depose(node):
        world.elect("n2" if node == "n1" else "n1")

    proposals = Proposals(world, at, depose)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched, world, seen)
        count = await tell(world, proposals)
        nursery.cancel_scope.cancel()

    assert not any(seen)
    assert count > 10


@pytest.mark.parametrize("every", range(1, 8))
async def test_leadership_that_goes_to_and_fro_at_every_proposal_ends_in_the_same_place(autojump_clock, world, every):
    """Each of the two leads for a few proposals at a time; none of them sees more than rows."""
    for name in ("n1", "n2", "n3"):
        await world.start(name, *OFFERED)
    world.elect("n1")
    turns = itertools.count(1)
    for node in world.nodes.values():
        propose = node.kv.propose

        async def alternating(batch, *, fence=None, propose=propose, kv=node.kv):
            turn = next(turns) if fence is not None else None
            if turn is not None and turn % every == 0 and turn < 60:
                world.elect("n2" if kv.node == "n1" else "n1")
            return await propose(batch, fence=fence)

        node.kv.propose = alternating

    for chapter in STORY:
        want(world, *chapter)
        await world.until(lambda: settled(world), within_s=150)
    assert not extra(world)
    await stays(world)


async def watched(world, seen):
    async with Watch(world.log.watchers, ("",)) as watch:
        while True:
            seen.append(extra(world))
            await watch.changed()


async def test_an_answer_that_was_lost_doubles_no_singleton(autojump_clock, world):
    """The order came through, its leader does not know; what it decides next must not be a second one."""
    for name in ("n1", "n2"):
        await world.start(name, *OFFERED)
    world.elect("n1")
    seen = []
    real, held = world.nodes["n1"].kv.propose, []

    async def late(batch, *, fence=None):
        if fence is not None and not held:
            held.append(batch)

            async def arrive():
                await trio.sleep(0.3)
                await real(batch, fence=fence)

            world._nursery.start_soon(arrive)
            raise OutcomeUnknown
        return await real(batch, fence=fence)

    world.nodes["n1"].kv.propose = late
    want(world, wish(STOCK, 1, singleton=True))
    with trio.move_on_after(10):
        while True:
            seen.append(len(world.instances("shop:stock")))
            await trio.sleep(0.01)

    assert max(seen) == 1
    (one,) = world.instances("shop:stock")
    assert (one.state, one.token) == ("ACTIVE", 1)


async def test_a_singleton_that_loses_contact_in_the_last_moment_of_its_start_stops(autojump_clock, world):
    node = await world.start("n1", *OFFERED)
    real_activate, real_unload, lost = node.host.activate, node.host.unload, []

    async def lose(instance):
        node.manager._contact.forget(instance)
        node.manager._lost_contact(instance)

    async def activate(row, desired):
        await real_activate(row, desired)
        if not lost:
            lost.append(row.instance)
            node.manager._nursery.start_soon(lose, row.instance)

    async def unload(instance):
        node.host.running.pop(instance, None)  # as the real one, which ends what still runs
        await real_unload(instance)

    node.host.activate, node.host.unload = activate, unload
    world.elect("n1")
    want(world, wish(STOCK, 1, singleton=True))
    await world.until(lambda: [r for r in world.instances("shop:stock") if r.state == "ACTIVE" and r.token > 1])

    assert lost[0] not in node.host.running
    assert len(node.host.running) == 1


async def test_a_drained_node_is_emptied_and_gets_nothing_until_it_is_back(autojump_clock, world):
    """And once it is back, and has rested, it gets its share again."""
    for name in ("n1", "n2"):
        await world.start(name, *OFFERED)
    world.elect("n1")
    want(world, wish(PRICING, 4))
    await world.until(lambda: settled(world))
    key = keys.duty(NodeId("n2"))

    world.log.apply(Batch((), (Put(key, DutyRow(node=NodeId("n2"), duty=Duty.DRAINING)),)))
    await world.until(lambda: world.where("shop:pricing") == ["n1"] * 4 and settled(world))
    world.log.apply(Batch((), (Put(key, DutyRow(node=NodeId("n2"), duty=Duty.ON_DUTY)),)))
    await trio.sleep(20)
    assert world.where("shop:pricing") == ["n1"] * 4, "it rests first"
    await world.until(lambda: world.where("shop:pricing") == ["n1", "n1", "n2", "n2"] and settled(world), within_s=60)
