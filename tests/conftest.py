"""For all tests: what a property test measures is the property, never how fast the machine is at that moment.

What a test draws, and the order in which trio runs its tasks, follow from the seed that `--randomly-seed` names and
that every run prints: in virtual time a run that failed is had again by its seed.
"""

import pytest
import trio
from hypothesis import HealthCheck, settings

# The first text that is drawn in a fresh checkout builds a table for a second or two, and a busy machine does the rest.
settings.register_profile("aether", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What decides about a change draws the same every time: what fails there is of the change.
settings.register_profile("gate", settings.get_profile("aether"), derandomize=True, database=None)
settings.load_profile("aether")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin each test with the order of tasks that belongs to the seed and to its name."""
    seed = item.config.getoption("randomly_seed", None)
    if isinstance(seed, int):
        trio._core._run._r.seed(f"{seed} {item.nodeid}")
