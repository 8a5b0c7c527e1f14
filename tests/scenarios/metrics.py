"""What nodes measure, and how all of them come to know it."""

from __future__ import annotations

import itertools
from typing import Any

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from tests.scenarios.registry import scenario
from tests.scenarios.world import SHOP, SHOP_OLD, World, deploy, get, leader_of, until

FRESH_S = 5.0
POINTS = 10
NEW_LEADER_S = 30.0
OPENMETRICS = "application/openmetrics-text"


async def fresh(world: World, node: str) -> dict[str, dict[str, float]]:
    """The figures of all running nodes as `node` has them, none older than FRESH_S; AssertionError when they are."""
    told = await get(world, node, "/metrics")
    assert sorted(told["load"]) == world.running(), (node, sorted(told["load"]))
    assert all(0 <= age < FRESH_S for age in told["ageSeconds"].values()), (node, told["ageSeconds"])
    return told["load"]


async def all_fresh(world: World, within_s: float = 15.0) -> None:
    for node in world.running():

        async def is_fresh(node: str = node) -> bool:
            return bool(await fresh(world, node))

        await until(is_fresh, within_s, f"{node} has fresh figures of {world.running()}")


async def points(world: World, at: str, of: str, metrics: str) -> dict[int, dict[str, float]]:
    """timestamp in ms -> figures, of the last five minutes of node `of` as node `at` has them."""
    told = await get(world, at, f"/metrics/history?range=5m&node={of}&metrics={metrics}")
    assert told["stepSeconds"] == 1, told["stepSeconds"]
    return {each["timestamp"]: each["metrics"] for each in told["nodes"].get(of, [])}


async def scraped(world: World, node: str, accept: str = "text/plain") -> dict[str, Any]:
    """name -> family, of what Prometheus would read at `node`."""
    reply = await world.request(node, "GET", "/metrics/prometheus", headers={"accept": accept})
    assert reply.status == 200, reply.text
    is_open = accept == OPENMETRICS
    assert reply.headers["content-type"].startswith(OPENMETRICS if is_open else "text/plain; version=0.0.4")
    read = openmetrics.text_string_to_metric_families if is_open else text_string_to_metric_families
    families = list(read(reply.text))
    assert len({family.name for family in families}) == len(families), "each family once"
    return {family.name: family for family in families}


def calls(families: dict[str, Any], method: str, outcome: str) -> float:
    """Calls to `method` of the shop that this node made and that ended so; 0 when none did."""
    wanted = {"artifact": SHOP, "method": method, "outcome": outcome}
    samples = families["aether_calls"].samples if "aether_calls" in families else []
    return sum(s.value for s in samples if wanted.items() <= s.labels.items() and s.name == "aether_calls_total")


@scenario()
async def metrics_endpoint_returns_node_metrics(world: World) -> None:
    """Every node tells plausible figures of every node, and what they say of Raft agrees with the status of each."""
    await all_fresh(world)
    leader = await leader_of(world)
    term = (await get(world, leader, "/status"))["term"]

    async def agrees() -> bool:
        for node in world.nodes:
            for of, load in (await fresh(world, node)).items():
                assert 0 <= load["cpu.usage"] <= 1, (of, load)
                assert load["heap.used"] > 1_000_000, (of, load)
                assert load["process.threads"] >= 1, (of, load)
                assert load["tasks"] > 10, (of, load)
                assert load["loop.lag_s"] >= 0, (of, load)
                assert (load["raft.role"] == 2, load["raft.term"]) == (of == leader, term), (of, leader, load)
                assert (load["raft.quorum"], load["transport.peers"]) == (1, 2), (of, load)
        return True

    await until(agrees, 15, "the figures agree with who leads")


@scenario()
async def metrics_collected_every_second(world: World) -> None:
    """Each node's figures come exactly one second apart: ten in a row, no second missing or doubled; ten seconds later
    ten more have come.
    """
    seen: dict[str, list[int]] = {}

    async def ten_in_a_row(node: str) -> bool:
        stamps = sorted(await points(world, "node-1", node, "heap.used"))[-POINTS:]
        steps = [later - earlier for earlier, later in itertools.pairwise(stamps)]
        assert steps == [1000] * (POINTS - 1), (node, steps)
        fresh_from = seen.get(node, [0])[-1]
        assert stamps[0] > fresh_from, (stamps, fresh_from)
        seen[node] = stamps
        return True

    for _ in range(2):
        for node in world.nodes:
            await until(lambda node=node: ten_in_a_row(node), 40, f"ten seconds in a row of {node}")


