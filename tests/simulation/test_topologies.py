"""Partial connectivity that lasts: each shape has a leader that can commit, and must find and keep it."""

from __future__ import annotations

import pytest

from aether.testing.simulation.topologies import TOPOLOGIES, WEDGED, watch


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_cluster_in_pieces_serves_within_ten_election_time_outs_and_settles(name, seed):
    """Omni-Paxos' three topologies, and links that carry one way: no wedge, no endless change of leaders."""
    seen = watch(TOPOLOGIES[name], seed)
    assert seen.leads_after_us is not None, seen
    assert seen.changes <= 2, seen
    assert seen.terms <= 5, seen
    assert seen.committed > 40, seen


@pytest.mark.parametrize("seed", range(2))
def test_where_raft_can_elect_nobody_it_at_least_stays_quiet(seed):
    """Who sees a quorum lacks an entry, who has it sees no quorum: nobody leads until a link is back, no term rises."""
    seen = watch(WEDGED, seed)
    assert seen.leads_after_us is None, seen
    assert seen.terms <= 1, seen
