"""The management API: what every node says of the cluster, and what it lets people change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.scenarios.controller import config_everywhere, status, with_range
from tests.scenarios.metrics import all_fresh, calls, scraped
from tests.scenarios.registry import scenario
from tests.scenarios.world import (
    SHOP,
    SHOP_NEW,
    SHOP_OLD,
    World,
    active,
    deploy,
    get,
    leader_of,
    listed,
    post,
    quorum,
    ready,
    until,
)

COUNTED_S = 30.0
ALWAYS = "process.threads"
"""A figure that is at least 1 on every node, always."""


async def everywhere(world: World, path: str, wanted: object, *, within_s: float = 30.0) -> None:
    """Until GET `path` answers `wanted` at every running node; fields that are not in `wanted` may be there."""
    for node in world.running():

        async def says(node: str = node) -> bool:
            told = await get(world, node, path)
            if isinstance(wanted, dict):
                assert isinstance(told, dict), told
                told = {name: told.get(name, "absent") for name in wanted}
            assert told == wanted, (node, told)
            return True

        await until(says, within_s, f"GET {path} at {node} is {wanted}")


async def snapshots(world: World, node: str, query: str = "") -> dict[tuple[str, str], Any]:
    rows = (await get(world, node, f"/invocation-metrics{query}"))["snapshots"]
    return {(row["artifact"], row["method"]): row for row in rows}


async def call(world: World, node: str, path: str, count: int, *, expected: int = 200) -> None:
    for _ in range(count):
        reply = await world.app_request(node, "GET", path)
        assert reply.status == expected, (node, path, reply.status, reply.text)


async def refused(world: World, node: str, verb: str, path: str, body: object, expected: int) -> dict[str, Any]:
    """The problem document of a request that must be refused so."""
    reply = await world.request(node, verb, path, json=body)
    assert reply.status == expected, (verb, path, body, reply.status, reply.text)
    told: dict[str, Any] = reply.json()
    assert told["error"] == told["detail"] != "", told
    return told


# --- status -----------------------------------------------------------------------------------------------------------


@scenario()
async def health_returns_quorum_status_and_connected_peers(world: World) -> None:
    """Healthy with three nodes; degraded, with the reason, without one; unhealthy and not ready without a majority,
    while the node still answers; healthy again when all are back.
    """
    await quorum(world)
    await everywhere(world, "/health", {"status": "healthy", "quorum": True, "nodeCount": 3, "connectedPeers": 2})
    await world.kill("node-3")
    await everywhere(world, "/health", {"status": "degraded", "quorum": True, "nodeCount": 2, "connectedPeers": 1})
    assert any("node-3" in problem for problem in (await get(world, "node-1", "/health"))["problems"])
    assert (await world.request("node-1", "GET", "/health/ready")).status == 200
    await world.kill("node-2")
    await everywhere(world, "/health", {"status": "unhealthy", "quorum": False, "nodeCount": 1, "connectedPeers": 0})
    assert (await world.request("node-1", "GET", "/health/ready")).status == 503
    assert (await world.request("node-1", "GET", "/health/live")).status == 200
    for node in ("node-2", "node-3"):
        await world.start(node)
    await ready(world)
    await everywhere(world, "/health", {"status": "healthy", "quorum": True, "nodeCount": 3, "connectedPeers": 2})


@scenario()
async def status_shows_leader_info_and_node_state(world: World) -> None:
    """Each node tells its own name, one of them leads and all name it, addresses are told, uptimes grow."""
    leader = await leader_of(world)
    before = {node: await get(world, node, "/status") for node in world.nodes}
    for node, told in before.items():
        assert (told["nodeId"], told["status"], told["leader"]) == (node, "running", leader), told
        assert told["isLeader"] is (node == leader), told
        assert (told["ready"], told["draining"], told["quorum"]) == (True, False, True), told
        assert told["addresses"]["management"], told
        assert told["addresses"]["http"], told
        assert "error" not in told
    assert len({told["addresses"]["management"] for told in before.values()}) == 3
    await deploy(world, SHOP_OLD, 1)
    for node, earlier in before.items():
        told = await get(world, node, "/status?consistent=true")
        assert told["uptimeSeconds"] > earlier["uptimeSeconds"]
        assert told["revision"] > earlier["revision"]
        assert told["sliceCount"] == 1, told


@scenario()
async def nodes_lists_all_cluster_members(world: World) -> None:
    """All three on every node; a killed one leaves the list of those that are reachable and stays a member."""
    await quorum(world)
    await everywhere(world, "/nodes", {"nodes": list(world.nodes), "nodeCount": 3})
    for node in world.nodes:
        rows = (await get(world, node, "/nodes"))["members"]
        assert [(row["id"], row["state"], row["voter"]) for row in rows] == [
            (each, "ON_DUTY", True) for each in world.nodes
        ], rows
        assert all(SHOP_OLD in row["available"] for row in rows), rows
    await world.kill("node-3")
    await everywhere(world, "/nodes", {"nodes": ["node-1", "node-2"], "nodeCount": 2})
    for node in world.running():
        rows = (await get(world, node, "/members"))["members"]
        assert {row["id"]: row["reachable"] for row in rows} == {"node-1": True, "node-2": True, "node-3": False}, rows


@scenario()
async def slices_lists_deployed_slices_with_state(world: World) -> None:
    """Nothing before; then the slice as ACTIVE with its counts on every node; as DEGRADED, with the reason, when more
    are wanted of what no node has.
    """
    for node in world.nodes:
        assert await listed(world, node) == {}
    await deploy(world, SHOP_OLD, 1)
    for node in world.nodes:
        row = (await listed(world, node))[SHOP_OLD]
        assert (row["state"], row["instances"], row["activeInstances"]) == ("ACTIVE", 1, 1), row
        assert "unsatisfied" not in row
        text = (await world.request(node, "GET", "/slices")).text
        assert '"error"' not in text
    told = await refused(world, "node-1", "POST", "/deploy", {"artifact": "scenario:shop", "instances": 1}, 400)
    assert told["problems"], told
    told = await refused(world, "node-1", "POST", "/deploy", {"artifact": SHOP_OLD, "instances": -1}, 400)
    assert any("instances" in problem for problem in told["problems"]), told


# --- metrics ----------------------------------------------------------------------------------------------------------


@scenario()
async def metrics_returns_node_metrics_and_slice_metrics(world: World) -> None:
    """Beside the figures of nodes, each node tells of each instance how long it took to start, and in which steps."""
    await deploy(world, SHOP_OLD, 3)
    await all_fresh(world)
    for node in world.nodes:

        async def told(node: str = node) -> bool:
            starts = (await get(world, node, "/metrics"))["deployments"].get(SHOP_OLD, [])
            done = [each for each in starts if each["status"] == "SUCCESS"]
            assert {each["nodeId"] for each in done} == set(world.nodes), starts
            for each in done:
                assert each["fullDeploymentMs"] >= each["netDeploymentMs"] >= 0, each
                steps = [each["transitions"][name] for name in each["transitions"]]
                assert all(step >= 0 for step in steps), each
                assert abs(each["activeTime"] - each["startTime"] - each["fullDeploymentMs"]) <= 1, each  # rounded
            return True

        await until(told, 30, f"{node} tells of three starts")


@scenario()
async def prometheus_metrics_valid_format_scrapable(world: World) -> None:
    """What is scraped names the node, its term and role as its status does, and counts what was called."""
    await deploy(world, SHOP_OLD, 1)
    leader = await leader_of(world)
    await call(world, "node-2", "/shop/version", 4)
    for node in world.nodes:
        families = await scraped(world, node)
        (info,) = families["aether_node_info"].samples
        assert info.labels["node"] == node, info
        assert calls(families, "version", "success") == (4 if node == "node-2" else 0)
        assert '"error"' not in (await world.request(node, "GET", "/metrics/prometheus")).text
        status = await get(world, node, "/status")
        assert status["isLeader"] is (node == leader)


@scenario()
async def invocation_metrics_tracks_calls_per_method(world: World) -> None:
    """Exact counts per method, of successes and of failures, over the calls of all nodes, the same on every node."""
    await deploy(world, SHOP_OLD, 2)
    for number, node in enumerate(world.nodes, start=1):
        await call(world, node, "/shop/version", number)
        await call(world, node, "/shop/price/tea", 2)
        await call(world, node, "/shop/broken", 1, expected=500)
    wanted = {"version": (6, 6, 0), "price": (6, 6, 0), "broken": (3, 0, 3)}
    for node in world.nodes:

        async def counted(node: str = node) -> bool:
            seen = await snapshots(world, node)
            counts = {m: (r["count"], r["successCount"], r["failureCount"]) for (_, m), r in seen.items()}
            assert counts == wanted, (node, counts)
            for row in seen.values():
                assert row["p50DurationNs"] <= row["p95DurationNs"] <= row["p99DurationNs"], row
                assert row["inFlight"] == 0, row
            return True

        await until(counted, COUNTED_S, f"{node} counts the calls of all nodes")


@scenario()
async def invocation_metrics_filtering_by_artifact_and_method(world: World) -> None:
    """Each filter keeps what fits and drops the rest, both together keep what fits both, and what fits nothing is an
    empty list.
    """
    await deploy(world, SHOP_OLD, 1)
    await call(world, "node-1", "/shop/version", 2)
    await call(world, "node-1", "/shop/price/tea", 3)

    async def both() -> bool:
        return len(await snapshots(world, "node-3")) == 2

    await until(both, COUNTED_S, "both methods are counted")
    everything = {(SHOP_OLD, "version"): 2, (SHOP_OLD, "price"): 3}
    cases: Sequence[tuple[str, set[str]]] = (
        ("", {"version", "price"}),
        ("?artifact=scenario:shop", {"version", "price"}),
        (f"?artifact={SHOP_OLD}&method=price", {"price"}),
        ("?method=version", {"version"}),
        ("?artifact=other", set()),
        ("?method=vers", set()),
        (f"?artifact={SHOP_NEW}", set()),
    )
    for query, methods in cases:
        seen = {key: row["count"] for key, row in (await snapshots(world, "node-3", query)).items()}
        assert seen == {key: count for key, count in everything.items() if key[1] in methods}, (query, seen)


@scenario()
async def slow_invocations_captured_above_threshold(world: World) -> None:
    """With a threshold of one second the calls that took longer are listed at every node, the newest first, with their
    time and their request, and no other is.
    """
    await deploy(world, SHOP_OLD, 1)
    await post(world, "node-1", "/invocation-metrics/strategy", {"type": "fixed", "thresholdMs": 1000})
    await everywhere(world, "/invocation-metrics/strategy", {"type": "fixed", "thresholdMs": 1000})
    await call(world, "node-2", "/shop/slow?seconds=0", 3)
    asked: list[str] = []
    for seconds in (1.2, 1.5):
        reply = await world.app_request("node-2", "GET", f"/shop/slow?seconds={seconds}")
        assert reply.ok, reply.text
        asked.append(reply.headers["x-request-id"])
    for node in world.nodes:

        async def listed_there(node: str = node) -> bool:
            rows = (await get(world, node, "/invocation-metrics/slow?method=slow"))["slowInvocations"]
            assert [row["requestId"] for row in rows] == asked[::-1], (node, rows)
            for row, seconds in zip(rows, (1.5, 1.2), strict=True):
                # how exact a timer of the machine is, and what a busy one adds
                assert seconds * 1e3 - 1 <= row["durationMs"] < seconds * 1e3 + 5_000, row
                assert (row["artifact"], row["success"], row["nodeId"]) == (SHOP_OLD, True, "node-2"), row
            counts = await snapshots(world, node, "?method=slow")
            assert [(one["count"], one["slowInvocations"]) for one in counts.values()] == [(5, 2)], counts
            return True

        await until(listed_there, COUNTED_S, f"{node} lists the two slow calls")


@scenario()
async def invocation_strategy_returns_current_config(world: World) -> None:
    """Each of the four kinds can be set at any node, is in force on all, and outlives the leader; what is none is
    refused and changes nothing.
    """
    kinds: Sequence[dict[str, object]] = (
        {"type": "adaptive", "minMs": 20, "maxMs": 500, "multiplier": 2},
        {"type": "perMethod", "defaultMs": 200, "methods": {"price": 5}},
        {"type": "composite", "strategies": [{"type": "fixed", "thresholdMs": 50}]},
        {"type": "fixed", "thresholdMs": 75},
    )
    for number, wanted in enumerate(kinds):
        said = await post(world, world.nodes[number % 3], "/invocation-metrics/strategy", wanted)
        assert (said["status"], said["strategy"]["type"]) == ("strategy_set", wanted["type"]), said
        await everywhere(world, "/invocation-metrics/strategy", wanted)
    for wrong in ({"type": "magic"}, {}, {"type": "fixed", "thresholdMs": -5}):
        await refused(world, "node-2", "POST", "/invocation-metrics/strategy", wrong, 400)
    await world.kill(await leader_of(world))
    await leader_of(world)
    await everywhere(world, "/invocation-metrics/strategy", kinds[-1])


# --- thresholds and alerts --------------------------------------------------------------------------------------------


async def alerts_of(world: World, node: str, metric: str) -> list[dict[str, Any]]:
    return [row for row in await get(world, node, "/alerts/active") if row["metric"] == metric]


async def alerted(world: World, count: int, *, metric: str = ALWAYS, since: int = 0) -> None:
    """Until every node shows `count` alerts for `metric`, one of each node, that began after `since` (ms)."""
    for node in world.running():

        async def shown(node: str = node) -> bool:
            rows = await alerts_of(world, node, metric)
            assert sorted(row["nodeId"] for row in rows) == list(world.nodes)[:count], (node, rows)
            assert all(row["triggeredAt"] > since for row in rows), (since, rows)
            return True

        await until(shown, 30, f"{node} shows {count} alerts of {metric}")


async def set_threshold(world: World, node: str, metric: str, warning: float, critical: float) -> None:
    body = {"metric": metric, "warning": warning, "critical": critical}
    said = await post(world, node, "/thresholds", body)
    assert {name: said[name] for name in body} == body, said
    assert said["status"] == "threshold_set", said


@scenario()
async def thresholds_set_and_get_persisted(world: World) -> None:
    """Set at one node, known to all beside the others, and still after all nodes were killed at once."""
    await set_threshold(world, "node-2", "cpu.usage", 0.61, 0.93)

    async def kept() -> bool:
        for node in world.nodes:
            told = await get(world, node, "/thresholds")
            assert (told["cpu.usage"]["warning"], told["cpu.usage"]["critical"]) == (0.61, 0.93), told
            assert "heap.usage" in told, "setting one forgets no other"
        return True

    await until(kept, 30, "all nodes know it")
    await refused(world, "node-1", "POST", "/thresholds", {"metric": "cpu.usage", "warning": 2, "critical": 1}, 400)
    await refused(world, "node-1", "POST", "/thresholds", {"metric": "cpu.usage"}, 400)
    for node in world.nodes:
        await world.kill(node)
    for node in world.nodes:
        await world.start(node)
    await ready(world, within_s=60)
    await until(kept, 30, "all nodes know it after their restart")


@scenario()
async def thresholds_delete_removes_threshold(world: World) -> None:
    """Gone on every node, others stay, and deleting what is not there is no failure."""
    await set_threshold(world, "node-1", "test.metric", 0.5, 0.8)
    for there in (True, False, False):

        async def agreed(there: bool = there) -> bool:
            told = [await get(world, node, "/thresholds") for node in world.nodes]
            assert [("test.metric" in each, "cpu.usage" in each) for each in told] == [(there, True)] * 3, told
            return True

        await until(agreed, 30, f"test.metric is {'there' if there else 'gone'} on every node")
        reply = await world.request("node-3", "DELETE", "/thresholds/test.metric")
        assert (reply.status, reply.json()["status"]) == (200, "threshold_removed"), reply.text


@scenario()
async def alerts_active_reflects_current_state(world: World) -> None:
    """None while nothing is wrong; one for each node whose figure is too high, with its value, on every node; the same
    ones worse when the threshold says so; none when it fits again.
    """
    await all_fresh(world)
    for node in world.nodes:
        assert await alerts_of(world, node, ALWAYS) == []
    for warning, critical, severity in ((0.5, 1e9, "WARNING"), (0.25, 0.5, "CRITICAL")):
        await set_threshold(world, "node-1", ALWAYS, warning, critical)
        await alerted(world, 3)
        for node in world.nodes:

            async def as_bad(node: str = node, severity: str = severity) -> bool:
                rows = await alerts_of(world, node, ALWAYS)
                assert {row["severity"] for row in rows} == {severity}, rows
                assert all(row["value"] >= row["threshold"] == 0.5 for row in rows), rows
                return True

            await until(as_bad, 30, f"{node} shows {severity}")
    await set_threshold(world, "node-1", ALWAYS, 1e8, 1e9)
    await alerted(world, 0)


@scenario()
async def alerts_history_records_past_alerts(world: World) -> None:
    """Each alert's beginning and end, in order, the same on every node, also on one that was away meanwhile."""
    await all_fresh(world)
    await set_threshold(world, "node-1", ALWAYS, 0.5, 1e9)
    await alerted(world, 3)
    await world.kill("node-3")
    await set_threshold(world, "node-1", ALWAYS, 1e8, 1e9)
    await alerted(world, 0)
    await world.start("node-3")
    await ready(world)
    first: list[Any] = []
    for node in world.nodes:

        async def told(node: str = node) -> bool:
            rows = [row for row in await get(world, node, "/alerts/history") if row["metric"] == ALWAYS]
            for of in world.nodes:
                mine = [row for row in rows if row["nodeId"] == of]
                assert [row["status"] for row in mine] == ["TRIGGERED", "RESOLVED"], (of, mine)
                assert mine[0]["timestamp"] <= mine[1]["timestamp"], mine
                assert mine[0]["severity"] == "WARNING", mine
            if not first:
                first.extend(rows)
            assert rows == first, (node, rows)
            return True

        await until(told, 30, f"{node} knows the past")


