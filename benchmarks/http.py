"""HTTP: our server and whole nodes beside uvicorn, bare h11 and bare routers, in turns, in one run.

    python -m benchmarks http [--only slice,remote,idle,slow] [--without ray,...]
    python -m benchmarks.http [--servers bare,handler,...] [--seconds 3] [--rounds 3]

Each server is a process of its own (`benchmarks.http_servers`), the client is wrk where it is installed. The second
form prints every server, with the CPU time of a request, which depends little on what else the machine does (Ray's many
processes are not followed). Parts:

slice   32 keep-alive connections, POST JSON, to a slice in the node, beside Starlette and FastAPI on uvicorn
remote  the same to a slice in another process, beside a bare router with a bare call, and Ray Serve in its fast modes
idle    10,000 connections that ask nothing: memory of the node, and what the others notice
slow    1,000 connections that send a byte a second: what a good client notices

A server whose packages are not installed is named on standard error, and its rows are left out: the dependency group
`bench` has them all.
"""

from __future__ import annotations

import argparse
import functools
import select
import statistics
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import psutil

from benchmarks.call_peers import stop_tree
from benchmarks.figure import Figure, Goal
from benchmarks.http_load import Measured, crowd, measure
from benchmarks.http_servers import OTHERS, OURS, PEERS, lacks

CONNECTIONS, IDLE, SLOW = 32, 10_000, 1_000
IDLE_MIB_MAX = 300.0
START_S_MAX = 120.0
RAY_TITLES = {"ray": "throughput mode", "ray-proxy": "HAProxy mode"}
RAY = tuple(RAY_TITLES)
PARTS = ("slice", "remote", "idle", "slow")
Found = dict[str, list[Measured]]


