"""Each strategy by what it prefers."""

import pytest

from aether.deployment.placement import Candidate, bin_pack, least_loaded, pinned, round_robin, spread
from aether.model.ids import NodeId

CASES = {
    spread: ({"same": 0, "load": 9}, {"same": 1, "load": 0}),
    least_loaded: ({"same": 1, "load": 0}, {"same": 0, "load": 9}),
    round_robin: ({"same": 3, "load": 9, "turn": 4}, {"same": 0, "load": 0, "turn": 7}),
    bin_pack: ({"same": 3, "load": 9}, {"same": 0, "load": 1}),
    pinned: ({"same": 3, "load": 9, "order": 0}, {"same": 0, "load": 0, "order": 1}),
}


@pytest.mark.parametrize("strategy", CASES, ids=lambda s: s.__name__)
def test_the_better_candidate_has_the_lower_rank(strategy):
    better, worse = CASES[strategy]

    assert strategy(Candidate(node=NodeId("b"), **better)) < strategy(Candidate(node=NodeId("a"), **worse))
