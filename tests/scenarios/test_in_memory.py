"""Every scenario on whole nodes in memory, in virtual time. AETHER_SCENARIO_SEED is the seed of everything random."""

import logging
import os

import pytest
import trio
import trio.testing
from tests.scenarios.memory_world import memory_world
from tests.scenarios.registry import COUNTS, Scenario, all_scenarios

SEED = int(os.environ.get("AETHER_SCENARIO_SEED", "0"))


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.name) for each in all_scenarios()])
def test_in_memory(scenario: Scenario, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aether")  # of all nodes: pytest shows it beside a failure

    async def play() -> None:
        async with memory_world(scenario, seed=SEED) as world:
            with trio.move_on_after(scenario.within_s) as limit:
                await scenario.body(world)
            assert not limit.cancelled_caught, f"{scenario.name} takes more than {scenario.within_s:g} s"

    trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))


def test_all_scenarios_are_here() -> None:
    """As many of each class as the suite promises, each with a sentence that says what it proves."""
    found = [each.name.partition(".")[0] for each in all_scenarios()]
    assert {kind: found.count(kind) for kind in sorted(set(found))} == COUNTS
    assert all(len(each.proves) > 40 for each in all_scenarios())
