"""Five nodes under kills that come again and again."""

import random

import trio
from tests.scenarios.registry import Network, scenario
from tests.scenarios.world import (
    SHOP_OLD,
    SOON_S,
    World,
    acknowledge_nothing,
    active,
    deploy,
    get,
    healthy,
    leader_of,
    load,
    open_ledger,
    quorum,
    ready,
    served,
    until,
)

WRITE_EVERY_S = 0.1
SEED = 42


async def start_missing(world: World) -> None:
    for node in world.nodes:
        if node not in world.running():
            await world.start(node)
    await ready(world)
    await quorum(world)
    await healthy(world)


async def no_quorum(world: World, *nodes: str) -> None:
    """Until each of `nodes` says that no majority is confirmed, and takes no requests."""
    for node in nodes:

        async def lost(node: str = node) -> bool:
            health = await get(world, node, "/health")
            assert (health["quorum"], health["status"]) == (False, "unhealthy"), health
            assert (await world.request(node, "GET", "/health/ready")).status == 503
            return True

        await until(lost, SOON_S, f"{node} says that it has no quorum")


@scenario(nodes=5, within_s=240.0)
async def random_node_kills_cluster_recovers(world: World) -> None:
    """Nodes die at random while more than three run: those that are left write on, and nothing acknowledged is lost."""
    ledger, rng, kills = await open_ledger(world, 3), random.Random(SEED), 0
    for _ in range(5):
        if len(world.running()) > 3:
            await world.kill(rng.choice(world.running()))
            kills += 1
        await quorum(world)
        await ledger.put(rng.choice(world.running()))
    assert kills == 2
    await start_missing(world)
    assert len(world.running()) == 5
    await leader_of(world)
    await ledger.everywhere()
    assert len(ledger.acknowledged) == 5


@scenario(nodes=5, within_s=240.0)
async def rapid_kill_restart_cluster_remains_functional(world: World) -> None:
    """One node is killed and started ten times, before it is ready again: every time the others write."""
    ledger = await open_ledger(world, 2)
    others = [node for node in world.nodes if node != "node-3"]
    for number in range(10):
        await world.kill("node-3")
        await ledger.put(others[number % len(others)])
        await world.start("node-3")
    await start_missing(world)
    await leader_of(world)
    await ledger.everywhere()
    assert len(ledger.acknowledged) == 10


@scenario(nodes=5, within_s=300.0)
async def concurrent_chaos_cluster_maintains_consistency(world: World) -> None:
    """Six kills and restarts of three nodes under load: no read at the other two fails, no acknowledged write is lost.

    The leader dies whenever it is one of the three.
    """
    await deploy(world, SHOP_OLD, 3)
    ledger, rng, ended = await open_ledger(world, 3), random.Random(SEED), trio.Event()
    safe = ("node-1", "node-2")

    async def write() -> None:
        while not ended.is_set():
            await ledger.put(safe[len(ledger.acknowledged) % 2])
            with trio.move_on_after(WRITE_EVERY_S):  # in memory an answer takes no time
                await ended.wait()

    async with load(world, every_s=0.1, via=safe) as seen, trio.open_nursery() as nursery:
        nursery.start_soon(write)
        for _ in range(6):
            leader = await leader_of(world)
            victim = leader if leader not in safe else rng.choice(["node-3", "node-4", "node-5"])
            await world.kill(victim)
            await quorum(world)
            await served(world, seen, 10)
            await world.start(victim)
            await ready(world, victim)
        ended.set()
    assert seen.failures == []
    assert seen.requests >= 60
    await quorum(world)
    await active(world, SHOP_OLD, 3)
    await ledger.everywhere()
    assert len(ledger.acknowledged) >= 6


@scenario(nodes=5, within_s=240.0)
async def leader_kill_spree_cluster_survives(world: World) -> None:
    """Two leaders in a row die, and each time another leads in a higher term; after the third nobody does.

    Two of five are no majority: they must not lead, and say so. With one more they do, and have all that was written.
    """
    ledger, term = await open_ledger(world, 3), 0
    for _ in range(2):
        leader = await leader_of(world)
        await ledger.put(leader)
        await world.kill(leader)
        successor = await leader_of(world, within_s=15.0)
        later = (await get(world, successor, "/status"))["term"]
        assert (successor != leader, later > term) == (True, True)
        term = later
        await ledger.put(successor)
    await world.kill(await leader_of(world))
    left = world.running()
    assert len(left) == 2
    await no_quorum(world, *left)
    assert not any([(await get(world, node, "/status"))["isLeader"] for node in left])
    first = next(node for node in world.nodes if node not in left)
    await world.start(first)
    await ready(world)
    await leader_of(world)
    await ledger.put(first)
    await start_missing(world)
    await leader_of(world)
    await ledger.everywhere()


@scenario(nodes=5, network=Network.CUT, within_s=240.0)
async def split_brain_recovery_cluster_reconverges(world: World) -> None:
    """Of two halves at most one leads and writes; joined again, all five follow one leader and hold the same rows.

    The leader is on the smaller side, and does not go on leading there.
    """
    ledger = await open_ledger(world, 5)
    leader = await leader_of(world)
    minority = [leader, next(node for node in world.nodes if node != leader)]
    majority = [node for node in world.nodes if node not in minority]
    await world.partition(minority, majority)
    await quorum(world, among=majority)
    successor = await leader_of(world, among=majority)
    await no_quorum(world, *minority)
    await acknowledge_nothing(world, *minority)
    for node in majority:
        await ledger.put(node)
    await world.kill(successor)
    await no_quorum(world, *[node for node in majority if node != successor])
    await world.heal()
    await ready(world)
    await quorum(world)
    await world.start(successor)
    await start_missing(world)
    await leader_of(world)
    for node in world.nodes:
        await ledger.put(node)
    await ledger.everywhere()
