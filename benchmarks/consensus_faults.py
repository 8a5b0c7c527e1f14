"""What a group of ours does when processes are killed, stopped or kept from their loop."""

from __future__ import annotations

import signal
import statistics
import time
from pathlib import Path

from aether.model.ids import NodeId
from aether.storage.disk import DiskStorage
from benchmarks.consensus_group import Group, Process, group, tell_all
from benchmarks.figure import Figure, Goal

PULSE_S = 0.01
ACCEPTED_S_MAX = 20.0
JOURNAL_OUTSTANDING = 256
CHECKED_AT_ONCE = 2_000
SETTLE_S = 1.0


def durability(folder: Path, seconds: float) -> Figure:
    """Kill all nodes in the middle of writing: acknowledged writes that a majority of disks lacks, or that are gone."""
    with group(folder) as ours:
        told = _journalled(ours, seconds)
        on_too_few = _on_too_few_disks(ours, told)
        ours.start()
        numbers = list(told)
        missing: list[int] = []
        reader = ours.leader()
        for start in range(0, len(numbers), CHECKED_AT_ONCE):
            missing += reader.ask("missing", numbers=numbers[start : start + CHECKED_AT_ONCE])["missing"]
    if not told:
        raise RuntimeError("nothing was acknowledged before the nodes were killed")
    lost = len({*missing, *on_too_few})
    name = f"acknowledged writes lost by kill -9 of all, of {len(told):,}"
    return Figure(name, "lost", float(lost), 0.0, Goal(0.0, is_ratio=False))


def _journalled(ours: Group, seconds: float) -> dict[int, int]:
    """Number -> revision of every write that the leader acknowledged until all nodes were killed."""
    leader = ours.leader()
    leader.ask("journal", start=0, outstanding=JOURNAL_OUTSTANDING)
    until_s = time.monotonic() + max(seconds, 0.2)
    told: dict[int, int] = {}
    while time.monotonic() < until_s:
        told |= dict(leader.hear() or ())
    for process in ours.processes.values():
        process.popen.kill()
    while (line := leader.hear()) is not None:
        told |= dict(line)
    ours.kill()
    return told


def _on_too_few_disks(ours: Group, told: dict[int, int]) -> list[int]:
    """Numbers whose revision fewer than a majority of the stores hold, read from the files themselves."""
    ends = []
    for name in ours.names:
        storage = DiskStorage(ours.data_of(name), "aether", NodeId(name))
        persisted = storage.load()
        storage.close()
        snapshot = persisted.snapshot.meta.index if persisted.snapshot is not None else 0
        ends.append(max(snapshot, persisted.entries[-1].index if persisted.entries else 0))
    majority = sorted(ends)[(len(ends) - 1) // 2]
    return [number for number, revision in told.items() if revision > majority]


def killed_leaders(folder: Path, runs: int) -> list[Figure]:
    """kill -9 of the leader until the next accepted write, at any survivor."""
    gaps_s = []
    with group(folder) as ours:
        for _ in range(runs):
            leader, survivors = _pulsing(ours)
            at_s = ours.kill(leader.name)
            gaps_s.append(_gap_s(survivors, at_s))
            ours.start(leader.name)
    return _of_gaps("kill -9 of the leader to the next write", gaps_s, median=0.25, worst=1.5)


def stopped_leaders(folder: Path, runs: int) -> list[Figure]:
    """SIGSTOP of the leader until the next accepted write, at any survivor."""
    gaps_s = []
    with group(folder) as ours:
        for _ in range(runs):
            leader, survivors = _pulsing(ours)
            at_s = time.monotonic()
            leader.popen.send_signal(signal.SIGSTOP)
            gaps_s.append(_gap_s(survivors, at_s))
            leader.popen.send_signal(signal.SIGCONT)
    return _of_gaps("SIGSTOP of the leader to the next write", gaps_s, median=None, worst=2.5)


def _pulsing(ours: Group) -> tuple[Process, list[Process]]:
    """The leader, and the others, each writing in an open loop."""
    leader = ours.leader()
    survivors = [process for process in ours.processes.values() if process is not leader]
    tell_all(survivors, "pulse", every_s=PULSE_S)
    time.sleep(SETTLE_S)
    return leader, survivors


def _gap_s(survivors: list[Process], at_s: float) -> float:
    firsts = [answer["first_s"] for answer in tell_all(survivors, "pulses", since_s=at_s, within_s=ACCEPTED_S_MAX)]
    accepted = [first_s for first_s in firsts if first_s is not None]
    if not accepted:
        raise RuntimeError(f"no write was accepted within {ACCEPTED_S_MAX} s")
    return float(min(accepted)) - at_s


def _of_gaps(name: str, gaps_s: list[float], median: float | None, worst: float) -> list[Figure]:
    runs = f"{len(gaps_s)} runs"
    middle = None if median is None else Goal(median, is_ratio=False)
    return [
        Figure(f"{name}, median of {runs}", "s", statistics.median(gaps_s), 0.0, middle),
        Figure(f"{name}, worst of {runs}", "s", max(gaps_s), 0.0, Goal(worst, is_ratio=False)),
    ]


def blocked_loop(folder: Path, outstanding: int, seconds: float) -> list[Figure]:
    """Something keeps the leader's loop for 300 ms of each second under full load: nobody may take over."""
    with group(folder) as ours:
        leader = ours.leader()
        before = leader.ask("look")["term"]
        found = leader.ask("write", outstanding=outstanding, seconds=seconds, block_s=0.3)
        changes = max(process.ask("look")["term"] for process in ours.processes.values()) - before
    name = "loop blocked 300 ms each second"
    return [
        Figure(f"{name}, leadership changes in {seconds:g} s", "", float(changes), 0.0, Goal(0.0, is_ratio=False)),
        Figure(f"{name}, writes, p99", "s", found["p99_s"], 0.0),
        Figure(f"{name}, writes", "/s", found["rate"], 0.0),
    ]
