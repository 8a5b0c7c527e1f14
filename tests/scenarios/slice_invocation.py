"""Requests at any node: to routes that are, are not, or are no more."""

from tests.scenarios.registry import scenario
from tests.scenarios.slice_deployment import gone, marks_of
from tests.scenarios.world import SHOP, SHOP_OLD, Reply, World, deploy, get, load, post, served, until

ROUTES = {
    ("GET", "/shop/version", "version", True),
    ("GET", "/shop/price/{sku}", "price", True),
    ("POST", "/shop/orders", "order", False),
    ("GET", "/shop/slow", "slow", True),
    ("GET", "/shop/broken", "broken", True),
}
JSON = {"content-type": "application/json"}


def is_problem(reply: Reply, status: int) -> dict[str, object]:
    """The problem document of an answer that must be one: whole, and with the field that old clients read."""
    assert reply.status == status, (reply.status, reply.text)
    assert reply.headers["content-type"] == "application/problem+json", reply.headers
    told = reply.json()
    assert told["status"] == status, told
    assert told["error"] == told["detail"] != "", told
    assert told["requestId"] == reply.headers["x-request-id"], (told, reply.headers)
    return told


async def routes_at(world: World, node: str) -> set[tuple[str, str, str, bool]]:
    rows = (await get(world, node, "/routes"))["routes"]
    assert {row["artifact"] for row in rows} <= {SHOP}, rows
    return {(row["method"], row["path"], row["sliceMethod"], row["idempotent"]) for row in rows}


@scenario()
async def invoke_non_existent_route_returns404(world: World) -> None:
    """404 with a problem document that names the path, at both ports of every node, slices or not."""
    for deployed in (False, True):
        for node in world.nodes:
            for ask in (world.request, world.app_request):
                told = is_problem(await ask(node, "GET", "/api/nonexistent"), 404)
                assert "nonexistent" in str(told["detail"]), told
        if not deployed:
            await deploy(world, SHOP_OLD, 1)


@scenario()
async def invoke_with_invalid_method_returns_error(world: World) -> None:
    """405 that lists what is allowed, at every node, and nothing was called: the right verb still answers."""
    await deploy(world, SHOP_OLD, 1)
    for node in world.nodes:
        for verb, path, allowed in (("PATCH", "/shop/version", "GET"), ("GET", "/shop/orders", "POST")):
            reply = await world.app_request(node, verb, path)
            is_problem(reply, 405)
            assert allowed in reply.headers["allow"].split(", "), reply.headers
            assert verb not in reply.headers["allow"].split(", "), reply.headers
        reply = await world.request(node, "PATCH", "/status")
        is_problem(reply, 405)
        assert "GET" in reply.headers["allow"], reply.headers
        assert len(await marks_of(world, node, 1)) == 1


@scenario()
async def routes_endpoint_returns_registered_routes(world: World) -> None:
    """No routes before, exactly those of the slice afterwards, the same ones on every node and at both spellings."""
    for node in world.nodes:
        assert await routes_at(world, node) == set()
    await deploy(world, SHOP_OLD, 1)
    for node in world.nodes:
        assert await routes_at(world, node) == ROUTES
        assert (await get(world, node, "/api/routes"))["routes"] == (await get(world, node, "/routes"))["routes"]


@scenario()
async def after_slice_deployment_routes_are_available(world: World) -> None:
    """Every route that is listed answers at every node, with what its method returned, and says who served it."""
    await deploy(world, SHOP_OLD, 2)
    asked = [
        ("GET", "/shop/version", None, None),
        ("GET", "/shop/price/tea?pieces=4", None, 400),
        ("POST", "/shop/orders", {"sku": "tea", "pieces": 2}, {"sku": "tea", "total": "200", "version": "1.0.0"}),
        ("GET", "/shop/slow?seconds=0.01", None, None),
    ]
    for node in world.nodes:
        for verb, path, body, expected in asked:
            reply = await world.app_request(node, verb, path, json=body)
            assert reply.status == 200, (node, verb, path, reply.text)
            assert reply.headers["x-aether-version"] == "1.0.0", reply.headers
            assert expected is None or reply.json() == expected, (node, path, reply.text)
        failed = is_problem(await world.app_request(node, "GET", "/shop/broken"), 500)
        assert (failed["kind"], failed["method"]) == ("RuntimeError", "broken"), failed
        assert "price list" not in str(failed), "what a slice says to itself is for logs"