@scenario()
async def alerts_clear_removes_all_alerts(world: World) -> None:
    """All end at once, on every node; those whose figures are still too high begin anew, as new ones; without a
    threshold there is nothing to clear.
    """
    await all_fresh(world)
    await set_threshold(world, "node-1", ALWAYS, 0.5, 1e9)
    await alerted(world, 3)
    began = max(row["triggeredAt"] for row in await alerts_of(world, "node-1", ALWAYS))
    said = await post(world, "node-2", "/alerts/clear")
    assert (said["status"], said["cleared"]) == ("alerts_cleared", 3), said
    await alerted(world, 3, since=began)
    reply = await world.request("node-3", "DELETE", f"/thresholds/{ALWAYS}")
    assert reply.status == 200, reply.text
    await alerted(world, 0)
    assert (await post(world, "node-2", "/alerts/clear"))["cleared"] == 0


# --- the controller ---------------------------------------------------------------------------------------------------


@scenario()
async def controller_config_get_and_update(world: World) -> None:
    """One field changes and no other, on all nodes; a rehearsal says so and changes nothing; `reset` takes it back."""
    before = await get(world, "node-1", "/controller/config")
    reply = await world.request("node-2", "POST", "/controller/config?dry_run=true", json={"cpuScaleUpThreshold": 0.7})
    assert reply.status == 200, reply.text
    await config_everywhere(world, **before)
    said = await post(world, "node-2", "/controller/config", {"cpuScaleUpThreshold": 0.7})
    assert (said["status"], said["config"]) == ("updated", {**before, "cpuScaleUpThreshold": 0.7}), said
    await config_everywhere(world, **{**before, "cpuScaleUpThreshold": 0.7})
    await post(world, "node-3", "/controller/config", {"reset": True})
    await config_everywhere(world, **before)


