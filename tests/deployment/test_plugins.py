"""Managers and placements by name: ours, and those that other distributions register."""

import importlib.metadata

import pytest
import trio

from aether.deployment import plugins
from aether.deployment.idle_manager import IdleNodeManager
from aether.deployment.placement import least_loaded, spread
from aether.deployment.plugins import BUILT_IN, load_plugin
from aether.errors import BadInput, NotFound
from aether.model.ids import InstanceId


def registered(monkeypatch, *points):
    found = importlib.metadata.EntryPoints(
        importlib.metadata.EntryPoint(name, value, plugins.PLACEMENT) for name, value in points
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found.select(group=group))


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, names in BUILT_IN.items() for name in names])
def test_every_built_in_name_loads(group, name):
    """A name in the table that does not import would be found by the first user."""
    assert callable(load_plugin(group, name))


def test_placements_are_found_by_name():
    """Configuration files know names, not functions."""
    assert load_plugin("aether.placement", "spread") is spread
    assert load_plugin("aether.placement", "least_loaded") is least_loaded


def test_another_distribution_may_register_its_own(monkeypatch):
    """A scheduler of one's own needs no change here."""
    registered(monkeypatch, ("rack_aware", "aether.deployment.placement:least_loaded"))

    assert load_plugin(plugins.PLACEMENT, "rack_aware") is least_loaded


def test_a_built_in_name_cannot_be_taken_over(monkeypatch):
    """Installing a package must not change where instances go."""
    registered(monkeypatch, ("spread", "aether.deployment.placement:least_loaded"))

    assert load_plugin(plugins.PLACEMENT, "spread") is spread


def test_a_name_that_two_distributions_claim_is_refused(monkeypatch):
    """Which one runs must not depend on the order of installation."""
    registered(monkeypatch, ("mine", "a:b"), ("mine", "c:d"))

    with pytest.raises(BadInput, match="several distributions register 'mine'"):
        load_plugin(plugins.PLACEMENT, "mine")


def test_an_unknown_name_lists_the_known_ones(monkeypatch):
    """Those of other distributions too."""
    registered(monkeypatch, ("rack_aware", "a:b"))

    with pytest.raises(NotFound, match="known names: bin_pack, least_loaded, pinned, rack_aware, round_robin, spread"):
        load_plugin(plugins.PLACEMENT, "spraed")


async def test_an_idle_node_manager_runs_and_does_nothing(autojump_clock):
    """It fits the same place as the real one, and leaves the store alone: it is given none."""
    manager = IdleNodeManager(object(), wall=None)
    with trio.move_on_after(100) as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(manager.run)
            manager.instance_crashed(InstanceId("x"), ValueError())
            manager.instance_waits(InstanceId("x"), "")

    assert scope.cancelled_caught