@scenario()
async def invoke_with_malformed_body_returns_error(world: World) -> None:
    """What is no JSON is refused with 400 and where it stops being some, at both ports; the connection and the node
    go on.
    """
    await deploy(world, SHOP_OLD, 1)
    for node in world.nodes:
        for ask, path in ((world.app_request, "/shop/orders"), (world.request, "/deploy")):
            for text in ("no json", '{"sku": "tea", ', "\x00"):
                told = is_problem(await ask(node, "POST", path, content=text, headers=JSON), 400)
                assert told["problems"], told
        wrong = {"sku": "tea", "pieces": "two"}
        told = is_problem(await world.app_request(node, "POST", "/shop/orders", json=wrong), 422)
        assert told["errors"] == [{"pointer": "#/pieces", "detail": "expected int, got 'two' (str)"}], told
        right = await world.app_request(node, "POST", "/shop/orders", json={"sku": "tea", "pieces": 2})
        assert right.status == 200, right.text
        assert (await get(world, node, "/health"))["status"] == "healthy"


@scenario()
async def invoke_with_empty_body_handled_gracefully(world: World) -> None:
    """An empty body is refused with everything that is missing, at once; where nothing is needed it is no mistake."""
    await deploy(world, SHOP_OLD, 1)
    for node in world.nodes:
        for what in ({"content": ""}, {"json": {}}):
            told = is_problem(await world.app_request(node, "POST", "/shop/orders", headers=JSON, **what), 422)
            assert {error["pointer"] for error in told["errors"]} == {"#/sku", "#/pieces"}, told
        told = is_problem(await world.request(node, "POST", "/deploy", content="", headers=JSON), 400)
        assert any("artifact" in problem for problem in told["problems"]), told
        reply = await world.request(node, "POST", "/alerts/clear", content="", headers=JSON)
        assert reply.status == 200, reply.text


@scenario()
async def invoke_after_slice_undeploy_returns_not_found(world: World) -> None:
    """Under load, answers are 200 until the slice is gone and 404 afterwards, at every node; none in between is 5xx."""
    await deploy(world, SHOP_OLD, 2)
    async with load(world) as seen:
        await served(world, seen, 30)
        assert seen.failures == []
        await post(world, "node-1", "/undeploy", {"artifact": SHOP_OLD})
        await gone(world, SHOP_OLD)
        seen.forget()
        await served(world, seen, 30)
    assert {status for status, _ in seen.answers} == {404}, seen.answers
    for node in world.nodes:
        is_problem(await world.app_request(node, "GET", "/shop/version"), 404)


@scenario()
async def multiple_nodes_all_can_handle_requests(world: World) -> None:
    """With an instance on each node, users of every node are served, each instance does a share of the work, and no
    request fails.
    """
    assert await deploy(world, SHOP_OLD, 3) == list(world.nodes)
    for node in world.nodes:
        async with load(world, via=[node]) as seen:
            await served(world, seen, 60)
        assert seen.failures == [], node
        assert set(seen.versions) == {"1.0.0"}, seen.answers
    async with load(world, every_s=0.02) as seen:
        await served(world, seen, 300)
    assert seen.failures == []
    assert len(seen.marks) == 3, seen.marks
    # Calls stay at the node that they enter, which makes a hundred for each. Were the choice blind, one of them would
    # get fewer than 45 with a probability below 1e-12.
    assert min(seen.marks.values()) >= 45, seen.marks


@scenario()
async def request_to_any_node_succeeds(world: World) -> None:
    """One instance is reached through every node, also by those that do not host it, and each node tells its own
    name.
    """
    (where,) = await deploy(world, SHOP_OLD, 1)
    marks = {node: await marks_of(world, node, 10) for node in world.nodes}
    assert len(set.union(*marks.values())) == 1, marks
    for node in world.nodes:
        assert (await get(world, node, "/status"))["nodeId"] == node
        health = await get(world, node, "/health")
        assert (health["sliceCount"], health["localSliceCount"]) == (1, int(node == where)), health

    async def counted() -> bool:
        snapshots = (await get(world, where, "/invocation-metrics?method=version"))["snapshots"]
        assert [(each["count"], each["failureCount"]) for each in snapshots] == [(30, 0)], snapshots
        return True

    await until(counted, 30, "calls made through other nodes are counted too")
