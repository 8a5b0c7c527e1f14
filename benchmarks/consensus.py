"""The replicated store of three processes beside etcd, PySyncObj and the bare replicated log, in interleaved rounds.

    python -m benchmarks consensus [--only writes,reads,...] [--data-dir DIR]

16-byte keys, 128-byte values, synced on a majority before an answer. A row names whom it is compared with; a peer that
is not installed is named on standard error, and its rows are left out. Parts: writes, reads, durability (the default),
and failover, stopped, blocked, entries, sizes, traffic.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import trio

from benchmarks import consensus_faults, consensus_growth, consensus_traffic, disk, etcd, pysyncobj_peer
from benchmarks.consensus_group import group
from benchmarks.figure import Figure, Goal
from benchmarks.limits import bare_log_rate

MANY, CROWD, READERS = 256, 5_000, 64
SHORT = ("writes", "reads", "durability")
Samples = dict[str, list[float]]


def _at_least(limit: float) -> Goal:
    return Goal(limit, at_least=True)


@attrs.frozen
class Row:
    """One line: `ours` and `peer` are names of samples. A missing sample leaves the line out."""

    name: str
    unit: str
    ours: str
    peer: str
    goal: Goal | None = None


ROWS = (
    Row(f"writes, {MANY} outstanding, leader's process, to the limit", "/s", "many", "limit many", _at_least(0.27)),
    Row(f"writes, {MANY} outstanding, leader's process, to etcd", "/s", "many", "etcd many", _at_least(2.0)),
    Row(f"writes, {MANY} outstanding, leader's process, p99, to etcd", "ms", "many p99", "etcd many p99", Goal(0.5)),
    Row(f"writes, {MANY} outstanding, another process, to etcd", "/s", "far", "etcd many", _at_least(1.2)),
    Row(f"writes, {MANY} outstanding, another process, p99, to etcd", "ms", "far p99", "etcd many p99"),
    Row("write, one at a time, leader's process, p50, to the limit", "us", "one", "limit one"),
    Row("write, one at a time, leader's process, p50, to etcd", "us", "one", "etcd one", Goal(0.95)),
    Row("write, one at a time, another process, p50, to etcd", "us", "far one", "etcd one", Goal(1.15)),
    Row(f"writes, {CROWD:,} outstanding, leader's process", "/s", "crowd", ""),
    *(
        Row(
            f"writes, {CROWD:,} outstanding, to PySyncObj {mode}, journal",
            "/s",
            "crowd",
            f"pysyncobj {mode} journal",
            _at_least(1.0) if mode == "tuned" else None,
        )
        for mode in pysyncobj_peer.MODES
    ),
    Row(f"writes, {CROWD:,} outstanding, to PySyncObj tuned, memory", "/s", "crowd", "pysyncobj tuned memory"),
    Row(f"linearizable reads, {READERS} outstanding, to etcd", "/s", "reads", "etcd reads", _at_least(3.0)),
    Row(f"linearizable reads, {READERS} outstanding, p50, to etcd", "ms", "reads p50", "etcd reads p50", Goal(0.75)),
    Row("linearizable read, one at a time, p50, to etcd", "us", "read", "etcd read"),
    Row("processor time of the leader, a write of many", "us", "leader cpu", ""),
    Row("processor time of a follower, a write of many", "us", "follower cpu", ""),
)


def measure_ours(folder: Path, seconds: float, parts: Sequence[str], samples: Callable[[str, float], None]) -> None:
    """One round of ours."""
    with group(folder) as ours:
        leader, (follower, _) = ours.leader(), ours.followers()
        if "writes" in parts:
            leader.ask("write", outstanding=MANY, seconds=min(0.5, seconds))
            before_s = follower.ask("look")["cpu_s"]
            found = leader.ask("write", outstanding=MANY, seconds=seconds)
            written = found["written"]
            samples("many", found["rate"])
            samples("many p99", 1e3 * found["p99_s"])
            samples("leader cpu", 1e6 * found["cpu_s"] / written)
            samples("follower cpu", 1e6 * (follower.ask("look")["cpu_s"] - before_s) / written)
            found = follower.ask("write", outstanding=MANY, seconds=seconds)
            samples("far", found["rate"])
            samples("far p99", 1e3 * found["p99_s"])
            samples("one", 1e6 * leader.ask("write", outstanding=1, seconds=seconds)["p50_s"])
            samples("far one", 1e6 * follower.ask("write", outstanding=1, seconds=seconds)["p50_s"])
            samples("crowd", leader.ask("write", outstanding=CROWD, seconds=seconds)["rate"])
        if "reads" in parts:
            found = leader.ask("read", outstanding=READERS, seconds=seconds)
            samples("reads", found["rate"])
            samples("reads p50", 1e3 * found["p50_s"])
            samples("read", 1e6 * leader.ask("read", outstanding=1, seconds=seconds)["p50_s"])


def measure_limit(folder: Path, seconds: float, parts: Sequence[str], samples: Callable[[str, float], None]) -> None:
    """One round of the bare replicated log."""
    if "writes" in parts:
        for name, outstanding in (("many", MANY), ("one", 1)):
            with tempfile.TemporaryDirectory(dir=folder) as place:
                rate, p50_s, _ = trio.run(bare_log_rate, Path(place), outstanding, seconds)
            samples(f"limit {name}", rate if outstanding > 1 else 1e6 * p50_s)


def measure_etcd(folder: Path, seconds: float, parts: Sequence[str], samples: Callable[[str, float], None]) -> None:
    """One round of etcd, when it is here."""
    if etcd.absent() or not {"writes", "reads"} & set(parts):
        return
    with etcd.etcd(folder) as peer:
        if "writes" in parts:
            load = peer.write(MANY, seconds)
            samples("etcd many", load.rate)
            samples("etcd many p99", 1e3 * load.p99_s)
            samples("etcd one", 1e6 * peer.write(1, seconds).p50_s)
        if "reads" in parts:
            load = peer.read(READERS, seconds)
            samples("etcd reads", load.rate)
            samples("etcd reads p50", 1e3 * load.p50_s)
            samples("etcd read", 1e6 * peer.read(1, seconds).p50_s)


def measure_pysyncobj(
    folder: Path, seconds: float, parts: Sequence[str], samples: Callable[[str, float], None]
) -> None:
    """One round of PySyncObj, when it is here."""
    if pysyncobj_peer.is_absent() or "writes" not in parts:
        return
    for mode in pysyncobj_peer.MODES:
        for journal in (True, False) if mode == "tuned" else (True,):
            with pysyncobj_peer.pysyncobj(folder, mode, journal=journal) as peer:
                samples(f"pysyncobj {mode} {'journal' if journal else 'memory'}", peer.write(CROWD, seconds)[0])


SYSTEMS = (measure_ours, measure_limit, measure_etcd, measure_pysyncobj)


def compared(folder: Path, seconds: float, rounds: int, parts: Sequence[str]) -> list[Figure]:
    """The rows of `writes` and `reads`: every system in turn, `rounds` times; medians count."""
    samples: Samples = {}

    def sample(name: str, value: float) -> None:
        samples.setdefault(name, []).append(value)

    for _ in range(rounds):
        for system in SYSTEMS:
            system(folder, seconds, parts, sample)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    return [
        Figure(row.name, row.unit, medians[row.ours], medians[row.peer] if row.peer else 0.0, row.goal)
        for row in ROWS
        if row.ours in medians and (not row.peer or row.peer in medians)
    ]


def describe_peers() -> str:
    """Which peers take part, in which version."""
    absent = etcd.absent()
    said = f"etcd is left out: no {', '.join(absent)} on PATH" if absent else etcd.version()
    return f"{said}; PySyncObj {'is left out: not installed' if pysyncobj_peer.is_absent() else 'takes part'}"


def figures(seconds: float, rounds: int, arguments: Sequence[str] = ()) -> list[Figure]:
    options = parse(arguments)
    print(f"{disk.measure(options.data_dir)}; {describe_peers()}", file=sys.stderr, flush=True)
    parts, folder = options.only, options.data_dir
    found: list[Figure] = []
    if {"writes", "reads"} & set(parts):
        found += compared(folder, seconds, rounds, parts)
    if "durability" in parts:
        found.append(consensus_faults.durability(folder, seconds))
    if "failover" in parts:
        found += consensus_faults.killed_leaders(folder, options.runs)
    if "stopped" in parts:
        found += consensus_faults.stopped_leaders(folder, options.runs)
    if "blocked" in parts:
        found += consensus_faults.blocked_loop(folder, MANY, options.block_seconds)
    if "entries" in parts:
        found += consensus_growth.many_entries(folder, options.entries, options.live_keys)
    if "sizes" in parts:
        found += consensus_growth.sizes(folder, seconds) + consensus_growth.lengths(folder, options.entries)
    if "traffic" in parts:
        found += consensus_traffic.traffic(folder, options.state_mib, seconds)
    print(f"{disk.measure(folder)} at the end", file=sys.stderr, flush=True)
    return found


PARTS = (*SHORT, "failover", "stopped", "blocked", "entries", "sizes", "traffic")


def _parts(text: str) -> tuple[str, ...]:
    parts = PARTS if text == "all" else tuple(text.split(","))
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}, all")
    return parts


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks consensus", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", type=_parts, default=SHORT, metavar="PART,...", help=f"of {', '.join(PARTS)}, or all")
    parser.add_argument("--data-dir", type=Path, default=Path(tempfile.gettempdir()), help="on a real disk")
    parser.add_argument("--runs", type=int, default=20, help="leaders killed, and leaders stopped (default 20)")
    parser.add_argument("--block-seconds", type=float, default=600.0, help="how long the loop is blocked (default 600)")
    parser.add_argument("--entries", type=int, default=1_000_000, help="length of the long log (default 1,000,000)")
    parser.add_argument("--live-keys", type=int, default=200_000, help="keys that it writes (default 200,000)")
    parser.add_argument("--state-mib", type=int, default=64, help="size of the snapshot of traffic (default 64)")
    return parser.parse_args(arguments)
