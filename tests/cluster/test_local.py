"""Nodes in one process: killed at bad moments, started twice, cut off."""

import pytest
import trio

import aether


@aether.slice(artifact="tests.local:counter:1.0.0")
class Counter:
    counts: aether.Map[str, int] = aether.map("counts")

    @aether.method(idempotent=True)
    async def put(self, name: str, value: int) -> None:
        await self.counts.put(name, value)


async def test_a_local_cluster_runs_over_real_sockets():
    async with aether.Cluster.local(Counter, nodes=3) as cluster:
        await cluster.get(Counter).put("a", 1)

        assert [node.node for node in cluster.nodes] == ["node-1", "node-2", "node-3"]
        assert all(node.addresses.cluster_address for node in cluster.nodes)


async def test_a_node_killed_while_it_starts_does_not_hang_its_starter(aether_cluster):
    """Without a quorum it would never have been ready; the one who waits must be told."""
    cluster = await aether_cluster(Counter, nodes=3)
    for name in ("node-1", "node-2", "node-3"):
        await cluster.kill(name)

    async def kill_soon():
        await trio.sleep(5)
        await cluster.kill("node-1")

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill_soon)
            with pytest.raises(aether.TryAgain, match="killed while it started"):
                await cluster.restart("node-1")
    assert cluster.nodes == ()


async def test_one_node_is_not_started_twice(aether_cluster):
    """Two nodes on one disk would be two voters with one vote."""
    cluster = await aether_cluster(Counter, nodes=3)
    await cluster.kill("node-1")

    outcomes = []

    async def restart():
        try:
            outcomes.append(await cluster.restart("node-1"))
        except aether.BadInput as error:
            outcomes.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(restart)
        nursery.start_soon(restart)

    assert sorted(isinstance(each, str) for each in outcomes) == [False, True]
    assert "node-1 runs already" in outcomes[0] if isinstance(outcomes[0], str) else outcomes[1]


async def test_a_leader_cut_off_is_not_taken_for_the_leader(aether_cluster):
    """For a while two nodes believe that they lead; the one with the newer term does."""
    cluster = await aether_cluster(Counter, nodes=3)
    old = await cluster.wait_leader()
    others = [node for node in cluster.nodes if node is not old]

    cluster.partition([old.node], [node.node for node in others])
    with trio.fail_after(60):
        await others[0].get(Counter).put("b", 1)

    assert cluster.leader in others


async def test_a_proxy_of_a_killed_node_says_so_instead_of_hanging(aether_cluster):
    cluster = await aether_cluster(Counter, nodes=3)
    proxy = cluster.node("node-1").get(Counter)
    await cluster.kill("node-1")

    with trio.fail_after(60), pytest.raises(aether.AetherError):
        await proxy.put("a", 1)


async def test_a_dead_cluster_gives_no_proxies(aether_cluster):
    cluster = await aether_cluster(Counter, nodes=1)
    await cluster.kill("node-1")

    with pytest.raises(aether.TryAgain, match="restart one"):
        cluster.get(Counter)
    with pytest.raises(aether.BadInput, match="does not run"):
        await cluster.kill("node-1")
    with pytest.raises(aether.NotFound, match="node-1"):
        await cluster.kill("node-9")


@pytest.mark.parametrize("nodes", [0, 10])
async def test_only_so_many_nodes_fit_one_process(nodes):
    with pytest.raises(aether.BadInput, match="nodes="):
        async with aether.Cluster.local(nodes=nodes):
            pass


async def test_an_error_of_the_body_leaves_a_local_cluster_as_itself():
    with pytest.raises(ValueError, match="mine"):
        async with aether.Cluster.local(Counter, nodes=2):
            raise ValueError("mine")
