"""Lease reads in the simulator: clocks at their bounds give no stale read, and a lease that is too long is noticed."""

import pytest

from aether.testing.simulation.runner import run

STEPS = 6_000


@pytest.mark.parametrize("seed", range(4))
def test_reads_under_a_lease_are_linearizable(seed):
    """With partitions, pauses, transfers, restarts and hunted leaders; and leases are what answers."""
    report = run(seed, STEPS, plot="leasing")
    assert report.violation is None
    assert report.counts["reads under a lease"] > 20


def test_a_lease_that_outlives_the_promise_is_noticed(monkeypatch):
    """B11, as in three libraries: longer than an election takes. A checker that saw nothing would be blind."""
    monkeypatch.setattr("aether.testing.simulation.node.lease_s", lambda ticks, tick_s: 3 * ticks * tick_s)
    found = (run(seed, STEPS, plot="leasing").rule for seed in range(30))
    assert any("Stale read" in rule for rule in found)
