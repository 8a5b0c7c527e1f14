"""What size costs: a long log over many keys, more members, a log that grows."""

from __future__ import annotations

from pathlib import Path

from benchmarks.consensus_group import Group, group, tell_all
from benchmarks.figure import Figure, Goal

FILL_OUTSTANDING = 1_024
PIECE_S = 1.0
SIZES = (3, 5, 7)
LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
MANY = 256
BEHIND_PIECES_MAX = 60


def many_entries(folder: Path, entries: int, live_keys: int) -> list[Figure]:
    """`entries` writes over `live_keys` keys: memory, stalls of the loop, restart, a snapshot on the wire."""
    with group(folder) as ours:
        _fill(ours, min(entries, 2 * live_keys), live_keys)
        whole = _resident(ours)
        peak = _fill(ours, entries, live_keys)
        stall_s = max(look["stall_s"] for look in tell_all(list(ours.processes.values()), "look"))
        one, *_ = ours.followers()
        ours.kill(one.name)
        ours.start(one.name, serving=True)
        restart_s = ours.processes[one.name].opening["serving_s"]
        sent = _send_snapshot(ours, entries, live_keys)
    of = f"{entries:,} writes over {live_keys:,} keys"
    return [
        Figure(f"{of}: memory at the end, to that once all keys were there", "MiB", peak[0] / 2**20, whole / 2**20),
        Figure(
            f"{of}: peak of memory, to that once all keys were there", "MiB", peak[1] / 2**20, whole / 2**20, Goal(1.3)
        ),
        Figure(
            f"{of}: longest stall of a loop under load, with snapshots", "s", stall_s, 0.0, Goal(0.05, is_ratio=False)
        ),
        Figure(f"{of}: restart of a node to serving", "s", restart_s, 0.0, Goal(3.0, is_ratio=False)),
        *sent,
    ]


def _fill(ours: Group, entries: int, live_keys: int) -> tuple[float, float]:
    """Write so often; resident bytes of the largest node at the end, and at the highest."""
    leader = ours.leader()
    peak = resident = _resident(ours)
    while leader.ask("look")["written"] < entries:
        leader.ask("write", outstanding=FILL_OUTSTANDING, seconds=PIECE_S, live_keys=live_keys)
        resident = _resident(ours)
        peak = max(peak, resident)
    return resident, peak


def _resident(ours: Group) -> float:
    return max(float(process.ask("look")["resident_bytes"]) for process in ours.processes.values())


def _send_snapshot(ours: Group, entries: int, live_keys: int) -> list[Figure]:
    """A node that missed more than the log keeps gets a snapshot, while the others are written to."""
    one, *_ = ours.followers()
    ours.kill(one.name)
    leader = next(process for process in ours.processes.values() if process.ask("look")["leads"])
    missing = leader.ask("look")["revision"] + 1
    for _ in range(BEHIND_PIECES_MAX):
        if leader.ask("look")["log_begins"] > missing:
            break
        leader.ask("write", outstanding=FILL_OUTSTANDING, seconds=PIECE_S, live_keys=live_keys)
    tell_all(list(ours.processes.values()), "settle")
    ours.start(one.name, serving=True)
    looks = tell_all(list(ours.processes.values()), "look")
    opening = ours.processes[one.name].opening
    stall_s = max(opening["stall_s"], *(look["stall_s"] for look in looks))
    return [
        Figure("a node behind the log: start to serving, by a snapshot", "s", opening["serving_s"], 0.0),
        Figure("a node behind the log: longest stall of a loop", "s", stall_s, 0.0, Goal(0.05, is_ratio=False)),
    ]


def sizes(folder: Path, seconds: float) -> list[Figure]:
    """Processor time of each node for a write, against the number of members."""
    rows: list[Figure] = []
    first: tuple[float, float] | None = None
    for size in SIZES:
        with group(folder, size) as ours:
            cost = _cost(ours, seconds)
        first = first or cost
        rows.append(Figure(f"processor time a write, leader of {size}, to that of {SIZES[0]}", "us", cost[0], first[0]))
        rows.append(
            Figure(f"processor time a write, follower of {size}, to that of {SIZES[0]}", "us", cost[1], first[1])
        )
    return rows


def _cost(ours: Group, seconds: float) -> tuple[float, float]:
    """Microseconds of the leader and of one follower for a write."""
    leader, (follower, *_) = ours.leader(), ours.followers()
    leader.ask("write", outstanding=MANY, seconds=min(0.5, seconds))
    before_s = follower.ask("look")["cpu_s"]
    found = leader.ask("write", outstanding=MANY, seconds=seconds)
    follower_s = follower.ask("look")["cpu_s"] - before_s
    return 1e6 * found["cpu_s"] / found["written"], 1e6 * follower_s / found["written"]


def lengths(folder: Path, entries_max: int) -> list[Figure]:
    """Processor time of each node for a write, against the length of the log."""
    rows: list[Figure] = []
    first: tuple[float, float] | None = None
    with group(folder) as ours:
        for length in LENGTHS:
            if length > entries_max:
                break
            _fill_exactly(ours, length)
            cost = _cost(ours, PIECE_S)
            first = first or cost
            to = f"to that after {LENGTHS[0]:,}"
            rows.append(Figure(f"processor time a write after {length:,}, leader, {to}", "us", cost[0], first[0]))
            rows.append(Figure(f"processor time a write after {length:,}, follower, {to}", "us", cost[1], first[1]))
    return rows


def _fill_exactly(ours: Group, length: int) -> None:
    leader = ours.leader()
    while (missing := length - leader.ask("look")["written"]) > 0:
        leader.ask("write", outstanding=min(FILL_OUTSTANDING, missing), seconds=min(PIECE_S, missing / 20_000))
