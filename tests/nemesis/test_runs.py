"""Real nodes under real faults: nothing acknowledged is lost, every read is fresh, and a broken reader is found."""

import time

import pytest

from aether.testing.nemesis.namespaces import why_not
from aether.testing.nemesis.run import NemesisPlan, run_nemesis

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]


async def run(plan, folder):
    said = []
    report = await run_nemesis(plan, folder, said.append)
    print(*said, report, sep="\n")
    return report


def seed():
    """Another one each time; it is printed with the plan, so that a failure can be repeated."""
    return int(time.time())


async def test_three_nodes_keep_every_promise_under_all_faults(tmp_path):
    report = await run(NemesisPlan(seconds=60, seed=seed(), faults_min=3), tmp_path)

    assert report.exit_code == 0, report
    assert len(report.suffered) >= 3


async def test_five_nodes_keep_every_promise_under_partial_connectivity(tmp_path):
    faults = ("bridge", "bridged-by-leader", "ring", "halves", "kill-leader", "stutter")
    report = await run(NemesisPlan(nodes=5, seconds=40, seed=seed(), faults=faults, faults_min=2), tmp_path)

    assert report.exit_code == 0, report
    assert len(report.suffered) >= 2


@pytest.mark.skipif(bool(why_not()), reason=f"network namespaces: {why_not()}")
async def test_three_nodes_keep_every_promise_when_the_kernel_cuts_and_slows_them(tmp_path):
    faults = ("isolate-leader", "mute-leader", "bridge", "tbf", "full-disk")
    report = await run(NemesisPlan(seconds=60, seed=seed(), faults=faults, faults_min=2, in_namespaces=True), tmp_path)

    assert report.exit_code == 0, report
    assert len(report.suffered) >= 2


async def test_orders_are_placed_once_and_never_lost_under_all_faults(tmp_path):
    """Over HTTP and typed calls: each order's history has an order, and the rows of all nodes agree with it."""
    faults = ("kill-leader", "kill-one", "stop-leader", "isolate-leader", "one-way-pair", "wall-clock", "suspended")
    plan = NemesisPlan(seconds=45, seed=seed(), rate=30, workload="orders", faults=faults, faults_min=3)
    report = await run(plan, tmp_path)

    assert report.exit_code == 0, report
    assert len(report.suffered) >= 3


async def test_reads_from_a_follower_s_own_copy_are_found_to_be_stale(tmp_path):
    """The harness itself is tested: a reader that is broken on purpose must not pass."""
    plan = NemesisPlan(seconds=12, faults=("deaf-follower", "slow"), reads_locally=True)
    report = await run(plan, tmp_path)

    assert report.exit_code == 1
    assert any("not linearizable" in violation for violation in report.violations)
    assert not report.harness