@scenario()
async def cpu_metrics_reported_per_node(world: World) -> None:
    """Every node knows the processor of every node, and all of them know the same value for the same second."""
    await all_fresh(world)

    async def same() -> bool:
        for of in world.nodes:
            views = [await points(world, at, of, "cpu.usage") for at in world.nodes]
            common = sorted(set.intersection(*(set(view) for view in views)))
            known = [stamp for stamp in common if all("cpu.usage" in view[stamp] for view in views)]
            assert len(known) >= POINTS, (of, len(known))
            for stamp in known:
                values = {view[stamp]["cpu.usage"] for view in views}
                assert len(values) == 1, (of, stamp, values)
                assert 0 <= values.pop() <= 1
        return True

    await until(same, 40, "ten seconds of which all nodes say the same")
    for at in world.nodes:
        rows = (await world.request(at, "GET", "/node-metrics")).json()
        assert {row["nodeId"] for row in rows} == set(world.nodes), rows
        assert all(0 <= row["cpuUsage"] <= 1 and row["heapUsedMb"] > 1 for row in rows), rows
        assert [row["nodeId"] for row in rows if row["isLeader"]] == [await leader_of(world)], rows


@scenario()
async def prometheus_endpoint_returns_valid_format(world: World) -> None:
    """Two independent parsers read it, as text and as OpenMetrics: every family has a type and help, histograms are
    cumulative, and both say the same of the calls that were made.
    """
    await deploy(world, SHOP_OLD, 1)
    for _ in range(7):
        assert (await world.app_request("node-1", "GET", "/shop/version")).ok
    text, opened = await scraped(world, "node-1"), await scraped(world, "node-1", OPENMETRICS)
    for families in (text, opened):
        for name, family in families.items():
            assert family.documentation, name
            assert family.type != "unknown", name
            assert all(sample.name.startswith("aether_") or not name.startswith("aether_") for sample in family.samples)
        assert calls(families, "version", "success") == 7
        took = [s for s in families["aether_call_duration_seconds"].samples if s.labels.get("method") == "version"]
        buckets = [(float(s.labels["le"]), s.value) for s in took if s.name.endswith("_bucket")]
        assert [count for _, count in sorted(buckets)] == sorted(count for _, count in buckets), buckets
        assert max(buckets) == (float("inf"), 7), buckets


@scenario()
async def prometheus_metrics_available_on_all_nodes(world: World) -> None:
    """Each node is scraped by itself and names itself; its counters never fall, and together they count every request
    once.
    """
    await deploy(world, SHOP_OLD, 2)
    before = {node: await scraped(world, node) for node in world.nodes}
    for number, node in enumerate(world.nodes, start=1):
        for _ in range(5 * number):
            assert (await world.app_request(node, "GET", "/shop/version")).ok
        assert (await world.app_request(node, "GET", "/shop/broken")).status == 500
    for number, node in enumerate(world.nodes, start=1):
        after = await scraped(world, node)
        (info,) = after["aether_node_info"].samples
        assert (info.labels["node"], info.value) == (node, 1.0), info
        assert calls(after, "version", "success") - calls(before[node], "version", "success") == 5 * number
        assert calls(after, "broken", "failure") - calls(before[node], "broken", "failure") == 1
        fallen = [
            (name, key)
            for name, family in after.items()
            if family.type == "counter"
            for key, value in counted(family).items()
            if name in before[node] and value < counted(before[node][name]).get(key, 0.0)
        ]
        assert fallen == []


def counted(family: Any) -> dict[tuple[object, ...], float]:
    return {(s.name, *sorted(s.labels.items())): s.value for s in family.samples if not s.name.endswith("_created")}


@scenario()
async def metrics_snapshot_received_by_all_nodes(world: World) -> None:
    """Every node has the fresh figures of all others, and counts the same calls, wherever they were made; when the
    leader that gathered them is killed, the next one goes on, and what was known of the past stays known.
    """
    await all_fresh(world)
    await deploy(world, SHOP_OLD, 2)
    for node in world.nodes:
        for _ in range(5):
            assert (await world.app_request(node, "GET", "/shop/version")).ok

    async def counted_everywhere() -> bool:
        for node in world.nodes:
            rows = (await get(world, node, "/invocation-metrics?method=version"))["snapshots"]
            assert [(row["count"], row["failureCount"]) for row in rows] == [(15, 0)], (node, rows)
        return True

    await until(counted_everywhere, 30, "all nodes have counted all calls")
    old = await leader_of(world)
    await world.kill(old)
    await leader_of(world, within_s=NEW_LEADER_S)
    await all_fresh(world, within_s=10)
    for node in world.running():
        assert len(await points(world, node, old, "heap.used")) >= 3, "the past of a node outlives it"
