"""Nodes that leave in order, as after SIGTERM."""

from tests.scenarios.registry import scenario
from tests.scenarios.world import (
    SHOP_OLD,
    World,
    active,
    deploy,
    get,
    leader_of,
    listed,
    load,
    post,
    quorum,
    served,
    until,
)


@scenario()
async def node_shutdown_peers_detect_disconnection(world: World) -> None:
    """A node that leaves in order is gone for both others within 5 s, and stays a member that can come back."""
    await quorum(world)
    await world.stop("node-3")
    for node in ("node-1", "node-2"):

        async def gone(node: str = node) -> bool:
            health = await get(world, node, "/health")
            assert (health["connectedPeers"], health["nodeCount"], health["memberCount"]) == (1, 2, 3), health
            return True

        await until(gone, 5, f"{node} has seen node-3 go")
    await quorum(world)
    members = (await get(world, "node-1", "/members"))["members"]
    assert {each["id"]: each["reachable"] for each in members} == {"node-1": True, "node-2": True, "node-3": False}


@scenario()
async def node_shutdown_cluster_remains_functional(world: World) -> None:
    """While a node that hosts a slice leaves in order no request at the others fails; its work goes on elsewhere."""
    where = await deploy(world, SHOP_OLD, 2)
    leader = await leader_of(world)
    leaving = next((node for node in where if node != leader), where[0])
    stay = [node for node in world.nodes if node != leaving]
    async with load(world, via=stay) as seen:
        await served(world, seen, 20)
        await world.stop(leaving)
        await quorum(world)
        assert await active(world, SHOP_OLD, 2) == stay
        await served(world, seen, 20)
    assert seen.failures == []
    assert seen.requests >= 40
    for node in stay:
        assert (await get(world, node, "/health"))["nodeCount"] == 2
        row = (await listed(world, node))[SHOP_OLD]
        assert (row["state"], row["activeInstances"], sorted(row["nodes"])) == ("ACTIVE", 2, stay), row


@scenario()
async def shutdown_during_deployment_handled_gracefully(world: World) -> None:
    """A node leaves while three instances are being started: all three are ACTIVE on the two that stay."""
    said = await post(world, "node-1", "/deploy", {"artifact": SHOP_OLD, "instances": 3})
    assert said["status"] == "deployed"
    await world.stop("node-3")
    await quorum(world)
    where = await active(world, SHOP_OLD, 3)
    assert set(where) == {"node-1", "node-2"}
    for node in world.running():
        health = await get(world, node, "/health")
        assert (health["status"], health["ready"], health["nodeCount"]) == ("degraded", True, 2), health
        assert health["problems"] == ["node node-3 is not reachable from here"], health
        reply = await world.app_request(node, "GET", "/shop/version")
        assert (reply.status, reply.json()["version"]) == (200, "1.0.0")


@scenario()
async def leader_shutdown_new_leader_elected(world: World) -> None:
    """A leader that leaves in order hands over: another one leads in a higher term, and no request fails meanwhile."""
    await deploy(world, SHOP_OLD, 3)
    leader = await leader_of(world)
    term = (await get(world, leader, "/status"))["term"]
    stay = [node for node in world.nodes if node != leader]
    async with load(world, via=stay) as seen:
        await served(world, seen, 10)
        await world.stop(leader)
        successor = await leader_of(world)
        await served(world, seen, 10)
    assert seen.failures == []
    assert successor in stay
    assert (await get(world, successor, "/status"))["term"] > term
    await quorum(world)
    await active(world, SHOP_OLD, 3)
