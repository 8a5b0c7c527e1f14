"""Slices are deployed, scaled and taken away, and every node says so."""

from tests.scenarios.registry import scenario
from tests.scenarios.world import (
    LEDGER,
    SHOP_OLD,
    World,
    active,
    deploy,
    get,
    listed,
    load,
    post,
    served,
    until,
)

GONE_S = 60.0


async def gone(world: World, artifact: str) -> None:
    """Until no running node lists `artifact`, its routes answer 404 everywhere, and nothing of it is left."""
    for node in world.running():

        async def is_gone(node: str = node) -> bool:
            assert artifact not in await listed(world, node)
            assert (await get(world, node, "/routes"))["routes"] == []
            reply = await world.app_request(node, "GET", "/shop/version")
            assert reply.status == 404, (reply.status, reply.text)
            return True

        await until(is_gone, GONE_S, f"{artifact} is gone at {node}")


async def marks_of(world: World, node: str, count: int) -> set[str]:
    """Who answers `count` requests at `node`; all must succeed."""
    marks: set[str] = set()
    for _ in range(count):
        reply = await world.app_request(node, "GET", "/shop/version")
        assert reply.status == 200, (node, reply.status, reply.text)
        marks.add(reply.json()["mark"])
    return marks


@scenario()
async def deploy_slice_becomes_active(world: World) -> None:
    """One instance, wanted at one node, is ACTIVE in the eyes of all, and answers at every node's HTTP port."""
    (where,) = await deploy(world, SHOP_OLD, 1)
    for node in world.nodes:
        row = (await listed(world, node))[SHOP_OLD]
        assert (row["state"], row["instances"], row["activeInstances"], row["nodes"]) == ("ACTIVE", 1, 1, [where]), row
        reply = await world.app_request(node, "GET", "/shop/price/tea?pieces=3")
        assert (reply.status, reply.json()) == (200, 300), reply.text
    marks = [await marks_of(world, node, 3) for node in world.nodes]
    assert len(set.union(*marks)) == 1, marks


@scenario()
async def deploy_slice_multiple_instances_distributed_across_nodes(world: World) -> None:
    """Three instances stand on three nodes, one each; every node lists all of them and all of them answer."""
    where = await deploy(world, SHOP_OLD, 3)
    assert where == list(world.nodes)
    for node in world.nodes:
        row = (await listed(world, node))[SHOP_OLD]
        assert (row["state"], row["instances"], row["activeInstances"]) == ("ACTIVE", 3, 3), row
        assert row["nodes"] == list(world.nodes), row
    async with load(world) as seen:
        await served(world, seen, 60)
    assert seen.failures == []
    assert len(seen.marks) == 3, seen.marks


@scenario()
async def scale_slice_adjusts_instance_count(world: World) -> None:
    """One instance becomes three and three become one, as every node counts them, without a failed request."""
    await deploy(world, SHOP_OLD, 1)
    async with load(world) as seen:
        for count in (3, 1):
            said = await post(world, world.nodes[-1], "/scale", {"artifact": SHOP_OLD, "instances": count})
            assert (said["status"], said["instances"]) == ("scaled", count), said
            assert len(await active(world, SHOP_OLD, count)) == count
            for node in world.nodes:
                assert (await listed(world, node))[SHOP_OLD]["instances"] == count
            await served(world, seen, 30)
    assert seen.failures == []
    assert len(seen.marks) == 3, seen.marks


@scenario()
async def undeploy_slice_removes_from_cluster(world: World) -> None:
    """Nothing of it is left on any node, its routes are 404 and not 503, doing it again is no failure, and it can
    be deployed once more.
    """
    await deploy(world, SHOP_OLD, 2)
    for _ in range(2):
        said = await post(world, "node-2", "/undeploy", {"artifact": SHOP_OLD})
        assert (said["status"], said["artifact"]) == ("undeployed", SHOP_OLD), said
        await gone(world, SHOP_OLD)
    for node in world.nodes:
        assert (await get(world, node, "/slices/status"))["slices"] == [], node
        assert (await get(world, node, "/health"))["sliceCount"] == 0, node
    await deploy(world, SHOP_OLD, 1)
    assert len(await marks_of(world, "node-3", 3)) == 1


@scenario()
async def deploy_slice_survives_node_failure(world: World) -> None:
    """After a kill the missing instance is started elsewhere, so that three are ACTIVE again on the two nodes that are
    left; users of these nodes see no failure at any time.
    """
    await deploy(world, SHOP_OLD, 3)
    staying = [node for node in world.nodes if node != "node-2"]
    async with load(world, via=staying) as seen:
        await served(world, seen, 30)
        before = set(seen.marks)
        await world.kill("node-2")
        where = await active(world, SHOP_OLD, 3)
        assert set(where) == set(staying), where
        await served(world, seen, 60)
    assert seen.failures == []
    assert len(set(seen.marks) - before) == 1, f"the new instance takes its part: {before}, {seen.marks}"


@scenario()
async def blueprint_apply_deploys_multiple_slices(world: World) -> None:
    """Two slices of one blueprint without an id become ACTIVE with their counts, and work; what one node wrote through
    one of them every node reads.
    """
    text = f"""
        [[slices]]
        artifact = "{SHOP_OLD}"
        instances = 2

        [[slices]]
        artifact = "{LEDGER}"
        instances = 2
    """
    reply = await world.request(
        "node-3", "POST", "/blueprint", content=text, headers={"content-type": "application/toml"}
    )
    assert reply.status == 200, reply.text
    said = reply.json()
    assert (said["status"], said["slices"]) == ("applied", 2), said
    for artifact in (SHOP_OLD, LEDGER):
        assert len(set(await active(world, artifact, 2))) == 2, "on two nodes"
    for number, node in enumerate(world.nodes):
        reply = await world.app_request(node, "PUT", f"/ledger/{node}", json={"value": number})
        assert (reply.status, reply.json()) == (200, number), reply.text
    for node in world.nodes:
        for number, name in enumerate(world.nodes):
            reply = await world.app_request(node, "GET", f"/ledger/{name}")
            assert (reply.status, reply.json()) == (200, number), (node, name, reply.text)
        blueprints = (await get(world, node, "/blueprints"))["blueprints"]
        assert [sorted(each["slices"]) for each in blueprints] == [[LEDGER, SHOP_OLD]], blueprints
