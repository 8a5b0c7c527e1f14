"""The wall clock of the leader is set an hour forward and back while an update holds and tokens are used."""

import os
import time
from pathlib import Path

import pytest
from tests.e2e.hard_world import SOON_S, Hard, long

from aether.forge.polling import until
from aether.testing.trees import shop_tree

pytestmark = [pytest.mark.process, pytest.mark.timeout(240), long]

CLOCK = Path(__file__).parent / "apps" / "clock"
HOUR_S = 3600
HOLD_S = 4
BLUEPRINT = '[[slices]]\nartifact = "e2e:shop:1.0.0"\ninstances = 3\n'


def wrong_by(file, seconds):
    """Whole, at once: it is read all the time."""
    aside = file.with_suffix(".aside")
    aside.write_text(str(seconds))
    aside.rename(file)


async def test_a_clock_that_jumps_an_hour_shortens_no_hold_ends_no_token_and_stops_nothing(open_cluster, tmp_path):
    slices, clock = tmp_path / "slices", tmp_path / "clock"
    slices.mkdir()
    shop_tree(slices, "1.0.0")
    shop_tree(slices, "1.1.0")
    wrong_by(clock, 0)
    options = {"apps": (), "arguments": ("--slices", str(slices))}
    path = os.pathsep.join([str(CLOCK), os.environ.get("PYTHONPATH", "")])
    environment = {
        "PYTHONPATH": path,
        "AETHER_TEST_CLOCK": str(tmp_path / "right"),
    }
    wrong_by(tmp_path / "right", 0)
    async with open_cluster(**options, environment=environment) as running:
        await running.ready()
        hard = Hard(running)
        await hard.leave("node-1")
        await hard.restart("node-1", {"AETHER_TEST_CLOCK": str(clock)})
        await hard.hand_over("node-1")
        await running.offered("e2e:shop:1.0.0", "e2e:shop:1.1.0")
        await running.console.post("node-1", "/blueprint?wait=30", text='id = "shop"\n' + BLUEPRINT)
        term = (await running.console.get("node-2", "/status"))["term"]
        made = await running.console.post(
            "node-1", "/tokens", body={"role": "operator", "name": "t", "lifeSeconds": 600}
        )

        plan = {"artifact": "e2e:shop:1.1.0", "strategy": "canary", "steps": [50], "holdS": HOLD_S}
        await running.console.post("node-2", "/rollouts/start", body=plan)
        await state(running, "VALIDATING")
        began_s = time.monotonic()
        for seconds in (HOUR_S, -HOUR_S):
            wrong_by(clock, seconds)
            assert (await running.console.get("node-1", "/kv?limit=1"))["rows"]
            for node in ("node-2", "node-3"):
                assert await asked(running, node, made["token"]) == 200
        await state(running, "COMPLETED")
        assert time.monotonic() - began_s >= HOLD_S - 1
        wrong_by(clock, 0)
        assert await asked(running, "node-1", made["token"]) == 200
        answers = [
            (await running.client.get(f"{running.http(n)}/shop/version")).json() for n in running.processes.ports
        ]
        assert answers == ["1.1.0"] * 3
        status = await running.console.get("node-2", "/status")
        assert (status["term"], status["leader"]) == (term, "node-1")
        hard.assert_no_defect()


async def state(running, wanted):
    """As the node sees it that began the update: another one may not have heard of it yet."""

    async def reached():
        return (await running.console.get("node-2", "/rollouts/e2e:shop"))["state"] == wanted

    await until(reached, SOON_S, f"the update is {wanted}")


async def asked(running, node, token):
    """The status of a change that needs the token."""
    url = running.processes.ports[node].management_url + "/kv/put"
    body = {"key": "maps/clock/x", "value": "1"}
    return (await running.client.post(url, json=body, headers={"Authorization": f"Bearer {token}"})).status_code
