"""The map of the house names what is there: every manager is in the table of tasks, and every module exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/design/architecture.md").read_text()
TASKS = TEXT.partition("## Tasks")[2]
SOURCE = ROOT / "src/aether"
NOT_TASKS = {"manual_manager", "idle_manager"}  # other decisions in the loop of a manager, and a loop that does nothing
UNNAMED = {"cluster_manager": "cluster deployment manager", "node_manager": "node deployment manager"}

MANAGERS = sorted(path.stem for path in SOURCE.glob("*/*_manager.py") if path.stem not in NOT_TASKS)


@pytest.mark.parametrize("name", MANAGERS)
def test_every_manager_is_in_the_table_of_tasks(name):
    assert UNNAMED.get(name, f"/{name}.py`") in TASKS


def test_every_module_that_is_named_exists():
    named = re.findall(r"`(?:aether/)?([a-z_]+/[a-z_]+\.py)`", TEXT)

    assert len(named) > 20
    assert [each for each in named if not (SOURCE / each).exists()] == []
