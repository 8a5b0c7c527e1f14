"""Calls of slices in worker processes, beside co-located ones and a bare socket pair; one core against two.

    python -m benchmarks.workers [--seconds 1] [--profile node.prof]

The bare limit is trio and msgpack over a socket pair between two processes, one request at a time. The slice that
computes burns a fixed amount of CPU time per call: with two instances in processes of their own twice as many calls end
in the same time, where the machine has two cores to give.
"""

from __future__ import annotations

import argparse
import functools
import gc
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import msgpack
import trio

import aether
from benchmarks.calls import profiled
from benchmarks.figure import Figure, Goal, medians

REQUEST = {"sku": "x", "qty": 3}
BURN_S = 0.02
GOAL_CORES = Goal(1.6, at_least=True)


@aether.slice(artifact="bench:near:1.0.0", concurrency=1_000)
class Near:
    @aether.method(idempotent=True)
    async def echo(self, sku: str, qty: int) -> dict[str, int]:
        return {sku: qty}


@aether.slice(artifact="bench:apart:1.0.0", concurrency=1_000, host="process")
class Apart:
    @aether.method(idempotent=True)
    async def echo(self, sku: str, qty: int) -> dict[str, int]:
        return {sku: qty}


@aether.slice(artifact="bench:sums:1.0.0", concurrency=1, host="process")
class Sums:
    async def pid(self) -> int:
        return os.getpid()

    async def burn(self, seconds: float) -> float:
        """CPU seconds of this process, after using so many more."""
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        return time.process_time()


async def p50_us(call: Callable[[], Awaitable[object]], seconds: float) -> float:
    samples: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        await call()
        samples.append(time.perf_counter() - began)
    return statistics.median(samples) * 1e6


async def rate(call: Callable[[], Awaitable[object]], seconds: float, outstanding: int) -> float:
    """Calls per second, so many at a time."""
    done, end = 0, time.perf_counter() + seconds

    async def one_after_another() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await call()
            done += 1

    async with trio.open_nursery() as nursery:
        for _ in range(outstanding):
            nursery.start_soon(one_after_another)
    return done / seconds


async def measure_calls(seconds: float, profile: str = "") -> dict[str, float]:
    async with aether.Cluster.open(Near, Apart) as cluster:
        near = functools.partial(cluster.get(Near).echo, **REQUEST)
        apart = functools.partial(cluster.get(Apart).echo, **REQUEST)
        await apart()
        gc.freeze()
        found = {"near": await p50_us(near, seconds), "apart": await profiled(profile, p50_us, apart, seconds)}
        found["near rate"], found["apart rate"] = await rate(near, seconds, 64), await rate(apart, seconds, 64)
        return found


async def measure_cores(seconds: float, instances: int) -> float:
    """Calls per second that burn BURN_S of CPU time each."""
    async with aether.Cluster.open(Sums) as cluster:
        await cluster.scale(Sums, instances)
        sums, pids = cluster.get(Sums), set[int]()
        with trio.fail_after(30.0):
            while len(pids) < instances:
                pids.add(await sums.pid())
        return await rate(functools.partial(sums.burn, BURN_S), seconds, 4 * instances)


# --- the bare limit ---------------------------------------------------------------------------------------------------


async def exchange(end: socket.socket, message: bytes) -> bytes:
    end.send(message)
    await trio.lowlevel.wait_readable(end)
    return end.recv(65_536)


async def call_bare(end: socket.socket, seconds: float) -> float:
    async def call() -> object:
        return msgpack.unpackb(await exchange(end, msgpack.packb([1, "echo", REQUEST])))

    await call()
    return await p50_us(call, seconds)


def measure_bare(seconds: float) -> float:
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    command = [sys.executable, "-m", "benchmarks.workers", "--echo", str(theirs.fileno())]
    with mine, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            return trio.run(call_bare, mine, seconds)
        finally:
            process.kill()


async def echo(descriptor: int) -> None:
    end = socket.socket(fileno=descriptor)
    end.setblocking(False)
    while True:
        await trio.lowlevel.wait_readable(end)
        if not (received := end.recv(65_536)):
            return
        call_id, _, arguments = msgpack.unpackb(received)
        end.send(msgpack.packb([call_id, {arguments["sku"]: arguments["qty"]}]))


def figures(seconds: float, rounds: int) -> list[Figure]:
    calls, cores = [], []
    for _ in range(rounds):
        found = trio.run(measure_calls, seconds)
        bare_us = measure_bare(seconds)
        calls.append((found["near"], found["apart"], bare_us, found["near rate"], found["apart rate"]))
        cores.append((trio.run(measure_cores, seconds, 2), trio.run(measure_cores, seconds, 1)))
    near_us, apart_us, bare_us, near_rate, apart_rate = medians(calls)
    two, one = medians(cores)
    return [
        Figure("call into a worker process, p50, beside a bare socket pair", "us", apart_us, bare_us),
        Figure("call into a worker process, p50, beside a co-located one", "us", apart_us, near_us),
        Figure("calls into a worker process, 64 outstanding, beside co-located ones", "/s", apart_rate, near_rate),
        Figure("calls that compute, two worker processes beside one", "/s", two, one, GOAL_CORES),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Slices in worker processes.")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each figure is measured (default 1)")
    parser.add_argument("--profile", default="", help="file for the profile of the node while it calls one at a time")
    parser.add_argument("--echo", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo is not None:
        trio.run(echo, options.echo)
        return
    for name, value in trio.run(measure_calls, options.seconds, options.profile).items():
        print(f"{name:12} {value:10.0f}")
    print(f"{'bare':12} {measure_bare(options.seconds):10.0f}")
    one, two = (trio.run(measure_cores, options.seconds, n) for n in (1, 2))
    print(f"computing: {one:.0f}/s by one worker, {two:.0f}/s by two, {two / one:.2f} times as many")


if __name__ == "__main__":
    main()