@contextmanager
def served(name: str) -> Iterator[tuple[psutil.Process, str]]:
    """The server `name` as a process, and its address."""
    command = [sys.executable, "-m", "benchmarks.http_servers", name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        ready, _, _ = select.select([process.stdout], [], [], START_S_MAX)
        address = process.stdout.readline().strip() if ready else ""
        if not address:
            raise RuntimeError(f"it did not start: python -m benchmarks.http_servers {name} says why")
        yield psutil.Process(process.pid), address
    finally:
        stop_tree(process)
        process.stdout.close()


def compare(names: Sequence[str], seconds: float, rounds: int) -> Found:
    """Every server, in turns: what disturbs the machine disturbs all alike. One that fails is named and left out."""
    found: Found = {}
    missing = {name: modules for name in names if (modules := lacks(name))}
    for name, modules in missing.items():
        print(f"{name} is left out: {', '.join(modules)} not installed", file=sys.stderr, flush=True)
    for _ in range(rounds):
        for name in [each for each in names if each not in missing]:
            try:
                with served(name) as (process, address):
                    measured = measure(address, CONNECTIONS, seconds, None if name in RAY else process)
                found.setdefault(name, []).append(measured)
            except RuntimeError as error:
                print(f"{name}: {error}", file=sys.stderr)
    return found


def median(found: Found, name: str, field: str) -> float:
    return statistics.median(getattr(measured, field) for measured in found[name])


def _row(title: str, found: Found, ours: str, peer: str, goal: float | None = None) -> list[Figure]:
    """Rates of two servers, or nothing when one of them is not there."""
    if ours not in found or peer not in found:
        return []
    limit = None if goal is None else Goal(goal, at_least=True)
    return [Figure(title, "/s", median(found, ours, "rate"), median(found, peer, "rate"), limit)]


def slice_part(seconds: float, rounds: int, without: Collection[str] = ()) -> list[Figure]:
    names = ("node", "starlette", "fastapi", "handler", "h11", "bare")
    found = compare([name for name in names if name not in without], seconds, rounds)
    rows = [
        *_row("HTTP to a local slice, to Starlette on uvicorn", found, "node", "starlette", 1.0),
        *_row("HTTP to a local slice, to FastAPI on uvicorn", found, "node", "fastapi", 2.3),
        *_row("HTTP server alone, to Starlette on uvicorn", found, "handler", "starlette"),
        *_row("HTTP server alone, by h11, to bare h11", found, "h11", "bare", 0.7),
    ]
    if "starlette" in found:
        p99_ms = (median(found, name, "p99_ms") for name in ("node", "starlette"))
        rows.append(Figure("HTTP to a local slice, p99, to Starlette on uvicorn", "ms", *p99_ms))
    return rows


def remote_part(seconds: float, rounds: int, without: Collection[str] = ()) -> list[Figure]:
    found = compare(("edge", "router", *(name for name in RAY if name not in without)), seconds, rounds)
    rows = _row("HTTP to a slice in another process, to a bare router", found, "edge", "router", 0.4)
    for name, mode in RAY_TITLES.items():
        rows += _row(f"HTTP to a slice in another process, to Ray Serve, {mode}", found, "edge", name, 25.0)
    return rows


def idle_part(seconds: float, rounds: int) -> list[Figure]:
    alone, beside, memory = [], [], 0.0
    with served("node") as (process, address):
        empty = _mib(process)
        for _ in range(rounds):
            alone.append(measure(address, CONNECTIONS, seconds))
            with crowd("idle", address, IDLE):
                beside.append(measure(address, CONNECTIONS, seconds))
                memory = max(memory, _mib(process))
                if process.num_fds() < IDLE:
                    raise RuntimeError(f"the node holds {process.num_fds()} files: raise the limit (ulimit -Hn 20000)")
    p99_ms = [statistics.median(measured.p99_ms for measured in each) for each in (beside, alone)]
    limit = Goal(IDLE_MIB_MAX, is_ratio=False)
    return [
        Figure(f"memory of a node with {IDLE:,} idle connections, to the empty node", "MiB", memory, empty, limit),
        Figure(f"HTTP p99 beside {IDLE:,} idle connections, to none", "ms", *p99_ms, Goal(1.25)),
    ]


def slow_part(seconds: float, rounds: int) -> list[Figure]:
    alone, beside = [], []
    with served("node") as (_, address):
        for _ in range(rounds):
            alone.append(measure(address, 1, seconds))
            with crowd("slow", address, SLOW):
                beside.append(measure(address, 1, seconds))
    p99_ms = [statistics.median(measured.p99_ms for measured in each) for each in (beside, alone)]
    return [Figure(f"HTTP p99 of one client beside {SLOW:,} slow ones, to none", "ms", *p99_ms, Goal(2.0))]


def _mib(process: psutil.Process) -> float:
    return process.memory_info().rss / 2**20


def figures(seconds: float, rounds: int, own: Sequence[str] = ()) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks http")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--without", default="", help=f"peers not to be measured: some of {','.join(PEERS)}")
    options = parser.parse_args(list(own))
    chosen, without = options.only.split(","), set(filter(None, options.without.split(",")))
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if unknown := without - set(PEERS):
        parser.error(f"no peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    measured = {
        "slice": functools.partial(slice_part, without=without),
        "remote": functools.partial(remote_part, without=without),
        "idle": idle_part,
        "slow": slow_part,
    }
    return [figure for part in PARTS if part in chosen for figure in measured[part](seconds, rounds)]


def main(names: Sequence[str], seconds: float, rounds: int) -> None:
    found = compare(names, seconds, rounds)
    print(f"POST JSON, {CONNECTIONS} keep-alive connections, median of {rounds} rounds of {seconds:g} s")
    print(f"{'':10} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8} {'least CPU':>10}")
    for name in found:
        rate, cpu = median(found, name, "rate"), median(found, name, "cpu_us")
        times = f"{median(found, name, 'p50_ms'):8.2f} {median(found, name, 'p99_ms'):8.2f}"
        print(f"{name:10} {rate:11.0f} {times} {cpu:8.1f} {min(each.cpu_us for each in found[name]):10.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--servers", default=",".join((*OURS, *OTHERS, *PEERS)))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    main(chosen.servers.split(","), chosen.seconds, chosen.rounds)
