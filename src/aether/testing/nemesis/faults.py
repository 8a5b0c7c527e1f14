"""What each fault does to the cluster, and how it is undone.

Knows: signals, cuts, the faulty network, limits of processes, clocks.
Never: when a fault comes (schedule), whether the cluster survives it (run).
Holds: leaving a fault's block undoes it, also when the run is cancelled; a killed node is started again.
"""

from __future__ import annotations

import random
import resource
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TypeAlias

import trio

from aether.failpoints import PLACES, VARIABLE
from aether.forge.proxy import SOUND, WayFault
from aether.testing.nemesis.cluster import NemesisCluster, every_way
from aether.testing.nemesis.schedule import CUTS, Cut, Step

Fault: TypeAlias = Callable[[NemesisCluster, random.Random], AbstractAsyncContextManager[str]]
"""Entering does it and gives its words; leaving undoes it."""

SLOW_BYTES_PER_S = (8_000, 100_000)
DELAY_S = (0.01, 0.2)
RESET_EVERY_S = 0.2
FILE_BYTES_LEFT = 0
WALL_POWERS = (1.0, 4.0)
SUSPENDED_S = (0.5, 30.0)
HITS = (1, 1, 2, 5, 20, 100)
ON_DISK = ("wal.", "snapshot.", "storage.")
SYNC_MS = (20, 1_500)
SYNC_PERCENT = (5, 60)


async def _follower(cluster: NemesisCluster, rng: random.Random) -> str:
    leader = await cluster.leader()
    return rng.choice([n for n in cluster.nodes if n != leader])


@asynccontextmanager
async def _killed(cluster: NemesisCluster, *nodes: str) -> AsyncGenerator[str]:
    cluster.may_end.update(nodes)
    await cluster.kill(*nodes)
    try:
        yield f"killed {', '.join(nodes)}"
    finally:
        cluster.may_end.difference_update(nodes)
    await cluster.start_missing()


