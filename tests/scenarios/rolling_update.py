"""Five nodes, on which one version of a slice replaces another while users ask."""

import math
from typing import Any

from tests.scenarios.registry import scenario
from tests.scenarios.world import (
    NEW,
    OLD,
    SHOP_NEW,
    SHOP_OLD,
    World,
    active,
    asked,
    deploy,
    get,
    leader_of,
    load,
    post,
    quorum,
    ready,
    served,
    until,
)

REQUESTS = 240
SIGMAS = 5.0
"""A share of requests that were sent at random would be further off once in 1.7 million times."""


async def current(world: World) -> dict[str, Any]:
    """The update, as every running node tells it."""
    seen: list[Any] = []

    async def agreed() -> bool:
        nonlocal seen
        seen = [(await get(world, node, "/rolling-updates"))["updates"] for node in world.running()]
        assert all(len(updates) == 1 and updates == seen[0] for updates in seen), seen
        return True

    await until(agreed, 30, "all nodes tell the same update")
    update: dict[str, Any] = seen[0][0]
    return update


async def told(world: World, **fields: object) -> None:
    """Until every running node tells an update with these fields."""

    async def all_tell() -> bool:
        update = await current(world)
        assert {name: update[name] for name in fields} == fields, update
        return True

    await until(all_tell, 60, f"the update is {fields}")


async def deployed(world: World) -> None:
    """The old version serves, three times; the new one is ACTIVE three times beside it and gets nothing."""
    await deploy(world, SHOP_OLD, 3)
    await world.bring(NEW)
    said = await post(
        world, "node-1", "/rolling-update/start", {"artifact": "scenario:shop", "version": NEW, "instances": 3}
    )
    assert (said["oldVersion"], said["newVersion"]) == (OLD, NEW), said
    await active(world, SHOP_NEW, 3, within_s=120)
    await active(world, SHOP_OLD, 3)
    await told(world, state="DEPLOYED", newWeight=0, newActive=3, oldActive=3)


async def route(world: World, new: int, old: int, by: str = "node-1") -> None:
    await post(world, by, "/rolling-update/current/routing", {"newWeight": new, "oldWeight": old})
    await told(world, newWeight=new, oldWeight=old, routing=f"{new}:{old}")


async def completed(world: World) -> None:
    """The new one is in force, and there is nothing of the old one."""
    await post(world, "node-1", "/rolling-update/current/complete", {})
    await told(world, state="COMPLETED")
    await active(world, SHOP_OLD, 0)
    await active(world, SHOP_NEW, 3)


@scenario(nodes=5, within_s=300.0)
async def rolling_update_deploys_new_version_without_traffic(world: World) -> None:
    """Both versions are ACTIVE three times, the update is DEPLOYED with the weight 0, and only the old one answers."""
    await deployed(world)
    seen = await asked(world, 100)
    assert (seen.failures, dict(seen.versions)) == ([], {OLD: 100})
    assert len(seen.marks) == 3


@scenario(nodes=5, within_s=300.0)
async def rolling_update_gradually_shifts_traffic(world: World) -> None:
    """At 1:3, 1:1 and 3:1 the status says so, and 240 requests are answered in these shares, at every node alike.

    The bound is five standard deviations of requests sent at random, which one run in 1.7 million would exceed.
    """
    await deployed(world)
    for new, old in ((1, 3), (1, 1), (3, 1)):
        await route(world, new, old)
        seen = await asked(world, REQUESTS)
        assert seen.failures == []
        share = new / (new + old)
        off = SIGMAS * math.sqrt(REQUESTS * share * (1 - share))
        assert abs(seen.versions[NEW] - REQUESTS * share) <= off, (new, old, seen.versions)
        assert seen.versions.total() == REQUESTS


@scenario(nodes=5, within_s=300.0)
async def rolling_update_completion_removes_old_version(world: World) -> None:
    """Completed with all the traffic, three of the new version are ACTIVE, none of the old one is there or answers."""
    await deployed(world)
    await route(world, 1, 0)
    await completed(world)
    seen = await asked(world, 60)
    assert (seen.failures, dict(seen.versions)) == ([], {NEW: 60})


@scenario(nodes=5, within_s=300.0)
async def rolling_update_rollback_restores_old_version(world: World) -> None:
    """Taken back at 1:1 the update is ROLLED_BACK, three of the old version are ACTIVE, and none of the new one."""
    await deployed(world)
    await route(world, 1, 1)
    assert set((await asked(world, 60)).versions) == {OLD, NEW}
    await post(world, "node-1", "/rolling-update/current/rollback", {})
    await told(world, state="ROLLED_BACK")
    await active(world, SHOP_NEW, 0)
    await active(world, SHOP_OLD, 3)
    seen = await asked(world, 60)
    assert (seen.failures, dict(seen.versions)) == ([], {OLD: 60})


@scenario(nodes=5, within_s=300.0)
async def rolling_update_maintains_request_continuity(world: World) -> None:
    """One request every 50 ms at five nodes, from before an update until after it: none fails, both versions answer."""
    await deploy(world, SHOP_OLD, 3)
    async with load(world) as seen:
        await served(world, seen, 20)
        await deployed(world)
        for new, old in ((1, 3), (1, 1), (3, 1), (1, 0)):
            await route(world, new, old)
            await served(world, seen, 40)
        await completed(world)
        await served(world, seen, 20)
    assert seen.failures == []
    assert seen.requests >= 200
    assert set(seen.versions) == {OLD, NEW}


@scenario(nodes=5, within_s=300.0)
async def rolling_update_node_failure_continues_update(world: World) -> None:
    """A node dies in the middle: three of each version are ACTIVE again, traffic shifts, and the update completes."""
    await deployed(world)
    await world.kill("node-3")
    await quorum(world)
    await leader_of(world)
    await active(world, SHOP_NEW, 3)
    await active(world, SHOP_OLD, 3)
    await route(world, 1, 1)
    await told(world, state="ROUTING")
    seen = await asked(world, 60)
    assert (seen.failures, set(seen.versions)) == ([], {OLD, NEW})
    await world.start("node-3")
    await ready(world, "node-3")
    await quorum(world)
    await route(world, 1, 0)
    await completed(world)
    seen = await asked(world, 60)
    assert (seen.failures, dict(seen.versions)) == ([], {NEW: 60})
