"""Nodes go and come back with what they had."""

from tests.scenarios.registry import scenario
from tests.scenarios.world import (
    LEDGER,
    SHOP_OLD,
    World,
    active,
    deploy,
    get,
    healthy,
    leader_of,
    listed,
    load,
    open_ledger,
    quorum,
    ready,
    served,
)


async def back(world: World, node: str) -> None:
    """Kill it, see the others go on, and have it back among them."""
    await world.kill(node)
    assert world.running() == [each for each in world.nodes if each != node]
    await quorum(world)
    await world.start(node)
    assert world.running() == list(world.nodes)
    await ready(world, node)
    await quorum(world)


@scenario()
async def node_restart_rejoins_cluster(world: World) -> None:
    """A killed node that starts again is the same voter of the same cluster, and has all that is committed."""
    before = await get(world, "node-2", "/status")
    await back(world, "node-2")
    await healthy(world)
    leader = await leader_of(world)
    revision = (await get(world, leader, "/status?consistent=true"))["revision"]
    after = await get(world, "node-2", f"/status?min_revision={revision}")
    assert after["revision"] >= revision >= before["revision"]
    assert after["clusterId"] == before["clusterId"]
    assert sorted(after["voters"]) == list(world.nodes)
    members = (await get(world, "node-1", "/members"))["members"]
    assert {each["id"]: (each["kind"], each["state"]) for each in members} == dict.fromkeys(
        world.nodes, ("VOTER", "ON_DUTY")
    ), members


@scenario()
async def node_restart_recovers_state(world: World) -> None:
    """A killed node has, after its restart, what it had and what was written meanwhile: slices, counts, rows."""
    await deploy(world, SHOP_OLD, 1)
    ledger = await open_ledger(world)
    await ledger.put("node-3")
    await world.kill("node-3")
    assert world.running() == ["node-1", "node-2"]
    await quorum(world)
    await ledger.put("node-1")
    await world.start("node-3")
    await ready(world, "node-3")
    await quorum(world)
    for artifact in (SHOP_OLD, LEDGER):
        await active(world, artifact, 1)
        rows = [(await listed(world, node))[artifact] for node in world.nodes]
        assert rows[0] == rows[1] == rows[2], rows
        assert (rows[0]["state"], rows[0]["instances"], rows[0]["activeInstances"]) == ("ACTIVE", 1, 1), rows
    await ledger.everywhere()
    await ledger.put("node-3")
    await ledger.everywhere()


@scenario()
async def rolling_restart_maintains_availability(world: World) -> None:
    """Every node in turn is stopped in order and started again, and no request at the other two fails."""
    await deploy(world, SHOP_OLD, 2)
    for node in world.nodes:
        async with load(world, via=[each for each in world.nodes if each != node]) as seen:
            await served(world, seen, 10)
            await world.stop(node)
            await quorum(world)
            await active(world, SHOP_OLD, 2)
            await world.start(node)
            await ready(world, node)
            await served(world, seen, 10)
        assert seen.failures == []
        assert seen.requests >= 20
        await quorum(world)
    await leader_of(world)
    await healthy(world)
    await active(world, SHOP_OLD, 2)


@scenario()
async def multiple_node_restarts_cluster_remains_functional(world: World) -> None:
    """Two nodes are killed and started again, one after the other: every write before, between and after is kept."""
    ledger = await open_ledger(world, 2)
    await ledger.put("node-1")
    for node in ("node-2", "node-3"):
        await back(world, node)
        for via in world.nodes:
            await ledger.put(via)
    await healthy(world)
    await leader_of(world)
    await ledger.everywhere()
    assert len(ledger.acknowledged) == 7
