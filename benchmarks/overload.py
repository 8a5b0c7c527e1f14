"""Too many calls, by real processes: what is still answered in time, and how late that is.

    python -m benchmarks.overload [--seconds 10]

Open loop: each call comes at its own random time, whatever became of those before, and its latency counts from that
time and not from when it could be sent. One that is not answered within 1 s is lost, and its client leaves.

slots  by calls from another node, and by HTTP requests: capacity is 16 slots x 20 ms, and three times as much comes.
       Goodput is answers as a share of the capacity; latency that of accepted ones
edge   capacity is what one process answers to 32 clients that wait for their answers (closed loop, the same route, the
       same run); 1.5 times as much comes, on new connections whenever all are busy
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import trio

import aether
from aether.cluster.runner import settle_heap
from benchmarks.cluster import free_ports, open_member, processes, wait_connected
from benchmarks.figure import Figure, Goal
from benchmarks.open_loop import DEADLINE_S, HttpLoop, Outcome, percentile
from benchmarks.overload_slice import SERVICE_S, SLOTS, Work

CAPACITY = SLOTS / SERVICE_S
CALLER, CALLEE = NAMES = ("caller", "callee")
CLIENTS = 32
SECONDS_MIN = 10.0  # of slots: in less, how overload is noticed would be more than one call in a hundred
LATE_S = 0.02  # a generator that is late by more than that for one call in a hundred measures itself

Ask = Callable[[], Awaitable[bool]]


async def open_loop(ask: Ask, rate: float, seconds: float) -> Outcome:
    """`ask` at random times, `rate` a second on average; it returns whether it was answered and not refused."""
    outcome, rng = Outcome(), random.Random(1)

    async def one(due: float) -> None:
        accepted = await ask()
        took_s = trio.current_time() - due
        if not accepted:
            outcome.refused += 1
        elif took_s <= DEADLINE_S:
            outcome.answered.append(took_s)
        else:
            outcome.lost += 1

    async with trio.open_nursery() as nursery:
        due = trio.current_time()
        end = due + seconds
        while due < end:
            await trio.sleep_until(due)
            outcome.late.append(trio.current_time() - due)
            nursery.start_soon(one, due)
            due += rng.expovariate(rate)
    return outcome


# --- the parts --------------------------------------------------------------------------------------------------------


async def serve(ports: list[int], folder: Path) -> None:
    """The callee: hosts the slice and answers until killed."""
    async with open_member(CALLEE, NAMES, ports, folder, Work) as cluster:
        settle_heap()
        await cluster.wait_closed()


async def serve_http() -> None:
    """One node with the slice and an HTTP port, until killed."""
    async with aether.Cluster.open(Work, http=0) as cluster:
        settle_heap()
        print(cluster.addresses.http_address, flush=True)
        await cluster.wait_closed()


async def by_calls(ports: list[int], folder: Path, seconds: float) -> Outcome:
    async with open_member(CALLER, NAMES, ports, folder) as cluster:
        await wait_connected(cluster, 1)
        work = cluster.get(Work)
        with trio.fail_after(30.0):
            await work.work()

        async def ask() -> bool:
            try:
                return await work.work() == 7
            except aether.TryAgain:
                return False

        return await open_loop(ask, 3 * CAPACITY, seconds)


def measure_calls(seconds: float) -> Outcome:
    ports = free_ports(2)
    with tempfile.TemporaryDirectory() as folder:
        spelt = ",".join(map(str, ports))
        with processes([["-m", "benchmarks.overload", "--serve", spelt, "--folder", folder]]):
            return trio.run(by_calls, ports, Path(folder), seconds)


def measure_requests(seconds: float) -> Outcome:
    with processes([["-m", "benchmarks.overload", "--serve-http"]]) as (server,):
        return HttpLoop(_address(server), "/work").run(3 * CAPACITY, seconds)


def measure_edge(seconds: float) -> tuple[float, Outcome]:
    """The closed-loop rate, and what became of 1.5 times as much."""
    with processes([["-m", "benchmarks.overload", "--serve-http"]]) as (server,):
        loop = HttpLoop(_address(server), "/quick")
        rate = loop.closed(CLIENTS, seconds / 2)
        return rate, loop.run(1.5 * max(rate, 1.0), seconds)


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return server.stdout.readline().strip()


def figures(seconds: float, rounds: int) -> list[Figure]:
    """Medians over `rounds`."""
    found: list[Figure] = []
    lasting_s = max(seconds, SECONDS_MIN)
    for name, measure in (("calls", measure_calls), ("requests", measure_requests)):
        runs = [measure(lasting_s) for _ in range(rounds)]
        goodput = statistics.median(len(run.answered) / lasting_s for run in runs)
        p99 = statistics.median(percentile(run.answered, 0.99) for run in runs)
        found.append(Figure(f"3x overload by {name}, goodput", "/s", goodput, CAPACITY, Goal(0.8, at_least=True)))
        found.append(Figure(f"3x overload by {name}, p99 of accepted", "ms", p99 * 1e3, SERVICE_S * 1e3, Goal(2.0)))
        found.append(_lateness(name, runs))
    edges = [measure_edge(seconds) for _ in range(rounds)]
    rate = statistics.median(rate for rate, _ in edges)
    goodput = statistics.median(len(run.answered) / seconds for _, run in edges)
    found.append(Figure("1.5x overload of an edge, goodput", "/s", goodput, rate, Goal(0.7, at_least=True)))
    found.append(_lateness("edge", [run for _, run in edges]))
    return found


def _lateness(name: str, runs: Sequence[Outcome]) -> Figure:
    """How late the generator itself was, at its 99th percentile: above LATE_S the figures are about it."""
    late = statistics.median(percentile(run.late, 0.99) for run in runs)
    return Figure(f"  lateness of the generator, {name}, p99", "ms", late * 1e3, LATE_S * 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve-http", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        if options.serve:
            trio.run(serve, [int(port) for port in options.serve.split(",")], options.folder)
        elif options.serve_http:
            trio.run(serve_http)
        else:
            from benchmarks.figure import table

            print(table(figures(options.seconds, options.rounds)))


if __name__ == "__main__":
    main()
