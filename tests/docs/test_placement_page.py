"""The listings of the placement page work as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from aether.deployment.plugins import BUILT_IN, PLACEMENT
from aether.model.blueprint_toml import parse_blueprint

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "placement.md").read_text()


def test_the_blueprint_is_valid_and_says_what_the_page_says():
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.M | re.S)

    (wish,) = parse_blueprint(f'id = "page"\n{text}', "page").slices

    assert (wish.max_per_node, wish.min_available) == (2, "60%")
    assert (wish.placing.spread, wish.placing.kind, wish.placing.labels) == ("zone", "workers", {"disk": "ssd"})


@pytest.mark.process
def test_the_strategy_of_one_s_own_runs(tmp_path):
    listings = re.findall(r'^```python title="([^"]+)"\n(.*?)^```', PAGE, flags=re.M | re.S)
    for name, text in listings:
        (tmp_path / name).write_text(text)

    assert [name for name, _ in listings] == ["quiet.py", "test_quiet.py"]
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:randomly"], cwd=tmp_path, check=True, timeout=60)


def test_every_strategy_is_on_the_page():
    named = re.findall(r"^\| `(\w+)` \| the", PAGE, flags=re.M)

    assert sorted(named) == sorted(BUILT_IN[PLACEMENT])
