"""The controller: its settings, what it says of itself, and that one of all nodes decides."""

from __future__ import annotations

from typing import Any

from tests.scenarios.registry import scenario
from tests.scenarios.world import SHOP, SHOP_OLD, World, active, get, leader_of, load, post, ready, until

EAGER = {
    "evaluationIntervalMs": 1000,
    "callRateScaleUpThreshold": 2.0,
    "callRateScaleDownThreshold": 0.1,
    "scaleUpWindowSeconds": 3.0,
    "coolDownUpSeconds": 1.0,
    "warmUpSeconds": 0.0,
    "instanceWarmUpSeconds": 0.0,
}
"""Settings under which a little load asks for more within seconds, and none for fewer within minutes."""


async def config_everywhere(world: World, **wanted: object) -> None:
    """Until every running node has these settings in force."""
    for node in world.running():

        async def has(node: str = node) -> bool:
            config = await get(world, node, "/controller/config")
            assert {name: config[name] for name in wanted} == wanted, (node, config)
            return True

        await until(has, 30, f"{node} has {wanted}")


async def with_range(world: World, low: int, high: int) -> None:
    """The shop with a range for the controller, ACTIVE at its least."""
    text = f'[[slices]]\nartifact = "{SHOP_OLD}"\ninstances = {{ min = {low}, max = {high} }}\n'
    reply = await world.request(
        world.running()[0], "POST", "/blueprint", content=text, headers={"content-type": "application/toml"}
    )
    assert reply.status == 200, reply.text
    await active(world, SHOP_OLD, low)


async def status(world: World, node: str) -> dict[str, Any]:
    return await get(world, node, "/controller/status")


async def evaluations(world: World, node: str) -> int:
    told = await status(world, node)
    assert told.get("evaluations") is not None, told
    return told["evaluations"]


async def decides(world: World, node: str, more: int, within_s: float = 30.0) -> None:
    """Until the controller has looked `more` times more, as `node` says."""
    goal = 0

    async def looked() -> bool:
        nonlocal goal
        now = await evaluations(world, node)
        goal = goal or now + more
        return now >= goal

    await until(looked, within_s, f"{more} more evaluations, as {node} says")


@scenario()
async def controller_config_get_returns_current_settings(world: World) -> None:
    """Every node answers with the same settings, the documented defaults; they are the very ones its status shows."""
    told = [await get(world, node, "/controller/config") for node in world.nodes]
    assert told[0] == told[1] == told[2]
    expected = {
        "enabled": True,
        "evaluationIntervalMs": 5000,
        "cpuScaleUpThreshold": 0.8,
        "cpuScaleDownThreshold": 0.2,
        "callRateScaleUpThreshold": 1000.0,
    }
    assert {name: told[0][name] for name in expected} == expected
    for node in world.nodes:
        assert (await status(world, node))["config"] == told[0]


@scenario()
async def controller_config_update_succeeds(world: World) -> None:
    """Old and new spellings change what is in force on all nodes, a value that cannot be is refused whole, and a
    changed threshold changes what is decided: under a little load one instance becomes three.
    """
    await leader_of(world)
    said = await post(world, "node-1", "/controller/config", {"scaleUpThreshold": 0.85, "scaleDownThreshold": 0.15})
    assert (said["status"], said["config"]["cpuScaleUpThreshold"]) == ("updated", 0.85), said
    await config_everywhere(world, cpuScaleUpThreshold=0.85, cpuScaleDownThreshold=0.15)
    for wrong in ({"cpuScaleUpThreshold": 7.0, "stepUp": 2}, {"stepUp": 2, "noSuchThing": 1}, {"stepUp": "2"}):
        reply = await world.request("node-2", "POST", "/controller/config", json=wrong)
        assert reply.status == 400, (wrong, reply.text)
        assert reply.json()["problems"], reply.text
    await config_everywhere(world, cpuScaleUpThreshold=0.85, stepUp=4)
    await with_range(world, 1, 3)
    await post(world, "node-3", "/controller/config", EAGER)
    async with load(world) as seen:
        assert len(await active(world, SHOP_OLD, 3)) == 3
    assert seen.failures == []
    (newest, *_) = (await get(world, "node-2", f"/controller/history?artifact={SHOP}"))["decisions"]
    assert newest["to"] == 3, newest
    assert newest["reasons"], newest


