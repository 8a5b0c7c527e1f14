"""A cluster forms out of nodes that start at the same time."""

from tests.scenarios.registry import scenario
from tests.scenarios.world import World, get, leader_of, quorum, ready, until


async def started(world: World) -> None:
    for node in world.nodes:
        await world.start(node)
    await ready(world)


@scenario(started=False)
async def three_node_cluster_forms_quorum_and_elects_leader(world: World) -> None:
    """Three nodes that start together reach a confirmed majority, are healthy, and agree on one leader in one term."""
    await started(world)
    await quorum(world)
    assert len(world.running()) == 3
    leader = await leader_of(world)
    for node in world.nodes:
        health = await get(world, node, "/health")
        assert (health["status"], health["ready"], health["nodeId"]) == ("healthy", True, node), health
        assert "error" not in health
        status = await get(world, node, "/status")
        assert (status["isLeader"], status["role"]) == (node == leader, "leader" if node == leader else "follower")


@scenario(started=False)
async def cluster_nodes_visible_to_all_members(world: World) -> None:
    """Every node reaches both others, lists all three by name as voters, and counts the same members."""
    await started(world)
    await quorum(world)
    for node in world.nodes:
        health = await get(world, node, "/health")
        assert (health["connectedPeers"], health["nodeCount"], health["memberCount"]) == (2, 3, 3), health
        members = (await get(world, node, "/members"))["members"]
        assert {each["id"]: (each["reachable"], each["kind"]) for each in members} == dict.fromkeys(
            world.nodes, (True, "VOTER")
        ), members


@scenario(started=False)
async def cluster_status_consistent_across_nodes(world: World) -> None:
    """Every node names the same leader of the same term, the same cluster and the same voters."""
    await started(world)
    await quorum(world)
    leader = await leader_of(world)
    seen = [await get(world, node, "/status?consistent=true") for node in world.nodes]
    assert {each["leader"] for each in seen} == {leader}, seen
    assert len({each["term"] for each in seen}) == 1, seen
    assert len({each["clusterId"] for each in seen}) == 1, seen
    assert seen[0]["clusterId"]
    assert {tuple(sorted(each["voters"])) for each in seen} == {world.nodes}, seen


@scenario(started=False)
async def cluster_metrics_available_after_formation(world: World) -> None:
    """Soon after the start every node tells figures of all three nodes, fresh ones, with the share of a processor."""
    await started(world)
    await quorum(world)
    for node in world.nodes:

        async def figures(node: str = node) -> bool:
            metrics = await get(world, node, "/metrics")
            assert set(metrics["load"]) == set(world.nodes), metrics["load"].keys()
            assert all(0 <= load["cpu.usage"] <= 1 for load in metrics["load"].values()), metrics["load"]
            assert all(age < 5 for age in metrics["ageSeconds"].values()), metrics["ageSeconds"]
            return True

        await until(figures, 15, f"{node} tells figures of all nodes")
