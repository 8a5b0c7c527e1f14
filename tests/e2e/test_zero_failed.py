"""What is done to a cluster under load costs no request: each must get its 2xx, however long it takes."""

import pytest
from benchmarks.updates import drain, drain_by_word, kill, scale_down, scale_to_zero, update
from benchmarks.updates_cluster import open_world, under_load

pytestmark = [pytest.mark.alone, pytest.mark.process, pytest.mark.timeout(180)]

RATE = 150.0

SCENARIOS = {
    "scale-down": (scale_down, "idempotent"),
    "scale to zero and back": (scale_to_zero, "idempotent"),
    "rolling update": (update("rolling"), "idempotent"),
    "canary": (update("canary"), "idempotent"),
    "blue-green update": (update("blue_green"), "idempotent"),
    "drain by an operator": (drain_by_word, "idempotent"),
    "drain by SIGTERM": (drain, "idempotent"),
    "drain by SIGTERM, neither idempotent nor keyed": (drain, "unkeyed"),
    "kill, idempotent": (kill, "idempotent"),
    "kill, keyed": (kill, "keyed"),
    "kill, slow and idempotent": (kill, "slow idempotent"),
    "kill, slow and keyed": (kill, "slow keyed"),
}
SHARES = {"keyed": 0.2, "slow idempotent": 0.4, "slow keyed": 0.2, "slow unkeyed": 0.4}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_no_request_fails_while_a_cluster_is_changed(tmp_path, name):
    """Users must not see a deployment, a drain or the loss of a node to which they are not connected."""
    act, kind = SCENARIOS[name]
    async with open_world(tmp_path) as world:
        seen = await under_load(world, act, kind, RATE * SHARES.get(kind, 1.0), before_s=0.5, after_s=1.0)
        assert seen.steady.requests > 50
        assert seen.steady.failures == [], logs(world)


async def test_what_was_under_way_on_a_killed_node_and_may_not_be_repeated_is_said_to_be_unknown(tmp_path):
    """Neither a second order nor a lie: 504 says that it may have happened. Everything else gets its answer."""
    async with open_world(tmp_path) as world:
        kind = "slow unkeyed"  # each takes half a second, so that some are on any node at any moment
        seen = await under_load(world, kill, kind, RATE * SHARES[kind], before_s=1.0, after_s=1.0)
        assert {status for status in seen.steady.statuses if not 200 <= status < 300} == {504}, seen.steady.failures
        assert seen.steady.failed <= 0.1 * RATE, seen.steady.failures


def logs(world):
    return "\n".join(f"{node}: {line}" for node, lines in world.lines.items() for line in lines[-40:])