@scenario()
async def controller_config_persists_across_requests(world: World) -> None:
    """What was set at one node all nodes have, the leader's successor too, and all of them after a common restart."""
    await post(world, "node-1", "/controller/config", {"cpuScaleUpThreshold": 0.9, "cpuScaleDownThreshold": 0.1})
    await config_everywhere(world, cpuScaleUpThreshold=0.9, cpuScaleDownThreshold=0.1)
    old = await leader_of(world)
    await world.kill(old)
    await leader_of(world)
    await config_everywhere(world, cpuScaleUpThreshold=0.9, cpuScaleDownThreshold=0.1)
    for node in world.running():
        await world.kill(node)
    for node in world.nodes:
        await world.start(node)
    await ready(world, within_s=60)
    await config_everywhere(world, cpuScaleUpThreshold=0.9, cpuScaleDownThreshold=0.1)


@scenario()
async def controller_status_returns_running_state(world: World) -> None:
    """Idle while no slice has a range, running with one, disabled when it is told so; every node says the same."""
    leader = await leader_of(world)
    for node in world.nodes:
        told = await status(world, node)
        assert (told["enabled"], told["running"], told["leader"]) == (True, False, leader), told
        assert told["status"].startswith("idle"), told
    await with_range(world, 1, 3)
    await post(world, "node-2", "/controller/config", {"evaluationIntervalMs": 1000})
    for enabled, word in ((True, "running"), (False, "disabled")):
        await post(world, "node-2", "/controller/config", {"enabled": enabled})
        for node in world.nodes:

            async def says(node: str = node, enabled: bool = enabled, word: str = word) -> bool:
                told = await status(world, node)
                assert (told["enabled"], told["running"], told["status"]) == (enabled, enabled, word), told
                assert told["slices"] == [SHOP_OLD], told
                return True

            await until(says, 30, f"{node} says {word}")
    await post(world, "node-2", "/controller/config", {"enabled": True})
    await decides(world, "node-3", 3)


@scenario()
async def controller_evaluate_triggers_immediately(world: World) -> None:
    """With ten minutes between two looks, asking any node makes the leader look at once: one evaluation each time, and
    its answer is what every node then shows as the last one.
    """
    await with_range(world, 1, 3)
    rare = {"evaluationIntervalMs": 600_000, "scaleUpWindowSeconds": 3600, "scaleDownWindowSeconds": 3600}
    await post(world, "node-1", "/controller/config", rare)
    leader = await leader_of(world)

    async def looked_at_the_change() -> bool:
        return await evaluations(world, leader) >= 1

    await until(looked_at_the_change, 30, "the leader looks when its settings change")
    at = 0.0
    for node in world.nodes:
        before = await evaluations(world, node)
        began_s = world.now()
        said = await post(world, node, "/controller/evaluate")
        assert world.now() - began_s < 5, "it does not wait for the interval"
        assert (said["status"], said["leader"], said["problem"]) == ("evaluation_triggered", leader, ""), said
        assert said["at"] > at, said
        at = said["at"]
        for other in world.nodes:
            told = await status(world, other)
            assert told["evaluations"] == before + 1, (told, before)
            assert told["lastEvaluation"]["at"] == at, told


@scenario()
async def controller_runs_only_on_leader(world: World) -> None:
    """All nodes name the same leader and the same number of evaluations, and these come once per interval, not once
    per node: in ten intervals of a second at most twelve.
    """
    await with_range(world, 1, 3)
    await post(world, "node-1", "/controller/config", {"evaluationIntervalMs": 1000})
    leader = await leader_of(world)
    await decides(world, leader, 2)
    began_s, first = world.now(), await evaluations(world, leader)
    await decides(world, leader, 10)
    took_s, looked = world.now() - began_s, await evaluations(world, leader) - first
    assert looked <= took_s + 2, (looked, took_s)
    told = [await status(world, node) for node in world.nodes]
    assert {each["leader"] for each in told} == {leader}, told
    assert max(each["evaluations"] for each in told) - min(each["evaluations"] for each in told) <= 2, told
    assert len({each["since"] for each in told}) == 1, told


@scenario()
async def controller_survives_leader_failure(world: World) -> None:
    """The next leader goes on with the same settings and decides: the load that comes after the failure is answered
    with more instances, and the journal names the new leader.
    """
    await with_range(world, 1, 3)
    await post(world, "node-1", "/controller/config", {**EAGER, "enabled": False})
    old = await leader_of(world)
    await world.kill(old)
    new = await leader_of(world)
    assert new != old
    await active(world, SHOP_OLD, 1)
    await config_everywhere(world, **EAGER)
    await post(world, new, "/controller/config", {"enabled": True})
    for node in world.running():
        assert (await status(world, node))["leader"] == new
    await decides(world, new, 2)
    async with load(world) as seen:
        assert len(await active(world, SHOP_OLD, 3)) == 3
    assert seen.failures == []
    for node in world.running():
        (newest, *_) = (await get(world, node, f"/controller/history?artifact={SHOP}"))["decisions"]
        assert (newest["to"], newest["leader"]) == (3, new), newest
