"""The benchmark harness runs; how fast anything is, is not looked at here."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import NAMES
from benchmarks.consensus import PARTS, parse

from aether.testing.nemesis.namespaces import why_not

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
ROWS = {
    "startup": ["import aether", "idle node, of a core", "idle node, resident"],
    "cli": ["aether --help", "aether status, round trip", "completion of a command"],
    "bare_call": ["transport alone, one at a time, p50", "transport alone, 64 outstanding"],
    "tls": [
        "remote call under TLS, one at a time, p50, to plain",
        "remote calls under TLS, 64 outstanding, to plain",
    ],
    "streams": [
        "stream of small objects, items",
        "stream of small objects, beside bare",
        "stream of numbers, items",
        "slow reader of a stream, memory of the reader",
        "slow reader of a stream, memory of the sender",
    ],
    "calls": [
        "remote call, one at a time, p50",
        "remote calls, 64 outstanding",
        "co-located call",
        "co-located call with a context variable",
        "co-located call under a deadline",
        "co-located call, what it adds to a plain await",
        "loop over co-located calls, longest gap",
        "loop over co-located calls, longest gap on the clock",
    ],
    "workers": [
        "call into a worker process, p50, beside a bare socket pair",
        "call into a worker process, p50, beside a co-located one",
        "calls into a worker process, 64 outstanding, beside co-located ones",
        "calls that compute, two worker processes beside one",
    ],
    "http": [
        "HTTP server alone, by h11, to bare h11",
        "HTTP to a slice in another process, to a bare router",
    ],
    "snapshots": [
        "snapshot of 2,000 rows: longest stall while it is taken",
        "snapshot of 2,000 rows: longest stall of that, over a state",
        "snapshot of 2,000 rows: restart of a node to serving",
    ],
    "overload": [
        "3x overload by calls, goodput",
        "3x overload by calls, p99 of accepted",
        "3x overload by requests, goodput",
        "3x overload by requests, p99 of accepted",
        "1.5x overload of an edge, goodput",
    ],
    "replicated_log": ["replicated log alone, 256 outstanding"],
    "kv": [
        "durable kv write, 256 outstanding",
        "durable kv write, 256 outstanding, p99",
        "durable kv write, one at a time, p50",
    ],
    "reconcile": [
        "reconcile, 10 slices x 10 nodes x 100 instances, settled",
        "reconcile, 1,000 slices x 1,000 nodes x 10,000 instances, lost",
        "longest part of it, fresh",
        "longest stall of that turn, fresh",
    ],
    "figures": ["figures of 10 nodes x 50 methods, of a core per node"],
    "management": [
        "GET /status of a busy node, p50",
        "GET /status of a busy node, p99",
        "GET /status of a busy node, requests that failed",
    ],
    "consensus": [
        "writes, 256 outstanding, leader's process, to the limit",
        "writes, 5,000 outstanding, leader's process",
        "processor time of a follower, a write of many",
    ],
}


FEW = {  # Ray takes half a minute to start, and ten thousand connections are more than some machines allow
    "calls": ["--without", "ray"],
    "http": ["--only", "slice,remote", "--without", "ray,ray-proxy"],
}
PEERS = {"grpc.aio": "grpc", "rpyc": "rpyc"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100.0, check=False)


def test_every_benchmark_has_its_rows_listed_here() -> None:
    """A benchmark that is added without a smoke test rots unseen."""
    assert set(ROWS) == set(NAMES)


@pytest.mark.process
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_and_prints_each_of_its_rows(name: str) -> None:
    """A harness that nobody runs between releases must not be broken when the numbers are wanted."""
    done = run("--seconds", "0.05", "--rounds", "1", name, *FEW.get(name, []))
    assert done.returncode in (0, 1), done.stdout + done.stderr
    if name == "calls":
        check_peers(done)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["FIGURE", "OURS", "BARE", "RATIO", "GOAL"]
    for row in ROWS[name]:
        assert any(line.startswith(row + "  ") for line in lines), f"no row {row!r} in:\n{done.stdout}"


WANTED = {
    "deploy": (["--slices", "3", "--instances", "1", "--nodes", "3"], "3 slices x 1 on 3 processes: apply until all"),
    "updates": (["--rate", "50", "--only", "scale-down"], "scale-down: requests that failed"),
}


@pytest.mark.process
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", WANTED)
def test_a_benchmark_that_runs_only_when_it_is_named_runs(name: str) -> None:
    """They take many minutes when they are wanted, and must not be found broken then."""
    options, row = WANTED[name]
    done = run("--seconds", "0.5", "--rounds", "1", name, *options)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert row in done.stdout


def check_peers(done: subprocess.CompletedProcess[str]) -> None:
    """A peer has its row, or a line that says why not: nothing is left out unsaid."""
    for peer, module in PEERS.items():
        row = f"remote calls, 64 outstanding, to {peer}"
        if importlib.util.find_spec(module) is None:
            assert f"{peer} is left out: {module} is not installed" in done.stderr
        else:
            assert row in done.stdout, done.stdout + done.stderr


@pytest.mark.process
@pytest.mark.parametrize("name", ["calls", "http"])
def test_a_misspelt_peer_is_named_with_those_that_exist(name: str) -> None:
    """Else it would be measured although it was not wanted."""
    done = run(name, "--without", "rey")
    assert done.returncode == 2
    assert "no peer rey; there are" in done.stderr


@pytest.mark.process
@pytest.mark.timeout(150)
def test_the_faults_and_the_sizes_of_consensus_are_measured() -> None:
    """Parts that take an hour when they are wanted must not be found broken then."""
    parts = ["--only", "durability,failover,stopped,blocked,entries", "--runs", "1", "--block-seconds", "0.5"]
    few = ["--entries", "2000", "--live-keys", "500"]
    done = run("--seconds", "0.05", "--rounds", "1", "consensus", *parts, *few)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    for row in ("acknowledged writes lost", "kill -9 of the leader", "SIGSTOP of the leader", "2,000 writes over 500"):
        assert row in done.stdout, f"no row {row!r} in:\n{done.stdout}"
    assert "loop blocked 300 ms each second, leadership changes in 0.5 s" in done.stdout


@pytest.mark.process
@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_heartbeats_beside_megabytes_are_measured() -> None:
    """With a small state, so that it takes seconds."""
    done = run("--seconds", "0.05", "--rounds", "1", "consensus", "--only", "traffic", "--state-mib", "2")
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "heartbeat beside 2 MiB and bodies, p99, to a bare message" in done.stdout
    assert "leadership changes" in done.stdout


def test_only_some_have_options_of_their_own() -> None:
    """A misspelt option must not be taken for one of another benchmark."""
    done = run("kv", "--only", "writes")
    assert done.returncode == 2
    assert "--only writes: only one of consensus, http" in done.stderr


def test_a_loss_needs_nodes_that_stay() -> None:
    """Two nodes of which one is killed have no majority, and would be waited for for ever."""
    done = run("deploy", "--nodes", "2")
    assert done.returncode == 2
    assert "at least 3" in done.stderr


def test_an_unknown_part_of_consensus_is_named_with_those_that_exist() -> None:
    """Else a run that took an hour would lack what it was made for."""
    with pytest.raises(SystemExit):
        parse(["--only", "writes,speed"])
    assert parse(["--only", "reads,writes"]).only == ("reads", "writes")
    assert parse(["--only", "all"]).only == PARTS


def test_an_unknown_benchmark_is_named_with_those_that_exist() -> None:
    """A misspelt name must not pass for a run without misses."""
    done = run("speed")
    assert done.returncode == 2
    assert "no benchmark speed" in done.stderr
    assert "replicated_log" in done.stderr
