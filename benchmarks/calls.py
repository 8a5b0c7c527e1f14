"""Slice calls through whole nodes, beside bare trio and msgpack of the same run; co-located ones beside a plain await.

    python -m benchmarks.calls [--seconds 1] [--profile caller.prof]

Two processes, each a founding node of one cluster over loopback TCP; one hosts the slice, the other calls it by a typed
proxy: arguments bound and encoded, endpoint chosen, sent, decoded, run, answered, decoded. Heartbeats go on meanwhile.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import gc
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

import aether
from benchmarks.bare_call import REQUEST, Figures, measure, measure_bare
from benchmarks.cluster import free_ports, open_member, processes, wait_connected
from benchmarks.figure import Figure, Goal, medians

CALLER, CALLEE = NAMES = ("caller", "callee")
GOAL_P50, GOAL_RATE = Goal(2.0), Goal(0.3, at_least=True)


@aether.slice(artifact="bench:echo:1.0.0", concurrency=10_000)
class Echo:
    @aether.method(idempotent=True)
    async def echo(self, sku: str, qty: int) -> dict[str, int]:
        return {sku: qty}


async def serve(ports: list[int], folder: Path) -> None:
    """Answer until killed."""
    async with open_member(CALLEE, NAMES, ports, folder, Echo) as cluster:
        gc.freeze()
        await cluster.wait_closed()


async def call_remote(ports: list[int], folder: Path, seconds: float, profile: str) -> Figures:
    async with open_member(CALLER, NAMES, ports, folder) as cluster:
        await wait_connected(cluster, 1)
        proxy = cluster.get(Echo)
        with trio.fail_after(30.0):
            await proxy.echo(**REQUEST)
        gc.freeze()
        return await profiled(profile, measure, lambda request: proxy.echo(**request), seconds)


async def profiled(profile: str, function: Any, *arguments: Any) -> Any:
    if not profile:
        return await function(*arguments)
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        return await function(*arguments)
    finally:
        profiler.disable()
        profiler.dump_stats(profile)


async def call_co_located(seconds: float) -> dict[str, float]:
    """Microseconds per call: a plain await, a call under the caller's deadline, one without a deadline."""
    async with aether.Cluster.open(Echo) as cluster:
        proxy, plain = cluster.get(Echo), Echo()
        found = {"plain": await timed(plain.echo, seconds), "no deadline": await timed(proxy.echo, seconds)}
        with trio.fail_after(60.0):
            found["deadline"] = await timed(proxy.echo, seconds)
        return found


async def timed(call: Any, seconds: float) -> float:
    samples = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(100):
            await call(**REQUEST)
        samples.append((time.perf_counter() - began) / 100)
    return statistics.median(samples) * 1e6


def measure_remote(seconds: float, profile: str = "") -> Figures:
    """Two fresh processes; this one calls."""
    with tempfile.TemporaryDirectory() as name:
        ports, folder = free_ports(2), Path(name)
        command = ["-m", "benchmarks.calls", "--serve", *map(str, ports), "--folder", name]
        with processes([command]):
            return trio.run(functools.partial(call_remote, ports, folder, seconds, profile))


def figures(seconds: float, rounds: int) -> list[Figure]:
    remote, local = [], []
    for _ in range(rounds):
        ours, eager = measure_remote(seconds), measure_bare("eager", seconds)
        coalesced = measure_bare("coalesced", seconds)
        remote.append((ours.p50_us, eager.p50_us, ours.rate, coalesced.rate))
        found = trio.run(call_co_located, seconds / 2)
        local.append((found["no deadline"], found["deadline"], found["plain"]))
    p50_us, bare_p50_us, rate, bare_rate = medians(remote)
    no_deadline_us, deadline_us, plain_us = medians(local)
    return [
        Figure("remote call, one at a time, p50", "us", p50_us, bare_p50_us, GOAL_P50),
        Figure("remote calls, 64 outstanding", "/s", rate, bare_rate, GOAL_RATE),
        Figure("co-located call", "us", no_deadline_us, plain_us),
        Figure("co-located call under a deadline", "us", deadline_us, plain_us),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Slice calls through whole nodes.")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each figure is measured (default 1)")
    parser.add_argument("--profile", default="", help="file for the profile of the calling process")
    parser.add_argument("--serve", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        trio.run(serve, options.serve, options.folder)
        return
    print(f"aether            {measure_remote(options.seconds, options.profile)}")
    print(f"bare, eager       {measure_bare('eager', options.seconds)}")
    print(f"bare, coalesced   {measure_bare('coalesced', options.seconds)}")


if __name__ == "__main__":
    main()
