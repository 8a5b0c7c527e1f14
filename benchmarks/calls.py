"""Slice calls: remote ones beside bare trio and msgpack of the same run, co-located ones beside a plain await.

    python benchmarks/calls.py [--seconds 1] [--rounds 3] [--profile caller.prof]

Two processes over loopback TCP. The whole path is measured: typed proxy, Invoker, transport, hosting, the method, back.
Goals: remote p50 at most 2 x the eager limit, rate with 64 callers at least 0.3 x the coalesced limit.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aether
from aether.hosting.failures import Place
from aether.hosting.instance import RunningInstance
from aether.invocation.endpoints import EndpointRegistry, View
from aether.invocation.local import NoHost
from aether.invocation.messages import MESSAGES
from aether.invocation.proxy import bind_proxy
from aether.invocation.service import Invoker
from aether.model.ids import Incarnation, InstanceId, NodeId, StoreId
from aether.model.lifecycle import SliceState
from aether.model.rows import InstanceRow, MemberRow
from aether.slice_api.contract import contract_of
from aether.transport.tcp import TcpTransport
from aether.transport.values import Handlers
from aether.wire.lane import Lane
from aether.wire.session import Identity
from aether.wire.table import MessageTable
from aether.work import InlineWork
from benchmarks.bare_call import REQUEST, Figures, measure, measure_bare, measure_transport

CALLER, CALLEE = NodeId("caller"), NodeId("callee")
ECHO = InstanceId("echo-1")
GOAL_P50, GOAL_RATE = 2.0, 0.3


@aether.slice(artifact="bench:echo:1.0.0", concurrency=10_000)
class Echo:
    @aether.method(idempotent=True)
    async def echo(self, sku: str, qty: int) -> dict[str, int]:
        return {sku: qty}


class Host:
    """Finds the one instance of this process."""

    def __init__(self) -> None:
        place = Place(slice="Echo", instance=ECHO, node=CALLEE)
        self.echo = RunningInstance(Echo(), contract_of(Echo), place, InlineWork(), 1.0)

    def find(self, instance: InstanceId) -> RunningInstance | None:
        return self.echo if instance == ECHO else None


def registry(node: NodeId) -> EndpointRegistry:
    """Says that the callee hosts the instance."""
    artifact = contract_of(Echo).artifact
    assert artifact is not None
    row = InstanceRow(
        instance=ECHO, artifact=artifact, node=CALLEE, incarnation=Incarnation("x"), state=SliceState.ACTIVE
    )
    made = EndpointRegistry(node)
    made.rebuild(
        View(instances=[row], members=[MemberRow(node=CALLEE, incarnation=Incarnation("x"))], connected={CALLEE})
    )
    return made


def transport(node: NodeId, peers: dict[NodeId, str]) -> TcpTransport:
    table = MessageTable()
    for spec in MESSAGES:
        table.register(spec.tag, spec.cls, Lane[spec.lane], spec.encode, spec.decode)
    identity = Identity(cluster="bench", node=node, store=StoreId(node), incarnation=Incarnation(str(random.random())))
    return TcpTransport(identity, "127.0.0.1:0", peers, table)


def handlers(invoker: Invoker, connected: Any = lambda node: None) -> Handlers:
    return Handlers(
        message={spec.cls: invoker.deliver for spec in MESSAGES}, connected=connected, disconnected=invoker.peer_lost
    )


async def serve() -> None:
    """Answer until killed."""
    link, host = transport(CALLEE, {}), Host()
    invoker = Invoker(CALLEE, registry(CALLEE), link.send, host, rng=random.Random())
    async with trio.open_nursery() as nursery:
        await nursery.start(host.echo.live)
        await nursery.start(invoker.run)
        address = await nursery.start(link.run, handlers(invoker))
        gc.freeze()
        print(address.rpartition(":")[2], flush=True)


async def call_remote(port: int, seconds: float, profile: str) -> Figures:
    link, connected = transport(CALLER, {CALLEE: f"127.0.0.1:{port}"}), trio.Event()
    invoker = Invoker(CALLER, registry(CALLER), link.send, NoHost(), rng=random.Random())
    async with trio.open_nursery() as nursery:
        await nursery.start(invoker.run)
        await nursery.start(link.run, handlers(invoker, lambda node: connected.set()))
        await connected.wait()
        proxy: Any = bind_proxy(contract_of(Echo), contract_of(Echo).artifact.base, invoker)
        gc.freeze()
        figures = await profiled(profile, measure, lambda request: proxy.echo(**request), seconds)
        nursery.cancel_scope.cancel()
    return figures


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
    host = Host()
    invoker = Invoker(CALLEE, registry(CALLEE), lambda *message: False, host, rng=random.Random())
    proxy: Any = bind_proxy(contract_of(Echo), contract_of(Echo).artifact.base, invoker)
    plain = Echo()
    async with trio.open_nursery() as nursery:
        await nursery.start(host.echo.live)
        found = {"plain await": await timed(plain.echo, seconds), "no deadline": await timed(proxy.echo, seconds)}
        with trio.fail_after(60.0):
            found["under a deadline"] = await timed(proxy.echo, seconds)
        nursery.cancel_scope.cancel()
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
    process = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        return trio.run(call_remote, int(process.stdout.readline()), seconds, profile)
    finally:
        process.kill()
        process.wait()


def medians(rounds: list[Figures]) -> Figures:
    return Figures(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def report(seconds: float, rounds: int, profile: str) -> bool:
    """Print every figure with its limit, medians of interleaved rounds; whether the goals hold."""
    found: dict[str, list[Figures]] = {}
    for _ in range(rounds):
        found.setdefault("bare, eager", []).append(measure_bare("eager", seconds))
        found.setdefault("bare, coalesced", []).append(measure_bare("coalesced", seconds))
        found.setdefault("transport", []).append(measure_transport(seconds))
        found.setdefault("slice call", []).append(measure_remote(seconds, profile))
    figures = {name: medians(each) for name, each in found.items()}
    for name, each in figures.items():
        print(f"{name:16} {each}")
    ours = figures["slice call"]
    p50, rate = ours.p50_us / figures["bare, eager"].p50_us, ours.rate / figures["bare, coalesced"].rate
    print(f"remote: p50 {p50:.2f} x bare (goal <= {GOAL_P50}), rate {rate:.2f} x bare (goal >= {GOAL_RATE})")
    local = trio.run(call_co_located, seconds)
    limit = local["plain await"]
    print("co-located: " + ", ".join(f"{name} {us:.2f} us ({us / limit:.1f} x)" for name, us in local.items()))
    return p50 <= GOAL_P50 and rate >= GOAL_RATE


def main() -> None:
    parser = argparse.ArgumentParser(description="Slice calls beside their bare limits, in one run.")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each figure is measured (default 1)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds, of which medians count (default 3)")
    parser.add_argument("--profile", default="", help="file for the profile of the calling process")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        trio.run(serve)
    else:
        sys.exit(0 if report(arguments.seconds, arguments.rounds, arguments.profile) else 1)


if __name__ == "__main__":
    main()
