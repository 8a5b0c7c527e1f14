"""What a cluster of hundreds of nodes costs its leader: whole nodes, in memory and in virtual time.

    python -m benchmarks wide [--sizes 20,50,100,200]

Five nodes vote and the others are workers. At each size the cluster stands idle, takes entries that its nodes propose,
deploys a slice for every node, loses a tenth of its workers at once, and heals. Bytes and frames are counted by the
transport (what keeps TCP connections known to be alive is not among them: a frame of some bytes for each peer and
second, which each node sends to each); processor time is that of the steps of the leader's own tasks.

All nodes share one processor here, and find in its caches the less of their own the more they are: a step that does
the same takes longer among 200 nodes than among 20. So the idle leader is measured twice, the second time with caches
that were emptied before each of its steps, at every size.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Sequence
from typing import Final

import attrs
import trio
import trio.testing

import aether
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.kv.keys import MapRow
from aether.metrics.passing import round_s
from aether.model.lifecycle import SliceState
from benchmarks.figure import Figure, Goal
from benchmarks.wide_cluster import Cost, WideCluster, wide_cluster

SIZES: Final = (20, 50, 100, 200)
GROWTH_MAX: Final = 2.0
SETTLE_S: Final = 5.0  # and until every node was heard of twice
PROPOSERS: Final = 20
PAUSE_S: Final = 0.1  # of each between two entries
SLICES: Final = 5
LOST_SHARE: Final = 0.1
MAP: Final = "wide"
ROOM: Final = MapRow(entries_max=10_000, bytes_max=2**24)
VALUE: Final = bytes(128)


def _slice(number: int) -> type:
    class Wide:
        async def answer(self) -> int:
            return 42

    return aether.slice(artifact=f"wide.slices:s{number}:1.0.0")(Wide)


@attrs.frozen
class Found:
    """Of one size. idle, cold and busy are of the leader, over that many seconds; the rest is in virtual seconds."""

    nodes: int
    idle: Cost
    idle_s: float
    cold: Cost
    cold_s: float
    busy: Cost
    busy_s: float
    deployed: Cost
    deployed_s: float
    healed: Cost
    healed_s: float
    took_s: float

    def per_second(self, what: str) -> float:
        return getattr(self.idle, what) / self.idle_s

    def per_entry(self, what: str) -> float:
        return getattr(self.busy, what) / self.busy.log_index


async def measure(nodes: int, seconds: float, pause_s: float) -> Found:
    """Everything at one size; `seconds` of idling and of entries, `pause_s` between two of one node."""
    began = time.perf_counter()
    slices = [_slice(number) for number in range(SLICES)]
    async with wide_cluster(nodes, *slices) as cluster:
        await trio.sleep(SETTLE_S + 2 * round_s(nodes))
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection would count for whoever allocates next, and look at the objects of all nodes
        try:
            idle = await _cost_of(cluster, trio.sleep, seconds)
            with cluster.meter.from_cold(cluster.leader.config.node):
                cold = await _cost_of(cluster, trio.sleep, seconds)
            busy = await _cost_of(cluster, _propose, cluster, seconds, pause_s)
            gc.enable()
            deployed = await _cost_of(cluster, _deploy, cluster)
            healed = await _cost_of(cluster, _lose, cluster)
        finally:
            gc.enable()
            gc.unfreeze()
        return Found(nodes, *idle, *cold, *busy, *deployed, *healed, time.perf_counter() - began)


async def _cost_of(cluster: WideCluster, work: object, *args: object) -> tuple[Cost, float]:
    name = cluster.leader.config.node
    before, began = cluster.cost(name), trio.current_time()
    await work(*args)
    assert cluster.leader.config.node == name, "the leader changed; its cost is that of an election"
    return cluster.cost(name).since(before), trio.current_time() - began


async def _propose(cluster: WideCluster, seconds: float, pause_s: float) -> None:
    """PROPOSERS nodes write again and again, as the managers of nodes do while something is deployed."""
    nodes = list(cluster.nodes.values())
    kv = nodes[0].kv
    await kv.propose(Batch((), (Put(keys.map_definition(MAP), ROOM),)))
    until = trio.current_time() + seconds

    async def write(number: int) -> None:
        mine = nodes[number * len(nodes) // PROPOSERS].kv
        await trio.sleep(pause_s * number / PROPOSERS)
        while trio.current_time() < until:
            await mine.propose(Batch((), (Put(keys.map_entry(MAP, b"%04d" % number), VALUE),)))
            await trio.sleep(pause_s)

    async with trio.open_nursery() as nursery:
        for number in range(PROPOSERS):
            nursery.start_soon(write, number)


async def _deploy(cluster: WideCluster) -> None:
    """One instance for every node, in SLICES slices."""
    count = len(cluster.nodes)
    for number in range(SLICES):
        share = count // SLICES + (number < count % SLICES)
        await cluster.leader.operator.deploy(f"wide.slices:s{number}:1.0.0", share)
    await cluster.until(lambda: is_converged(cluster, count))


async def _lose(cluster: WideCluster) -> None:
    """A tenth of the workers end at once; what they hosted runs elsewhere afterwards, and every node knows it."""
    workers = [name for name in cluster.nodes if not cluster.is_voter(name)]
    count = len(cluster.nodes)
    await cluster.kill(workers[:: round(1 / LOST_SHARE)][: max(1, round(LOST_SHARE * count))])
    await cluster.until(lambda: is_converged(cluster, count))


def is_converged(cluster: WideCluster, count: int) -> bool:
    """Whether every node sees `count` instances, all ACTIVE and on nodes that run, and calls can reach each of them."""
    nodes = cluster.nodes
    revision, hosts = None, frozenset(nodes)
    for node in nodes.values():
        if node.kv.revision == revision:
            rows_fit = True  # the same rows as those looked at before
        else:
            rows = list(node.kv.rows(keys.INSTANCES))
            living = [row for row in rows if row.state is SliceState.ACTIVE and row.node in hosts]
            rows_fit = len(rows) == len(living) == count
            revision = node.kv.revision
        if not rows_fit or len(list(node.registry.instances())) != count:
            return False
    return True


def run(nodes: int, seconds: float, pause_s: float = PAUSE_S) -> Found:
    return trio.run(measure, nodes, seconds, pause_s, clock=trio.testing.MockClock(autojump_threshold=0))


def figures(seconds: float, rounds: int, own: Sequence[str] = ()) -> list[Figure]:
    """Rows for each size, beside those of the smallest. Bytes do not vary with the machine, so there is one round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks wide")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="nodes (default %(default)s)")
    sizes = [int(size) for size in parser.parse_args(own).sizes.split(",")]
    first: Found | None = None
    rows: list[Figure] = []
    for size in sizes:
        found = run(size, seconds)
        first = first or found
        rows += _rows(found, first)
    return rows


