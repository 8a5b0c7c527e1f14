"""The scenarios of tests/scenarios on real processes: the ordinary ones, or all with AETHER_SCENARIOS=all."""

import os

import pytest
import trio
from tests.scenarios.process_world import open_world
from tests.scenarios.registry import all_scenarios

CHOSEN = [each for each in all_scenarios() if each.ordinary or os.environ.get("AETHER_SCENARIOS") == "all"]
OPENING_S = 90.0


@pytest.mark.process
@pytest.mark.parametrize(
    "scenario", [pytest.param(s, id=s.name, marks=pytest.mark.timeout(s.within_s + OPENING_S)) for s in CHOSEN]
)
async def test_on_processes(tmp_path, scenario):
    async with open_world(scenario, tmp_path) as world:
        with trio.fail_after(scenario.within_s):
            await scenario.body(world)
