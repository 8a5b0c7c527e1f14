"""Seeds of every plot, the promise that a seed can be replayed, and that the faults really happen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from aether.kv.sessions import Session
from aether.testing.simulation import run
from aether.testing.simulation.plots import PLOTS, lying, mixed
from aether.testing.simulation.store_machine import StoreMachine

STEPS = 2_500
BATCH = 20
SEEDS = 300  # as the seeds draw their plots: most are mixtures
EACH_PLOT = 25  # of those plots that the seeds draw less often; 500 seeds in all


def assert_all_rules_hold(report):
    assert report.violation is None, f"{report}\n" + "\n".join(report.trace.lines(30))


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_all_rules_hold_under_faults_and_a_healed_core_serves(first):
    """Invariants I1 to I12 after every event, whatever comes together in a seed."""
    for seed in range(first, first + BATCH):
        assert_all_rules_hold(run(seed, STEPS))


@pytest.mark.parametrize("plot", sorted(PLOTS.keys() - {"mixed"}))
def test_all_rules_hold_in_every_plot(plot):
    """Rare paths of Raft, walked often: half a snapshot, a lost vote, a torn record, a removed leader."""
    for seed in range(10_000, 10_000 + EACH_PLOT):
        assert_all_rules_hold(run(seed, STEPS, plot=plot))


def test_the_seeds_reach_what_they_are_meant_to_reach():
    """A simulator that never crashes a node or installs a snapshot checks nothing: faults must really happen."""
    total: Counter[str] = Counter()
    for seed in range(40):
        total.update(run(seed, 1_500).counts)
    wanted = {
        *("crashes", "lost", "partitions", "clogs", "overflown", "pauses", "clock steps"),
        *("stalls", "eio", "full disks", "rotten", "refused"),
        *("restores", "snapshots", "acknowledged", "leaders", "transfers", "member changes"),
        *("reads", "reads refused"),
    }
    assert not {name for name in wanted if not total[name]}, total
    assert total["acknowledged"] > 1_000
    assert total["leaders"] > 80
    assert total["reads"] > 500


@pytest.mark.parametrize("plot", ["rotting", "changing"])
def test_a_plot_reaches_what_it_is_about(plot):
    """Damage that is refused, a node that is replaced: counted, not hoped for."""
    total: Counter[str] = Counter()
    for seed in range(20):
        total.update(run(seed, STEPS, plot=plot).counts)
    assert total[{"rotting": "refused", "changing": "member changes"}[plot]] > 5


def test_a_disk_that_lies_is_flagged():
    """No correct system survives a sync that does not sync: a checker that says all is well would be blind."""
    found = [run(seed, STEPS, faults=lying(seed)).violation for seed in range(10)]
    assert all(found), found


def test_one_seed_gives_one_trace():
    """A failing seed is only worth something when it fails again."""
    first, second = run(7, 1_000), run(7, 1_000)
    assert first.trace_hash == second.trace_hash
    assert first.counts == second.counts
    assert len(first.trace) > 500
    assert run(8, 1_000).trace_hash != first.trace_hash


DETERMINISM = """
import sys
from aether.testing.simulation import run
for text in sys.argv[1:]:
    plot, seed = text.split(":")
    print(run(int(seed), 1500, plot=plot).trace_hash)
"""


@pytest.mark.process
def test_the_trace_does_not_depend_on_the_hash_seed_of_the_process():
    """Sets and dicts of strings are ordered differently in every process; no decision may follow that order."""
    seeds = [f"{plot}:{seed}" for plot in PLOTS for seed in (11, 12)]
    outputs = []
    for hash_seed in ("0", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", DETERMINISM, *seeds]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=55)
        outputs.append(done.stdout.splitlines())
    assert len(set(outputs[0])) == len(seeds)
    different = [seed for seed, one, other in zip(seeds, *outputs, strict=True) if one != other]
    assert not different


def test_the_faults_of_a_seed_are_drawn_once():
    """Rates belong to the seed, not to the moment: else a shorter run would be another run."""
    assert mixed(3) == mixed(3)
    assert len({mixed(seed).nodes for seed in range(60)}) >= 4


def test_a_fault_left_out_shifts_no_other_in_time():
    """Shrinking relies on it: chaos strikes by the clock and has dice of its own for each kind."""
    whole = run(5, 2_000, plot="restarting")
    timed = [name for name in whole.struck if name.startswith("crash#")]
    fewer = run(5, 2_000, plot="restarting", only=set(whole.struck) - {timed[0]})
    assert [name for name in fewer.struck if name.startswith("crash#")][:3] == timed[1:4]


@pytest.mark.parametrize("first", range(1_000, 1_030, 10))
def test_the_real_store_executes_each_request_once_under_faults(first):
    """The store's own sessions, snapshots and hashes in place of the simulator's: what users get is simulated."""
    for seed in range(first, first + 10):
        assert_all_rules_hold(run(seed, 2_000, machine=StoreMachine))


def test_a_store_that_forgets_its_sessions_is_found(monkeypatch):
    """The simulation above must be able to fail."""
    monkeypatch.setattr(Session, "known", lambda self, sequence: None)
    reports = (run(seed, 2_000, machine=StoreMachine) for seed in range(1_000, 1_030))
    assert any("Exactly once" in (report.violation or "") for report in reports)
