"""The leader's decision over many slices, nodes and instances: how long it takes, and how long it holds the loop.

Three views of each size: settled (nothing to do), fresh (nothing runs yet) and lost (a tenth of the nodes is gone).
Beside each duration, as its bare limit, stands a loop that looks at each instance and node once. Processor time counts:
what else the machine does is not ours. A stall is the longest time between two places where the decision can yield; the
whole turn is that of a ClusterDeploymentManager over a store in memory, reading and writing included.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import trio

from aether.consensus.entry import Entry, EntryKind
from aether.deployment.cluster_manager import ClusterDeploymentManager
from aether.deployment.orders import View
from aether.deployment.reconcile import reconcile
from aether.kv import keys
from aether.kv.commands import Apply, Batch, BatchResult, Put, encode_command, plain_batch, stamped
from aether.kv.history import ChangeHistory
from aether.kv.store import AppliedEntries, Store
from aether.kv.watch import WatcherSet
from aether.kv.watch_service import Watch
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, LeadershipRow, MemberRow
from benchmarks.figure import Figure, Goal

SIZES = ((10, 10, 100), (100, 100, 1_000), (300, 300, 3_000), (1_000, 1_000, 10_000), (1_000, 1_000, 20_000))
LARGEST = (1_000, 1_000, 10_000)
VIEWS = ("settled", "fresh", "lost")
DECISION_S_MAX = 0.5
STALL_S_MAX = 0.02
YIELD_S = 0.005
HERE = Incarnation("i")


def view_of(slices: int, nodes: int, instances: int, kind: str) -> View:
    artifacts = tuple(Artifact.parse(f"shop.g{n % 7}:s{n:04}:1.0.0") for n in range(slices))
    names = [NodeId(f"n{n:04}") for n in range(nodes)]
    members = {node: MemberRow(node=node, incarnation=HERE, available=artifacts) for node in names}
    each = instances // slices
    rows = () if kind == "fresh" else tuple(placed(artifacts, names, each))
    if kind == "lost":
        for node in names[: nodes // 10]:
            del members[node]
    desired = {a.base: DesiredRow(artifact=a, instances=each, blueprint="bench") for a in artifacts}
    return View(desired=desired, instances=rows, members=members)


def placed(artifacts: Sequence[Artifact], nodes: Sequence[NodeId], each: int) -> Iterator[InstanceRow]:
    for number, (artifact, _) in enumerate(itertools.product(artifacts, range(each))):
        yield InstanceRow(
            instance=InstanceId(f"x{number:06}"),
            artifact=artifact,
            node=nodes[number % len(nodes)],
            incarnation=HERE,
            state=SliceState.ACTIVE,
            turn=number,
        )


def fresh_ids() -> Callable[[], InstanceId]:
    numbers = itertools.count()
    return lambda: InstanceId(f"y{next(numbers):06}")


def decided(view: View) -> tuple[float, float, int]:
    """Seconds of the whole decision, of its longest part, and how many orders."""
    gc.collect()
    began = last = time.process_time()
    longest, orders = 0.0, 0
    for part in reconcile(view, fresh_ids()):
        now = time.process_time()
        longest, last = max(longest, now - last), now
        orders += len(part)
    return time.process_time() - began, longest, orders


def bare(view: View) -> tuple[float, int]:
    """Seconds to look at every row once, and to group instances by slice; how many slices have too few."""
    began = time.process_time()
    groups: dict[object, list[InstanceRow]] = {}
    for row in view.instances:
        if row.node in view.members:
            groups.setdefault(row.artifact.base, []).append(row)
    short = sum(len(groups.get(base, ())) < wish.instances for base, wish in view.desired.items())
    return time.process_time() - began, short


class MemoryKv:
    """What a manager asks of KvService, over a store without a group."""

    unreadable = ()

    def __init__(self, view: View) -> None:
        self.store = Store()
        self.changes = ChangeHistory()
        self.watchers = WatcherSet()
        self.store.listen(self._changed)
        node = next(iter(view.members))
        self.leadership = LeadershipRow(term=1, node=node)
        rows = [Put(keys.leadership, self.leadership)]
        rows += [Put(keys.member(row.node), row) for row in view.members.values()]
        rows += [Put(keys.desired(base), row) for base, row in view.desired.items()]
        rows += [Put(keys.instance(row.artifact.base, row.instance), row) for row in view.instances]
        for start in range(0, len(rows), 25):
            self._apply(Batch((), tuple(rows[start : start + 25])))

    def _changed(self, applied: AppliedEntries) -> None:
        self.changes.applied(self.store.revision, applied.changed)
        self.watchers.mark(applied.changed)

    def _apply(self, batch: Batch) -> None:
        command = encode_command(Apply(0, 0, 0, *plain_batch(batch)))
        self.store.apply([Entry(self.store.revision + 1, 1, EntryKind.COMMAND, stamped(command, 0))])

    @property
    def revision(self):
        return self.store.revision

    def get(self, key):
        row = self.store.get(key.text)
        return None if row is None else key.decode(row.value)

    def version(self, key):
        return self.store.version(key.text)

    def rows(self, prefix):
        return (prefix.codec.decode(row.value) for _, row in self.store.scan(prefix))

    def page(self, prefix, after, limit):
        return [(text, row.value, row.version) for text, row in self.store.page(prefix, after, limit)]

    def follow(self, prefix):
        pass

    def versioned(self, text, prefix):
        row = self.store.get(text)
        return None if row is None else (row.version, prefix.codec.decode(row.value))

    def changed_after(self, revision, prefix):
        return self.changes.after(revision, prefix)

    def watch(self, *prefixes):
        return Watch(self.watchers, prefixes)

    async def propose(self, batch, *, fence=None):
        await trio.lowlevel.checkpoint()
        self._apply(batch)
        return BatchResult(True, self.store.revision, None)


async def turn(view: View) -> tuple[float, float]:
    """Seconds of the first turn of a new leader, and of the longest time that it held the loop."""
    kv = MemoryKv(view)
    live = dict.fromkeys(view.members, HERE)
    manager = ClusterDeploymentManager(kv, lambda: live, wall=lambda: 0.0, new_id=fresh_ids())
    longest = 0.0

    async def others() -> None:
        nonlocal longest
        while True:
            before = time.process_time()
            await trio.lowlevel.checkpoint()
            longest = max(longest, time.process_time() - before)

    gc.collect()
    gc.freeze()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await trio.lowlevel.checkpoint()
        longest, began = 0.0, time.process_time()
        await manager._turn()
        took = time.process_time() - began
        nursery.cancel_scope.cancel()
    gc.unfreeze()
    return took, longest


def named(size: tuple[int, int, int], kind: str) -> str:
    return f"reconcile, {size[0]:,} slices x {size[1]:,} nodes x {size[2]:,} instances, {kind}"


def figures(seconds: float, rounds: int) -> list[Figure]:
    found: list[Figure] = []
    for size, kind in itertools.product(SIZES, VIEWS):
        view = view_of(*size, kind)
        runs = [(*decided(view), *bare(view)) for _ in range(rounds)]
        assert all((orders > 0) == (short > 0) for _, _, orders, _, short in runs), f"{kind}: both loops see the same"
        goal = Goal(1e3 * DECISION_S_MAX, is_ratio=False) if size == LARGEST else None
        took, limit = (statistics.median(run[at] for run in runs) for at in (0, 3))
        found.append(Figure(named(size, kind), "ms", 1e3 * took, 1e3 * limit, goal))
        if size == LARGEST:
            stall = statistics.median(run[1] for run in runs)
            stalls = Goal(1e3 * STALL_S_MAX, is_ratio=False)
            found.append(Figure(f"longest part of it, {kind}", "ms", 1e3 * stall, 0.0, stalls))
            turns = [trio.run(turn, view) for _ in range(rounds)]
            whole, held = (1e3 * statistics.median(run[at] for run in turns) for at in (0, 1))
            found.append(Figure(f"first turn of a new leader, {kind}", "ms", whole, 1e3 * limit))
            found.append(Figure(f"longest stall of that turn, {kind}", "ms", held, 0.0, stalls))
    return found


def main() -> None:
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    for figure in figures(0.0, 1):
        print(f"{figure.name:70} {figure.ours:8.1f} {figure.unit}")


if __name__ == "__main__":
    main()
