"""Durable replicated writes through whole nodes: three processes, disks and TCP; beside the bare replicated log.

`KvService.propose` of one put, 16-byte keys and 128-byte values, from tasks in the leader's process. Sessions, quotas,
the state hash, snapshots and watches are all there; the bare log has none of them. Keys are 10,000, used in turn.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import os
import sys
import tempfile
from pathlib import Path

import trio

from aether.kv import keys
from aether.kv.commands import Batch, Put
from benchmarks.cluster import free_ports, open_member, processes, wait_connected
from benchmarks.figure import Figure, Goal, medians
from benchmarks.limits import bare_log_rate, drive

NAMES = ("a", "b", "c")
KEYS = 10_000
OUTSTANDING = 256
GOAL = Goal(0.1, at_least=True)
Measured = tuple[float, float, float]  # writes per second, p50 and p99 in seconds


async def member(name: str, ports: list[int], folder: Path, outstanding: int, seconds: float, profile: str) -> None:
    """One node. The one that leads measures, and prints what it found."""
    async with open_member(name, NAMES, ports, folder) as cluster:
        kv = cluster.kv
        await wait_connected(cluster, len(NAMES) - 1)
        gc.collect()
        gc.freeze()
        while kv.leadership is None:  # noqa: ASYNC110 - one that never leads is ended by its parent
            await trio.sleep(0.02)

        async def propose(key: bytes, value: bytes) -> None:
            row = keys.map_entry("bench", b"%016d" % (int(key) % KEYS))
            await kv.propose(Batch((), (Put(row, value),)))

        await drive(propose, min(outstanding, 8), min(0.3, seconds))
        profiler = cProfile.Profile()
        if profile:
            profiler.enable()
        found = await drive(propose, outstanding, seconds)
        if profile:
            profiler.disable()
            profiler.dump_stats(profile)
        print(json.dumps(found), flush=True)
        await trio.sleep_forever()


def ours(outstanding: int, seconds: float, profile: str = "") -> Measured:
    """What the leader of three fresh processes measures."""
    with tempfile.TemporaryDirectory() as folder:
        ports = [str(port) for port in free_ports(3)]
        measured = ["--outstanding", str(outstanding), "--seconds", str(seconds), "--profile", profile]
        base = ["-m", "benchmarks.kv", "--folder", folder, "--ports", *ports, *measured]
        read, write = os.pipe()
        with os.fdopen(read) as answers, processes([[*base, "--member", name] for name in NAMES], stdout=write):
            os.close(write)
            rate, p50_s, p99_s = json.loads(answers.readline())
            return rate, p50_s, p99_s


def bare(outstanding: int, seconds: float) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(bare_log_rate, Path(folder), outstanding, seconds)


def figures(seconds: float, rounds: int) -> list[Figure]:
    many, one = [], []
    for _ in range(rounds):
        rate, _, p99_s = ours(OUTSTANDING, seconds)
        bare_rate, _, bare_p99_s = bare(OUTSTANDING, seconds)
        many.append((rate, bare_rate, 1e3 * p99_s, 1e3 * bare_p99_s))
        one.append((1e6 * ours(1, seconds)[1], 1e6 * bare(1, seconds)[1]))
    rate, bare_rate, p99_ms, bare_p99_ms = medians(many)
    return [
        Figure(f"durable kv write, {OUTSTANDING} outstanding", "/s", rate, bare_rate, GOAL),
        Figure(f"durable kv write, {OUTSTANDING} outstanding, p99", "ms", p99_ms, bare_p99_ms),
        Figure("durable kv write, one at a time, p50", "us", *medians(one)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--outstanding", type=int, default=OUTSTANDING)
    parser.add_argument("--profile", default="", help="file for the profile of the leader")
    parser.add_argument("--member", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--ports", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    measured = options.outstanding, options.seconds, options.profile
    if options.member:
        trio.run(member, options.member, options.ports, options.folder, *measured)
        return
    for name, (rate, p50_s, p99_s) in (("aether", ours(*measured)), ("bare", bare(*measured[:2]))):
        print(f"{name:8}{rate:10,.0f}/s  p50 {1e6 * p50_s:8,.0f} us  p99 {1e6 * p99_s:8,.0f} us", file=sys.stderr)


if __name__ == "__main__":
    main()
