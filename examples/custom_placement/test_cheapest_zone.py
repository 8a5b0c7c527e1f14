"""A strategy is a function of one candidate: no cluster is needed to test it."""

import pytest
from cheapest_zone import CheapestZone, read_prices

from aether.deployment.placement import Candidate
from aether.model.ids import NodeId

RANK = CheapestZone({"spot": 3, "reserved": 8})


def candidate(node, zone, same=0, load=0):
    return Candidate(node=NodeId(node), same=same, load=load, labels={"zone": zone})


def test_the_cheapest_zone_is_filled_first_and_evenly():
    candidates = [
        candidate("a", "reserved"),
        candidate("b", "spot", same=1),
        candidate("c", "spot"),
        candidate("d", "somewhere"),
    ]

    assert [each.node for each in sorted(candidates, key=RANK)] == ["c", "b", "a", "d"]


def test_prices_are_read_from_text():
    assert read_prices("spot=3, reserved=8") == {"spot": 3, "reserved": 8}
    with pytest.raises(ValueError, match="cheap"):
        read_prices("spot=cheap")