@scenario()
async def controller_status_shows_enabled_state(world: World) -> None:
    """Whoever switches it off at one node sees it off at all of them, and on again."""
    leader = await leader_of(world)
    for enabled in (True, False, True):
        await post(world, "node-1", "/controller/config", {"enabled": enabled})
        for node in world.nodes:

            async def says(node: str = node, enabled: bool = enabled) -> bool:
                told = await status(world, node)
                assert (told["enabled"], told["leader"]) == (enabled, leader), told
                assert (told["status"] == "disabled") is not enabled, told
                return True

            await until(says, 30, f"{node} says enabled={enabled}")


@scenario()
async def controller_evaluate_triggers_immediate_check(world: World) -> None:
    """Asked at a node that does not lead, the leader looks at once and the answer says what it decided, and why; a
    rehearsal answers the same way.
    """
    await with_range(world, 1, 3)
    leader = await leader_of(world)
    asked = next(node for node in world.nodes if node != leader)
    for path, word in (
        ("/controller/evaluate", "evaluation_triggered"),
        ("/controller/evaluate?dry_run=true", "rehearsed"),
    ):
        said = await post(world, asked, path)
        assert (said["status"], said["leader"], said["problem"]) == (word, leader, ""), said
        (decision,) = said["decisions"]
        assert (decision["artifact"], decision["from"], decision["to"]) == (SHOP, 1, 1), decision
        assert decision["reasons"], decision