def _rows(found: Found, first: Found) -> list[Figure]:
    goal = Goal(GROWTH_MAX)
    of, to = f"{found.nodes} nodes", f"to that of {first.nodes}"
    rows: list[Figure] = []
    for unit, label, factor in (
        ("bytes", "bytes", 1),
        ("frames", "frames", 1),
    ):
        for way in ("sent", "received"):
            what = f"{way}_{label}"
            rows.append(
                Figure(
                    f"{of}, idle: {label} {way} by the leader a second, {to}",
                    unit,
                    found.per_second(what) * factor,
                    first.per_second(what) * factor,
                    goal,
                )
            )
            rows.append(
                Figure(
                    f"{of}: {label} {way} by the leader an entry, {to}",
                    unit,
                    found.per_entry(what) * factor,
                    first.per_entry(what) * factor,
                    goal,
                )
            )
    idle, busy = 1e3 * found.per_second("cpu_s"), 1e6 * found.per_entry("cpu_s")
    idle_first, busy_first = 1e3 * first.per_second("cpu_s"), 1e6 * first.per_entry("cpu_s")
    cold, cold_first = (1e3 * each.cold.cpu_s / each.cold_s for each in (found, first))
    return [
        *rows,
        Figure(f"{of}, idle: processor time of the leader a second, {to}", "ms", idle, idle_first, goal),
        Figure(f"{of}, idle: the same from cold caches at every size, {to}", "ms", cold, cold_first, goal),
        Figure(f"{of}: processor time of the leader an entry, {to}", "us", busy, busy_first, goal),
        Figure(f"{of}: an instance for each ACTIVE, virtual time", "s", found.deployed_s, first.deployed_s),
        Figure(f"{of}: healed after a tenth is lost, virtual time", "s", found.healed_s, first.healed_s),
        Figure(f"{of}: processor time of the leader to deploy them", "s", found.deployed.cpu_s, first.deployed.cpu_s),
    ]
