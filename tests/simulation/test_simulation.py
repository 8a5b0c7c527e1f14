"""Two hundred seeds of faults, and the promise that a seed can be replayed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from aether.kv.sessions import Session
from aether.testing.simulation import run
from aether.testing.simulation.faults import Faults
from aether.testing.simulation.store_machine import StoreMachine

SEEDS = 200
BATCH = 20


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_all_rules_hold_under_faults_and_the_cluster_heals(first):
    """The paper's five properties, durable votes, exactly-once sessions, fresh reads, and liveness after healing."""
    for seed in range(first, first + BATCH):
        report = run(seed, 2_500)
        assert report.violation is None, f"{report}\n" + "\n".join(report.trace[-30:])


@pytest.mark.parametrize("first", range(0, 60, BATCH))
def test_all_rules_hold_while_snapshots_travel_and_nodes_crash(first):
    """Half a snapshot, one that is not durable yet, one of an earlier leader: rare paths of Raft, walked often."""
    restores = 0
    for seed in range(first, first + BATCH):
        report = run(seed, 2_500, faults=Faults.installing(seed))
        assert report.violation is None, f"{report}\n" + "\n".join(report.trace[-30:])
        restores += report.counts.get("restores", 0)
    assert restores > 2 * BATCH


def test_the_seeds_reach_what_they_are_meant_to_reach():
    """A simulator that never crashes a node or installs a snapshot checks nothing: faults must really happen."""
    total: dict[str, int] = {}
    for seed in range(40):
        for name, count in run(seed, 1_500).counts.items():
            total[name] = total.get(name, 0) + count
    wanted = {
        "crashes",
        "lost",
        "partitions",
        "pauses",
        "restores",
        "snapshots",
        "acknowledged",
        "leaders",
        "transfers",
        "reads",
        "reads refused",
    }
    assert not {name for name in wanted if not total.get(name)}, total
    assert total["acknowledged"] > 1_000
    assert total["leaders"] > 80
    assert total["reads"] > 500


def test_one_seed_gives_one_trace():
    """A failing seed is only worth something when it fails again."""
    first, second = run(7, 1_000), run(7, 1_000)
    assert first == second
    assert len(first.trace) > 500
    assert run(8, 1_000).trace_hash != first.trace_hash


@pytest.mark.process
def test_the_trace_does_not_depend_on_the_hash_seed_of_the_process():
    """Sets and dicts of strings are ordered differently in every process; no decision may follow that order."""
    command = [sys.executable, "-m", "aether.testing.simulation", "--seed", "11", "--steps", "1500", "--quiet"]
    hashes = set()
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=50)
        hashes.add(done.stdout.splitlines()[-1])
    assert len(hashes) == 1
    assert len(hashes.pop()) == 64


def test_the_faults_of_a_seed_are_drawn_once():
    """Rates belong to the seed, not to the moment: else a shorter run would be another run."""
    assert Faults.draw(3) == Faults.draw(3)
    assert len({Faults.draw(seed).nodes for seed in range(60)}) >= 4


@pytest.mark.parametrize("first", range(1_000, 1_030, 10))
def test_the_real_store_executes_each_request_once_under_faults(first):
    """The store's own sessions, snapshots and hashes in place of the simulator's: what users get is simulated."""
    for seed in range(first, first + 10):
        report = run(seed, 2_000, machine=StoreMachine)
        assert report.violation is None, f"{report}\n" + "\n".join(report.trace[-30:])


def test_a_store_that_forgets_its_sessions_is_found(monkeypatch):
    """The simulation above must be able to fail."""
    monkeypatch.setattr(Session, "known", lambda self, sequence: None)
    reports = (run(seed, 2_000, machine=StoreMachine) for seed in range(1_000, 1_030))
    assert any("Exactly once" in (report.violation or "") for report in reports)
