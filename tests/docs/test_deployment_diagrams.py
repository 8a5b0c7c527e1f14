"""The state diagrams of the deployment page are the tables."""

import re
from pathlib import Path

import pytest

from aether.model.duty import NEXT_DUTY, Duty
from aether.model.lifecycle import NEXT, SliceState
from aether.model.rollout import NEXT_ROLLOUT, RolloutState

PAGE = Path(__file__).parents[2] / "docs" / "design" / "deployment.md"
FIRST = {"Instance": SliceState.LOAD, "Node": Duty.JOINING, "Update": RolloutState.PENDING}
TABLES = {"Instance": NEXT, "Node": NEXT_DUTY, "Update": NEXT_ROLLOUT}
GONE = {"Instance": {SliceState.UNLOADING}, "Node": {Duty.SHUTTING_DOWN}, "Update": set()}


def diagram(name):
    """One table as mermaid text, states in the order in which they are declared."""
    table = TABLES[name]
    lines = ["stateDiagram-v2", f"    [*] --> {FIRST[name]}"]
    for state in type(FIRST[name]):
        lines += [f"    {state} --> {after}" for after in type(state) if after in table[state]]
        if not table[state] or state in GONE[name]:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", TABLES)
def test_a_diagram_shows_its_table(name):
    """A picture that is drawn by hand is wrong after the next change."""
    found = re.search(rf"^## {name}\n+```mermaid\n(.*?)^```", PAGE.read_text(), re.M | re.S)

    assert found is not None
    assert found[1] == diagram(name), f"put this there:\n{diagram(name)}"
