"""The example plugin as an installed distribution, and the how-to that shows it."""

import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

import aether
from aether.deployment.placement import Candidate
from aether.deployment.plugins import PLACEMENT, load_plugin
from aether.errors import NotFound
from aether.model.ids import NodeId

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "custom_placement"
PAGE = (ROOT / "docs" / "howto" / "write-a-plugin.md").read_text()
LISTINGS = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', PAGE, flags=re.M | re.S))


@aether.slice(artifact="zones:greeter:1.0.0")
class Greeter:
    async def greet(self) -> str:
        return "hello"


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """The example as `pip install` leaves it: its module, and its entry points in the metadata."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    metadata = tmp_path / f"cheapest_zone-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in points.items()) for group, points in groups]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    (tmp_path / "cheapest_zone.py").write_text((EXAMPLE / "cheapest_zone.py").read_text())
    monkeypatch.setenv("ZONE_PRICES", "spot=3,reserved=8")
    monkeypatch.delitem(sys.modules, "cheapest_zone", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("cheapest_zone", None)


def test_the_strategy_is_found_by_its_name_once_it_is_installed(installed):
    strategy = load_plugin(PLACEMENT, "cheapest_zone")

    spot = Candidate(node=NodeId("a"), same=5, load=9, labels={"zone": "spot"})
    reserved = Candidate(node=NodeId("b"), same=0, load=0, labels={"zone": "reserved"})
    assert min(reserved, spot, key=strategy) is spot


def test_it_is_unknown_before():
    with pytest.raises(NotFound, match="known names: bin_pack"):
        load_plugin(PLACEMENT, "cheapest_zone")


async def test_a_node_places_by_it(installed):
    async with aether.Cluster.open(Greeter, placement="cheapest_zone", zone="spot") as cluster:
        assert await cluster.get(Greeter).greet() == "hello"


def test_the_listings_of_the_how_to_do_what_it_says(monkeypatch, tmp_path):
    assert LISTINGS["pyproject.toml"].strip() in (EXAMPLE / "pyproject.toml").read_text()
    (tmp_path / "cheapest.py").write_text(LISTINGS["cheapest.py"])
    monkeypatch.syspath_prepend(str(tmp_path))
    test = {}
    exec(compile(LISTINGS["test_cheapest.py"], "test_cheapest.py", "exec"), test)
    test["test_the_cheapest_zone_comes_first"]()
    sys.modules.pop("cheapest")


def test_every_built_in_name_is_on_the_page():
    from aether.deployment.plugins import BUILT_IN

    for group, names in BUILT_IN.items():
        assert f"`{group}`" in PAGE
        for name in names:
            assert f"`{name}`" in PAGE
