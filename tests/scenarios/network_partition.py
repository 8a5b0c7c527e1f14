"""Three nodes whose ways to each other are cut, and whole again."""

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
    listed,
    load,
    open_ledger,
    quorum,
    ready,
    served,
    until,
)


async def alone(world: World, node: str) -> None:
    """Until `node` says that it reaches nobody, has no quorum and takes no requests; it still answers."""

    async def is_alone() -> bool:
        health = await get(world, node, "/health")
        assert (health["connectedPeers"], health["nodeCount"]) == (0, 1), health
        assert (health["quorum"], health["ready"], health["status"]) == (False, False, "unhealthy"), health
        assert (await world.request(node, "GET", "/health/ready")).status == 503
        assert (await world.request(node, "GET", "/health/live")).status == 200
        return True

    await until(is_alone, SOON_S, f"{node} is alone")


@scenario(network=Network.CUT)
async def majority_partition_continues_operating(world: World) -> None:
    """Two of three that are cut from the third lead, write, and run all instances; no request at them fails."""
    ledger = await open_ledger(world, 3)
    await deploy(world, SHOP_OLD, 3)
    pair = ["node-1", "node-2"]
    await world.partition(pair, ["node-3"])
    await alone(world, "node-3")
    await quorum(world, among=pair)
    await leader_of(world, among=pair)

    async def replaced() -> bool:
        row = (await listed(world, "node-1"))[SHOP_OLD]
        assert (row["activeInstances"], set(row["nodes"])) == (3, set(pair)), row
        return True

    await until(replaced, 60, "three instances are ACTIVE on the two nodes")
    async with load(world, via=pair) as seen:
        await served(world, seen, 40)
    assert seen.failures == []
    for node in pair:
        assert (await get(world, node, "/health"))["nodeCount"] == 2
        await ledger.put(node)
    await ledger.everywhere(at=pair)


@scenario(network=Network.CUT)
async def lost_quorum_detected_and_reported(world: World) -> None:
    """Nodes that are all cut from each other say so, confirm nothing, acknowledge nothing, and tell what they have."""
    ledger = await open_ledger(world, 3)
    await ledger.put("node-1")
    await ledger.everywhere()
    await world.partition(["node-1"], ["node-2"], ["node-3"])
    for node in world.nodes:
        await alone(world, node)
        status = await get(world, node, "/status")
        assert (status["isLeader"], status["quorum"]) == (False, False), status
    await acknowledge_nothing(world, *world.nodes)
    await ledger.everywhere()


@scenario(network=Network.CUT)
async def partition_healing_cluster_reconverges(world: World) -> None:
    """Nodes that were all cut from each other follow one leader again, reach everybody, and hold the same rows."""
    ledger = await open_ledger(world, 2)
    await ledger.put("node-1")
    await world.partition(["node-1"], ["node-2"], ["node-3"])
    for node in world.nodes:
        await alone(world, node)
    await world.heal()
    await ready(world)
    await quorum(world)
    await leader_of(world)
    await healthy(world)
    for node in world.nodes:
        await ledger.put(node)
    await ledger.everywhere()


@scenario(network=Network.CUT)
async def quorum_transitions_maintain_consistency(world: World) -> None:
    """One instance is wanted and one there is, before, during and after its node is cut off, in the eyes of each side.

    The side without a quorum cannot know; healed, it agrees.
    """
    where = await deploy(world, SHOP_OLD, 1)
    rest = [node for node in world.nodes if node not in where]
    await world.partition(where, rest)
    await quorum(world, among=rest)

    async def replaced() -> bool:
        for node in rest:
            row = (await listed(world, node))[SHOP_OLD]
            assert (row["state"], row["instances"], row["activeInstances"]) == ("ACTIVE", 1, 1), row
            assert set(row["nodes"]) < set(rest), row
        return True

    await until(replaced, 60, "its replacement is ACTIVE on the other side")
    await alone(world, where[0])
    await world.heal()
    await ready(world)
    await quorum(world)
    assert set(await active(world, SHOP_OLD, 1)) < set(world.nodes)
    rows = [(await listed(world, node))[SHOP_OLD] for node in world.nodes]
    assert rows[0] == rows[1] == rows[2], rows
