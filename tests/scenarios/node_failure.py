"""Five nodes, of which one, two or the leader die, and come back."""

from tests.scenarios.registry import Network, scenario
from tests.scenarios.world import (
    LEDGER,
    SHOP_OLD,
    World,
    acknowledge_nothing,
    active,
    deploy,
    get,
    healthy,
    leader_of,
    open_ledger,
    quorum,
    ready,
    until,
)


@scenario(nodes=5)
async def single_node_failure_cluster_maintains_quorum(world: World) -> None:
    """Four of five confirm a majority, agree on a leader, take writes at each of them, and run what was lost again."""
    ledger = await open_ledger(world, 5)
    await world.kill("node-3")
    assert len(world.running()) == 4
    await quorum(world)
    await leader_of(world)
    await active(world, LEDGER, 5)
    for node in world.running():
        await ledger.put(node)
    await ledger.everywhere()


@scenario(nodes=5)
async def two_node_failure_cluster_maintains_quorum(world: World) -> None:
    """Three of five confirm a majority, list exactly themselves, and take writes at each of them."""
    ledger = await open_ledger(world)
    await world.kill("node-2")
    await world.kill("node-4")
    await quorum(world)
    for node in ("node-1", "node-3", "node-5"):
        assert sorted((await get(world, node, "/nodes"))["nodes"]) == ["node-1", "node-3", "node-5"]
        members = (await get(world, node, "/members"))["members"]
        assert {each["id"] for each in members if not each["reachable"]} == {"node-2", "node-4"}, members
    await leader_of(world)
    for node in world.running():
        await ledger.put(node)
    await ledger.everywhere()


@scenario(nodes=5)
async def leader_failure_new_leader_elected(world: World) -> None:
    """The leader dies: within 30 s the other four agree on one of themselves, in a higher term, who commits writes."""
    ledger = await open_ledger(world, 2)
    leader = await leader_of(world)
    term = (await get(world, leader, "/status"))["term"]
    await ledger.put(leader)
    await world.kill(leader)
    successor = await leader_of(world, within_s=30.0)
    assert successor != leader
    assert (await get(world, successor, "/status"))["term"] > term
    for node in world.running():
        await ledger.put(node)
    await ledger.everywhere()


@scenario(nodes=5)
async def node_recovery_rejoins_cluster(world: World) -> None:
    """A node that died is missed by exactly the others, listed again after its start, and works: it hosts its share."""
    await world.kill("node-2")
    await quorum(world)
    await world.start("node-2")
    await ready(world, "node-2")
    await quorum(world)
    await healthy(world)
    assert await deploy(world, SHOP_OLD, 5) == list(world.nodes)


@scenario(nodes=5, within_s=240.0)
async def rolling_restart_maintains_quorum(world: World) -> None:
    """Each of five nodes in turn is killed and started again; whoever leads, the other four always go on writing."""
    ledger = await open_ledger(world, 3)
    for node in world.nodes:
        await world.kill(node)
        await quorum(world)
        await ledger.put(world.running()[0])
        await world.start(node)
        await ready(world, node)
        await quorum(world)
        await ledger.put(node)
    await leader_of(world)
    await ledger.everywhere()
    assert len(ledger.acknowledged) == 10


@scenario(nodes=5, network=Network.CUT)
async def minority_partition_quorum_lost_then_recovered(world: World) -> None:
    """Two of five that are cut off lose the quorum, say so, and acknowledge nothing; healed, they have it again."""
    ledger = await open_ledger(world, 3)
    minority, majority = ("node-4", "node-5"), ("node-1", "node-2", "node-3")
    await world.partition(minority, majority)
    for node in minority:

        async def lost(node: str = node) -> bool:
            health = await get(world, node, "/health")
            assert (health["quorum"], health["status"], health["nodeCount"]) == (False, "unhealthy", 2), health
            assert (await world.request(node, "GET", "/health/ready")).status == 503
            return True

        await until(lost, 30, f"{node} says that it has no quorum")
    await acknowledge_nothing(world, *minority)
    await quorum(world, among=majority)
    await leader_of(world, among=majority)
    await ledger.put("node-1")
    await world.heal()
    await ready(world)
    await quorum(world)
    await leader_of(world)
    await healthy(world)
    for node in world.nodes:
        await ledger.put(node)
    await ledger.everywhere()
