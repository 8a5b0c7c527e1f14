"""Slice calls through whole nodes, beside bare trio and msgpack and other remote calls of the same run; co-located ones
beside a plain await.

    python -m benchmarks calls [--without ray,...]
    python -m benchmarks.calls [--seconds 1] [--profile caller.prof]

Two processes, each a founding node of one cluster over loopback TCP; one hosts the slice, the other calls it by a typed
proxy: arguments bound and encoded, endpoint chosen, sent, decoded, run, answered, decoded. Heartbeats go on meanwhile.
The others are those of `benchmarks.call_peers`, in turns with ours. A co-located call has all that a remote one has but
the wire: the default deadline, a slot, context variables, metrics. What awaits nothing is served in one step (decision
0040), so rows have a second one, of the same method with an `await` in it, which may be cancelled.

How long a loop over co-located calls keeps others from running is the processor time between two steps of a second
task, the longest of the run, and beside it on the clock, where the rest of the machine is in it too.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import gc
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import trio

import aether
from benchmarks.bare_call import REQUEST, Figures, measure, measure_bare
from benchmarks.call_peers import MODULES, measure_peer
from benchmarks.cluster import free_ports, open_member, processes, wait_connected
from benchmarks.figure import Figure, Goal, medians

CALLER, CALLEE = NAMES = ("caller", "callee")
GOAL_P50, GOAL_RATE = Goal(1.4), Goal(0.5, at_least=True)
PEER_GOALS: dict[str, tuple[Goal | None, Goal]] = {
    "grpc.aio": (Goal(0.4), Goal(5.0, at_least=True)),
    "ray": (Goal(0.2), Goal(8.0, at_least=True)),
    "rpyc": (None, Goal(1.0, at_least=True)),
}
TITLES = {"grpc.aio": "grpc.aio", "ray": "a Ray actor", "rpyc": "rpyc"}
GOAL_MORE, GOAL_GAP = Goal(15.0, is_ratio=False), Goal(1.0, is_ratio=False)  # microseconds, milliseconds
TENANT = aether.ContextVar("bench.tenant", str, default="")


@aether.slice(artifact="bench:echo:1.0.0", concurrency=10_000)
class Echo:
    @aether.method(idempotent=True)
    async def echo(self, sku: str, qty: int) -> dict[str, int]:
        return {sku: qty}

    @aether.method(idempotent=True)
    async def resound(self, sku: str, qty: int) -> dict[str, int]:
        """The same, by a method that might wait."""
        return await self._echoed(sku, qty)

    async def _echoed(self, sku: str, qty: int) -> dict[str, int]:
        return {sku: qty}


async def serve(ports: list[int], folder: Path) -> None:
    """Answer until killed."""
    async with open_member(CALLEE, NAMES, ports, folder, Echo) as cluster:
        gc.freeze()
        await cluster.wait_closed()


async def call_remote(ports: list[int], folder: Path, seconds: float, profile: str) -> tuple[Figures, Figures]:
    """Of a method that awaits nothing, and of one that does."""
    async with open_member(CALLER, NAMES, ports, folder) as cluster:
        await wait_connected(cluster, 1)
        proxy = cluster.get(Echo)
        with trio.fail_after(30.0):
            await proxy.echo(**REQUEST)
        gc.freeze()
        found = await profiled(profile, measure, lambda request: proxy.echo(**request), seconds)
        return found, await measure(lambda request: proxy.resound(**request), seconds)


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
    """Microseconds per call: a plain await; a call without the caller's deadline, with a context variable, under a
    deadline; a call and a plain await of a method that awaits. Milliseconds of the longest gap, on the clock and of
    processor time, of a loop over calls, and of one over plain awaits that lets others run after each.
    """
    async with aether.Cluster.open(Echo) as cluster:
        proxy, plain = cluster.get(Echo), Echo()
        found = {"plain": await timed(plain.echo, seconds), "no deadline": await timed(proxy.echo, seconds)}
        with TENANT.set("acme"):
            found["context"] = await timed(proxy.echo, seconds)
        with trio.fail_after(60.0):
            found["deadline"] = await timed(proxy.echo, seconds)

        found["awaiting"] = await timed(proxy.resound, seconds)
        found["plain awaiting"] = await timed(plain.resound, seconds)

        async def polite() -> None:
            await plain.echo(**REQUEST)
            await trio.lowlevel.checkpoint()

        found["gap"], found["cpu gap"] = await gaps(lambda: proxy.echo(**REQUEST), seconds)
        found["bare gap"], found["bare cpu gap"] = await gaps(polite, seconds)
        return found


async def gaps(call: Callable[[], Awaitable[object]], seconds: float) -> tuple[float, float]:
    """The longest that a second task waits for its turn while this one calls in a loop: ms on the clock, and of the
    processor time of this thread.
    """
    clock_s = cpu_s = 0.0
    async with trio.open_nursery() as nursery:

        async def watch(task_status: trio.TaskStatus[None]) -> None:
            nonlocal clock_s, cpu_s
            task_status.started()
            last = time.perf_counter(), time.thread_time()
            while True:
                await trio.lowlevel.checkpoint()
                now = time.perf_counter(), time.thread_time()
                clock_s, cpu_s = max(clock_s, now[0] - last[0]), max(cpu_s, now[1] - last[1])
                last = now

        await nursery.start(watch)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await call()
        for _ in range(3):  # a loop that never let go is seen too
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    return clock_s * 1e3, cpu_s * 1e3


async def timed(call: Any, seconds: float) -> float:
    samples = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(100):
            await call(**REQUEST)
        samples.append((time.perf_counter() - began) / 100)
    return statistics.median(samples) * 1e6


def measure_remote(seconds: float, profile: str = "") -> tuple[Figures, Figures]:
    """Two fresh processes; this one calls. As `call_remote`."""
    with tempfile.TemporaryDirectory() as name:
        ports, folder = free_ports(2), Path(name)
        command = ["-m", "benchmarks.calls", "--serve", *map(str, ports), "--folder", name]
        with processes([command]):
            return trio.run(functools.partial(call_remote, ports, folder, seconds, profile))


def figures(seconds: float, rounds: int, own: Sequence[str] = ()) -> list[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks calls")
    parser.add_argument("--without", default="", help=f"peers not to be measured: some of {','.join(MODULES)}")
    without = set(filter(None, parser.parse_args(list(own)).without.split(",")))
    if unknown := without - set(MODULES):
        parser.error(f"no peer {', '.join(unknown)}; there are {', '.join(MODULES)}")
    remote, awaiting, local = [], [], []
    peers: dict[str, list[Figures]] = {}
    for _ in range(rounds):
        (ours, resounding), eager = measure_remote(seconds), measure_bare("eager", seconds)
        coalesced = measure_bare("coalesced", seconds)
        remote.append((ours.p50_us, eager.p50_us, ours.rate, coalesced.rate))
        awaiting.append((resounding.p50_us, resounding.rate))
        for name in [each for each in MODULES if each not in without]:
            if (found := measure_peer(name, seconds)) is not None:
                peers.setdefault(name, []).append(found)
        local.append(trio.run(call_co_located, seconds / 2))
    p50_us, bare_p50_us, rate, bare_rate = medians(remote)
    awaiting_p50_us, awaiting_rate = medians(awaiting)
    return [
        Figure("remote call, one at a time, p50", "us", p50_us, bare_p50_us, GOAL_P50),
        Figure("remote calls, 64 outstanding", "/s", rate, bare_rate, GOAL_RATE),
        Figure("remote call of a method that awaits, one at a time, p50", "us", awaiting_p50_us, bare_p50_us),
        Figure("remote calls of a method that awaits, 64 outstanding", "/s", awaiting_rate, bare_rate),
        *beside_peers(p50_us, rate, peers),
        *co_located(local),
    ]


def beside_peers(p50_us: float, rate: float, peers: dict[str, list[Figures]]) -> Iterator[Figure]:
    """Two rows for each peer that was measured."""
    for name, found in peers.items():
        goal_p50, goal_rate = PEER_GOALS[name]
        peer_p50_us, _, peer_rate = medians(found)
        title = TITLES[name]
        yield Figure(f"remote call, one at a time, p50, to {title}", "us", p50_us, peer_p50_us, goal_p50)
        yield Figure(f"remote calls, 64 outstanding, to {title}", "/s", rate, peer_rate, goal_rate)


def co_located(rounds: list[dict[str, float]]) -> Iterator[Figure]:
    """Medians of what a call takes; the longest of all gaps."""
    middle = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    worst = {name: max(found[name] for found in rounds) for name in rounds[0]}
    plain_us = middle["plain"]
    yield Figure("co-located call", "us", middle["no deadline"], plain_us)
    yield Figure("co-located call with a context variable", "us", middle["context"], plain_us)
    yield Figure("co-located call under a deadline", "us", middle["deadline"], plain_us)
    more_us = middle["no deadline"] - plain_us
    yield Figure("co-located call, what it adds to a plain await", "us", more_us, plain_us, GOAL_MORE)
    plain_us = middle["plain awaiting"]
    more_us = middle["awaiting"] - plain_us
    yield Figure("co-located call of a method that awaits, what it adds", "us", more_us, plain_us)
    yield Figure("loop over co-located calls, longest gap", "ms CPU", worst["cpu gap"], worst["bare cpu gap"], GOAL_GAP)
    yield Figure("loop over co-located calls, longest gap on the clock", "ms", worst["gap"], worst["bare gap"])


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
    echoing, resounding = measure_remote(options.seconds, options.profile)
    print(f"aether            {echoing}")
    print(f"aether, awaiting  {resounding}")
    print(f"bare, eager       {measure_bare('eager', options.seconds)}")
    print(f"bare, coalesced   {measure_bare('coalesced', options.seconds)}")


if __name__ == "__main__":
    main()
