"""The work of a leader does not grow with the workers: counted in messages and bytes, which no busy machine moves."""

import pytest
from benchmarks.wide import run

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]  # whichever test comes first waits for all figures


@pytest.fixture(scope="module")
def found():
    return {nodes: run(nodes, 2.0, pause_s=1.0) for nodes in (20, 40)}


@pytest.mark.parametrize("what", ["sent_bytes", "sent_frames", "received_bytes", "received_frames", "steps"])
def test_twice_the_nodes_cost_the_leader_hardly_more(found, what):
    """Each worker that the leader hears or writes to by itself shows here at once."""
    few, many = found[20], found[40]
    assert many.per_second(what) <= 1.25 * few.per_second(what)
    assert many.per_entry(what) <= 1.25 * few.per_entry(what)


def test_a_wide_cluster_deploys_and_heals(found):
    """Virtual seconds: what the nodes wait for, not what the machine needs."""
    for one in found.values():
        assert one.deployed_s <= 5.0
        assert one.healed_s <= 5.0
