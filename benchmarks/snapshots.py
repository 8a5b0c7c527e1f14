"""A snapshot of many rows is taken, sent and installed: what the loop and the memory feel of it.

Two nodes share one loop, and their messages are function calls: the longest stall is the worse of both, and no network
hides it. Beside each stall, as its bare limit, stands the processor time of the loop's longest turn: what a busy
machine adds to that is not ours. Beside each duration stand the same bytes copied to the disk.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import trio

from aether.consensus.config import RaftConfig
from aether.consensus.membership import MembershipChange
from aether.consensus.messages import Message
from aether.consensus.service import ConsensusService
from aether.consensus.values import Role
from aether.forge.polling import until
from aether.kv import keys as keys_of_rows
from aether.kv.commands import Apply, encode_command, stamped
from aether.kv.store import Store
from aether.model.ids import NodeId
from aether.storage.disk import DiskStorage
from aether.work import BareThreadWork
from benchmarks.figure import Figure, Goal

A, B = NodeId("a"), NodeId("b")
ROWS_AT_ONCE = 200
VALUE_BYTES = 128
BETWEEN_SNAPSHOTS = 10
STALL_S_MAX = 0.05
SOON_S = 300.0
WIDE = keys_of_rows.MAP_DEFINITION.encode(keys_of_rows.MapRow(entries_max=10**7, bytes_max=2**34))


class Gauge:
    """Longest stall of the loop, most processor time of one turn, highest resident bytes since the last `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.stall_s = self.turn_s = 0.0
        self.peak_bytes = resident()

    async def run(self) -> None:
        while True:
            due_s, began_s = trio.current_time() + 0.001, time.thread_time()
            await trio.sleep_until(due_s)
            self.stall_s = max(self.stall_s, trio.current_time() - due_s)
            self.turn_s = max(self.turn_s, time.thread_time() - began_s)
            self.peak_bytes = max(self.peak_bytes, resident())


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


class Node:
    """One service over a directory."""

    def __init__(self, folder: Path, name: NodeId, send: Callable[[NodeId, Message], bool]) -> None:
        self.folder, self.name, self._send = folder / name, name, send
        self.scope = trio.CancelScope()

    async def start(self, nursery: trio.Nursery) -> float:
        """Seconds from opening the directory to serving."""
        began_s = time.perf_counter()
        self.scope = trio.CancelScope()
        self.storage = await trio.to_thread.run_sync(DiskStorage, self.folder, "bench", self.name)
        self.store = Store(2**40)
        voters = (A,) if self.name == A else ()
        config = RaftConfig(node=self.name, voters=voters, random=random.Random(1), entries_kept=10)
        self.service = ConsensusService(
            config,
            self.storage,
            self.store,
            self._send,
            BareThreadWork(),
            entries_between_snapshots=BETWEEN_SNAPSHOTS,
        )
        await nursery.start(self._run)
        return time.perf_counter() - began_s

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        with self.scope:
            await self.service.run(task_status=task_status)

    async def stop(self) -> None:
        self.scope.cancel()
        await trio.sleep(0.1)
        self.storage.close()


async def soon(condition: Callable[[], bool]) -> None:
    await until(condition, SOON_S, every_s=0.005)


async def write(node: Node, *changes: tuple[str, bytes]) -> None:
    """One entry of the log."""
    revision = node.store.revision
    node.service.propose(stamped(encode_command(Apply(0, 0, 0, (), changes)), 1))
    await soon(lambda: node.store.revision > revision)


async def fill(node: Node, first: int, last: int) -> None:
    """Rows `first` .. `last`, anew."""
    for start in range(first, last, ROWS_AT_ONCE):
        numbers = range(start, start + ROWS_AT_ONCE)
        await write(node, *((f"maps/bench/{number:012d}", os.urandom(VALUE_BYTES)) for number in numbers))


async def rewrite(node: Node, keys: int) -> None:
    """A tenth of the rows, until as many bytes were written as make a snapshot due."""
    for _ in range(11):
        await fill(node, 0, keys // 10)


async def measure(folder: Path, keys: int) -> dict[str, float]:
    found: dict[str, float] = {}
    gauge = Gauge()
    nodes: dict[NodeId, Node] = {}

    def carry(sender: NodeId, to: NodeId, message: Message) -> bool:
        if to in nodes and not nodes[to].scope.cancel_called:
            trio.lowlevel.current_trio_token().run_sync_soon(nodes[to].service.deliver, sender, message)
        return True

    async with trio.open_nursery() as nursery:
        nodes[A] = leader = Node(folder, A, partial(carry, A))
        await leader.start(nursery)
        await soon(lambda: leader.service.status.role is Role.LEADER)
        await write(leader, (keys_of_rows.map_definition("bench").text, WIDE))
        await fill(leader, 0, keys)
        await trio.sleep(1)
        nursery.start_soon(gauge.run)

        one_state = resident()
        gauge.reset()
        before = leader.service._core.snapshot_index
        began_s = time.perf_counter()
        await rewrite(leader, keys)
        await soon(lambda: leader.service._core.snapshot_index > before)
        found["take_s"] = time.perf_counter() - began_s
        found["take_stall_s"], found["take_turn_s"] = gauge.stall_s, gauge.turn_s
        found["take_peak"] = gauge.peak_bytes / one_state
        newest = max((folder / A / "snapshots").iterdir())
        found["bytes"] = newest.stat().st_size

        nodes[B] = follower = Node(folder, B, partial(carry, B))
        await follower.start(nursery)
        gauge.reset()
        began_s = time.perf_counter()
        change = MembershipChange(add=(B,))
        await leader.service.membership.change(change, leader.service.status.configuration_index)
        await soon(lambda: follower.store.revision >= leader.store.revision)
        found["join_s"] = time.perf_counter() - began_s
        found["join_stall_s"], found["join_turn_s"] = gauge.stall_s, gauge.turn_s

        await follower.stop()
        before = leader.service._core.snapshot_index
        await rewrite(leader, keys)
        await soon(lambda: leader.service._core.snapshot_index > before)
        found["restart_s"] = await follower.start(nursery)
        two_states = resident()
        gauge.reset()
        began_s = time.perf_counter()
        await soon(lambda: follower.store.revision >= leader.store.revision)
        found["again_s"] = time.perf_counter() - began_s
        found["again_stall_s"], found["again_turn_s"] = gauge.stall_s, gauge.turn_s
        found["again_peak"] = gauge.peak_bytes / two_states
        assert follower.store.map_usage("bench").entries == keys, "rows were refused"
        assert follower.store.snapshot() == leader.store.snapshot(), "the states differ"
        nursery.cancel_scope.cancel()
    for node in nodes.values():
        node.storage.close()
    return found


def copied_s(folder: Path, size: int) -> float:
    """Seconds to write as many bytes to the disk, and nothing else."""
    block = os.urandom(1 << 20)
    began_s = time.perf_counter()
    with (folder / "bare").open("wb") as file:
        for _ in range(0, size, len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - began_s


def figures(seconds: float, rounds: int) -> list[Figure]:
    """Over 200,000 keys; fewer when a figure may take only an instant."""
    del rounds  # each part happens once: its longest stall is the figure
    keys = 200_000 if seconds >= 1 else 2_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("AETHER_BENCH_DIRECTORY")) as name:
        found = trio.run(measure, Path(name), keys)
        bare_s = copied_s(Path(name), int(found["bytes"]))
    stall, memory, restart = (Goal(limit, is_ratio=False) for limit in (STALL_S_MAX, 1.3, 3.0))

    def row(what: str, unit: str, name: str, bare: float, goal: Goal | None = None) -> Figure:
        return Figure(f"snapshot of {keys:,} rows: {what}", unit, found[name], bare, goal)

    return [
        row("taken beside writes", "s", "take_s", bare_s),
        row("longest stall while it is taken", "s", "take_stall_s", found["take_turn_s"], stall),
        row("peak of memory while it is taken", "x", "take_peak", 0.0, memory),
        row("sent to and installed by an empty node", "s", "join_s", bare_s),
        row("longest stall of that", "s", "join_stall_s", found["join_turn_s"], stall),
        row("restart of a node to serving", "s", "restart_s", 0.0, restart),
        row("sent and installed over the present state", "s", "again_s", bare_s),
        row("longest stall of that, over a state", "s", "again_stall_s", found["again_turn_s"], stall),
        row("peak of memory of that", "x", "again_peak", 0.0, memory),
    ]