# --- slices -----------------------------------------------------------------------------------------------------------


@scenario()
async def slices_status_returns_detailed_health(world: World) -> None:
    """Every instance with its node, state and health, the same on every node; one whose node was killed is no longer
    HEALTHY until another takes its place, and then two are again.
    """
    first = await deploy(world, SHOP_OLD, 2)
    views = []
    for node in world.nodes:
        (row,) = (await get(world, node, "/slices/status"))["slices"]
        assert (row["artifact"], row["state"], row["desiredInstances"]) == (SHOP_OLD, "ACTIVE", 2), row
        assert sorted(each["nodeId"] for each in row["instances"]) == first, row
        assert {(each["state"], each["health"], each["reason"]) for each in row["instances"]} == {
            ("ACTIVE", "HEALTHY", "")
        }, row
        views.append(sorted(row["instances"], key=lambda each: each["instance"]))
    assert views[0] == views[1] == views[2]
    lost = next(each["instance"] for each in views[0] if each["nodeId"] == first[0])
    await world.kill(first[0])
    where = await active(world, SHOP_OLD, 2)
    assert first[0] not in where
    for node in world.running():
        (row,) = (await get(world, node, "/slices/status"))["slices"]
        assert lost not in {each["instance"] for each in row["instances"]}, row
        assert all(each["health"] == "HEALTHY" for each in row["instances"]), row