@asynccontextmanager
async def kill_one(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    async with _killed(cluster, rng.choice(cluster.nodes)) as said:
        yield said


@asynccontextmanager
async def kill_leader(cluster: NemesisCluster, _: random.Random) -> AsyncGenerator[str]:
    async with _killed(cluster, await cluster.leader()) as said:
        yield said


@asynccontextmanager
async def kill_all(cluster: NemesisCluster, _: random.Random) -> AsyncGenerator[str]:
    async with _killed(cluster, *cluster.nodes) as said:
        yield said


@asynccontextmanager
async def _stopped(cluster: NemesisCluster, node: str) -> AsyncGenerator[str]:
    cluster.signal(node, signal.SIGSTOP)
    try:
        yield f"stopped {node}"
    finally:
        cluster.signal(node, signal.SIGCONT)


@asynccontextmanager
async def stop_leader(cluster: NemesisCluster, _: random.Random) -> AsyncGenerator[str]:
    async with _stopped(cluster, await cluster.leader()) as said:
        yield said


@asynccontextmanager
async def stop_follower(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    async with _stopped(cluster, await _follower(cluster, rng)) as said:
        yield said


@asynccontextmanager
async def stutter(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    """The leader stands still again and again, each time for less or more than an election takes."""

    async def blink() -> None:
        while True:
            leader = await cluster.leader()
            async with _stopped(cluster, leader):
                await trio.sleep(rng.uniform(0.05, 1.2))
            await trio.sleep(rng.uniform(0.05, 0.5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(blink)
        yield "stops whoever leads, again and again"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _cut(cut: Cut, cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    ways = cut(cluster.nodes, await cluster.leader(), rng)
    await cluster.cuts.cut(ways)
    try:
        yield "cut " + " ".join(f"{a}>{b}" for a, b in sorted(ways))
    finally:
        with trio.CancelScope(shield=True):
            await cluster.cuts.mend()


@asynccontextmanager
async def _all_ways(cluster: NemesisCluster, fault: WayFault, words: str) -> AsyncGenerator[str]:
    for way in every_way(cluster.nodes):
        if cluster.network.fault(*way) == SOUND:  # what another fault has cut stays cut
            cluster.network.set_fault(*way, fault)
    try:
        yield words
    finally:
        cluster.network.heal()


@asynccontextmanager
async def slow(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    rate = rng.uniform(*SLOW_BYTES_PER_S)
    async with _all_ways(cluster, WayFault(bytes_per_s=rate), f"{rate:.0f} bytes/s on every way") as said:
        yield said


@asynccontextmanager
async def delay(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    delay_s = rng.uniform(*DELAY_S)
    async with _all_ways(cluster, WayFault(delay_s=delay_s), f"{delay_s:.3f} s later on every way") as said:
        yield said


@asynccontextmanager
async def refuse(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    """One node loses its connections and gets no new ones."""
    node = rng.choice(cluster.nodes)
    for a, b in every_way(cluster.nodes):
        if node in (a, b):
            cluster.network.set_fault(a, b, WayFault(is_refusing=True))
            cluster.network.reset(a, b)
    try:
        yield f"refuses {node}"
    finally:
        cluster.network.heal()


@asynccontextmanager
async def half_open(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    """One node forgets all its connections, and nobody is told."""
    node = rng.choice(cluster.nodes)
    lost = sum(cluster.network.half_open(a, b) for a, b in every_way(cluster.nodes) if b == node)
    try:
        yield f"{node} has lost {lost} connections"
    finally:
        cluster.network.heal()


@asynccontextmanager
async def resets(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    """Connections end inside a message, again and again."""

    async def storm() -> None:
        while True:
            cluster.network.reset(*rng.choice(every_way(cluster.nodes)))
            await trio.sleep(RESET_EVERY_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(storm)
        yield "resets connections"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def wall_clock(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    """The wall clock of one node is wrong, by minutes or by hours, before or after the true time."""
    node, wrong_s = rng.choice(cluster.nodes), rng.choice((-1, 1)) * 10 ** rng.uniform(*WALL_POWERS)
    cluster.clocks.set_wall(node, wrong_s)
    try:
        yield f"the wall clock of {node} is wrong by {wrong_s:+.0f} s"
    finally:
        cluster.clocks.set_wall(node, 0.0)


@asynccontextmanager
async def suspended(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    """For one node many seconds pass at once, as after its machine was suspended."""
    node, passed_s = rng.choice(cluster.nodes), rng.uniform(*SUSPENDED_S)
    cluster.clocks.jump(node, passed_s)
    yield f"{passed_s:.1f} s pass at once for {node}"


@asynccontextmanager
async def failing_disk(cluster: NemesisCluster, rng: random.Random) -> AsyncGenerator[str]:
    """A node can write no byte any more: it must end, and come back with all that it acknowledged."""
    node = rng.choice(cluster.nodes)
    cluster.may_end.add(node)
    if node in cluster.processes.running:
        limits = (FILE_BYTES_LEFT, resource.RLIM_INFINITY)
        resource.prlimit(cluster.processes.process_id(node), resource.RLIMIT_FSIZE, limits)
    try:
        yield f"{node} cannot write any more"
    finally:
        cluster.may_end.discard(node)
    await cluster.kill(node)
    await cluster.start_missing()


@asynccontextmanager
async def _armed(
    draw: Callable[[random.Random], str], cluster: NemesisCluster, rng: random.Random
) -> AsyncGenerator[str]:
    """One node is started again with a failpoint armed, and without it when the fault is over."""
    node, plan = rng.choice(cluster.nodes), draw(rng)
    cluster.may_end.add(node)
    await cluster.kill(node)
    await cluster.start_missing({VARIABLE: plan})
    try:
        yield f"{node} runs with {plan}"
    finally:
        cluster.may_end.discard(node)
    await cluster.kill(node)
    await cluster.start_missing()


def drawn_crash(rng: random.Random) -> str:
    """It ends at a place of the program, early or late."""
    return f"{rng.choice(sorted(PLACES))}=crash@{rng.choice(HITS)}"


def drawn_error(rng: random.Random) -> str:
    """The disk reports an error at a place where it is used."""
    used = [place for place in sorted(PLACES) if place.startswith(ON_DISK)]
    return f"{rng.choice(used)}=error(EIO)@{rng.choice(HITS)}"


def drawn_slowness(rng: random.Random) -> str:
    """Some syncs take long."""
    return f"wal.before_sync=sleep({rng.randint(*SYNC_MS)})@%{rng.randint(*SYNC_PERCENT)}"


PROCESS_FAULTS: Mapping[str, Fault] = {
    "kill-one": kill_one,
    "kill-leader": kill_leader,
    "kill-all": kill_all,
    "stop-leader": stop_leader,
    "stop-follower": stop_follower,
    "stutter": stutter,
    "failing-disk": failing_disk,
}
CLOCK_FAULTS: Mapping[str, Fault] = {"wall-clock": wall_clock, "suspended": suspended}
CUT_FAULTS: Mapping[str, Fault] = {name: partial(_cut, cut) for name, cut in CUTS.items()}
PROXY_FAULTS: Mapping[str, Fault] = {
    "slow": slow,
    "delay": delay,
    "refuse": refuse,
    "half-open": half_open,
    "resets": resets,
}


ARMED_FAULTS: Mapping[str, Fault] = {
    "crash-at-place": partial(_armed, drawn_crash),
    "error-at-place": partial(_armed, drawn_error),
    "slow-disk": partial(_armed, drawn_slowness),
}
FAULTS: Mapping[str, Fault] = {
    **PROCESS_FAULTS,
    **CUT_FAULTS,
    **PROXY_FAULTS,
    **ARMED_FAULTS,
    **CLOCK_FAULTS,
}
"""All that need no privilege."""


def rng_of(step: Step, number: int) -> random.Random:
    """What decides about fault `number` of `step`."""
    return random.Random(f"{step.draw} {number}")
