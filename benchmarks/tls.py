"""Slice calls between two nodes under mutual TLS, beside the same calls without it, in turns in one run.

    python -m benchmarks tls

Two processes over loopback TCP, as in `benchmarks.calls`. TLS 1.3 with the cipher that both prefer; certificates are
those of `aether ca issue`.
"""

from __future__ import annotations

import argparse
import functools
import gc
import tempfile
from pathlib import Path

import trio

import aether
from aether.testing.certificates import TestAuthority
from benchmarks.bare_call import REQUEST, Figures, measure
from benchmarks.calls import CALLEE, CALLER, NAMES, Echo
from benchmarks.cluster import free_ports, processes, wait_connected
from benchmarks.figure import Figure, Goal, medians

GOAL_P50 = Goal(1.35)


def open_node(name: str, ports: list[int], folder: Path, certificates: Path | None, *slices: type):
    """One of two founding nodes."""
    addresses = {node: f"127.0.0.1:{port}" for node, port in zip(NAMES, ports, strict=True)}
    tls = None if certificates is None else certificates / name
    port = ports[NAMES.index(name)]
    return aether.Cluster.open(*slices, name=name, peers=addresses, port=port, data=folder / name, tls=tls)


async def serve(ports: list[int], folder: Path, certificates: Path | None) -> None:
    """Answer until killed."""
    async with open_node(CALLEE, ports, folder, certificates, Echo) as cluster:
        gc.freeze()
        await cluster.wait_closed()


async def call(ports: list[int], folder: Path, certificates: Path | None, seconds: float) -> Figures:
    async with open_node(CALLER, ports, folder, certificates) as cluster:
        await wait_connected(cluster, 1)
        proxy = cluster.get(Echo)
        with trio.fail_after(30.0):
            await proxy.echo(**REQUEST)
        gc.freeze()
        return await measure(lambda request: proxy.echo(**request), seconds)


def measure_calls(seconds: float, *, tls: bool) -> Figures:
    """Two fresh processes; this one calls."""
    with tempfile.TemporaryDirectory() as name:
        ports, folder = free_ports(2), Path(name)
        certificates = None
        command = ["-m", "benchmarks.tls", "--serve", *map(str, ports), "--folder", name]
        if tls:
            authority = TestAuthority(folder / "ca", "aether")
            for node in NAMES:
                authority.issue(node)
            certificates = authority.home
            command += ["--certificates", str(certificates)]
        with processes([command]):
            return trio.run(functools.partial(call, ports, folder, certificates, seconds))


def figures(seconds: float, rounds: int) -> list[Figure]:
    found = []
    for _ in range(rounds):
        secured, plain = measure_calls(seconds, tls=True), measure_calls(seconds, tls=False)
        found.append((secured.p50_us, plain.p50_us, secured.rate, plain.rate))
    p50_us, plain_p50_us, rate, plain_rate = medians(found)
    return [
        Figure("remote call under TLS, one at a time, p50, to plain", "us", p50_us, plain_p50_us, GOAL_P50),
        Figure("remote calls under TLS, 64 outstanding, to plain", "/s", rate, plain_rate),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Slice calls under TLS.")
    parser.add_argument("--serve", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--certificates", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        trio.run(serve, options.serve, options.folder, options.certificates)
        return
    for tls in (True, False):
        print(f"{'TLS' if tls else 'plain':6} {measure_calls(1.0, tls=tls)}")


if __name__ == "__main__":
    main()
