"""The replicated log alone: three processes, real TCP, real disks; ours beside the bare limit of the same run.

    python -m benchmarks.replicated_log --seconds 3 --rounds 3 --outstanding 1 256

A process leads and proposes; two others follow. Every command is synced on a majority before it counts.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgpack
import outcome
import trio

from aether.consensus.config import RaftConfig
from aether.consensus.entry import Entry, EntryKind
from aether.consensus.messages import SnapshotChunk
from aether.consensus.service import ConsensusService
from aether.consensus.spelling import MESSAGES
from aether.consensus.values import Role
from aether.model.ids import Incarnation, LogIndex, NodeId
from aether.storage.disk import DiskStorage
from aether.transport.tcp import TcpTransport
from aether.transport.values import Handlers
from aether.wire.lane import Lane
from aether.wire.session import Identity
from aether.wire.table import MessageTable
from aether.work import BareThreadWork
from benchmarks.cluster import free_ports
from benchmarks.figure import Figure, medians
from benchmarks.limits import bare_log_rate, drive

NAMES = (NodeId("a"), NodeId("b"), NodeId("c"))
PARK = trio.lowlevel.Abort.FAILED


class Dictionary:
    """The least state machine: put, and wake who waits for it."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.waiting: dict[int, trio.lowlevel.Task] = {}

    def apply(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind is EntryKind.COMMAND:
                number, key, value = msgpack.unpackb(entry.payload)
                self.rows[key] = value
                task = self.waiting.pop(number, None)
                if task is not None:
                    trio.lowlevel.reschedule(task, outcome.Value(None))

    def freeze(self) -> Iterator[bytes]:
        rows = dict(self.rows)
        return (msgpack.packb(pair) for pair in rows.items())

    def restoration(self, index: LogIndex) -> Incoming:
        del index
        return Incoming(self)


class Incoming:
    """The rows of a snapshot, as they come."""

    def __init__(self, machine: Dictionary) -> None:
        self._machine, self._unpacker = machine, msgpack.Unpacker()
        self._rows: dict[bytes, bytes] = {}

    def feed(self, piece: bytes) -> None:
        self._unpacker.feed(piece)
        for key, value in self._unpacker:
            self._rows[key] = value

    def finish(self) -> None:
        self._machine.rows = self._rows


class Member:
    """One node: storage, transport and consensus, wired as a real node wires them."""

    def __init__(self, name: NodeId, ports: Sequence[int], directory: Path) -> None:
        addresses = {node: f"127.0.0.1:{port}" for node, port in zip(NAMES, ports, strict=True)}
        table = MessageTable()
        for tag, (cls, encode, decode) in MESSAGES.items():
            table.register(tag, cls, Lane.BULK if cls is SnapshotChunk else Lane.CONSENSUS, encode, decode)
        self.storage = DiskStorage(directory / name, "bench", name)
        identity = Identity(
            cluster="bench", node=name, store=self.storage.store_id, incarnation=Incarnation("1"), initial=NAMES
        )
        self.transport = TcpTransport(identity, addresses[name], addresses, table)
        ticks = (10, 20) if name == NAMES[0] else (100, 200)  # so that the process which proposes leads
        config = RaftConfig(
            node=name,
            voters=NAMES,
            random=random.Random(name),
            election_ticks_min=ticks[0],
            election_ticks_max=ticks[1],
        )
        self.machine = Dictionary()
        self.service = ConsensusService(config, self.storage, self.machine, self.transport.send, BareThreadWork())
        self._number = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        handlers = Handlers(
            message={cls: self._deliver for cls, _, _ in MESSAGES.values()},
            connected=self.service.peer_opened,
            disconnected=self.service.peer_closed,
        )
        with closing(self.storage):
            async with trio.open_nursery() as nursery:
                await nursery.start(self.transport.run, handlers)
                await nursery.start(self.service.run)
                task_status.started()

    def _deliver(self, sender: NodeId, message: object, request_id: str) -> None:
        del request_id
        self.service.deliver(sender, message)

    async def propose(self, key: bytes, value: bytes) -> None:
        self._number += 1
        self.service.propose(msgpack.packb((self._number, key, value)))
        self.machine.waiting[self._number] = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(lambda _: PARK)


async def follow(name: str, ports: Sequence[int], directory: Path) -> None:
    await Member(NodeId(name), ports, directory).run()


async def our_rate(
    directory: Path, outstanding: int, duration_s: float, profile: str = ""
) -> tuple[float, float, float]:
    """Rate, p50 and p99 of the replicated log over three processes."""
    ports = free_ports(3)
    followers = [
        subprocess.Popen(  # noqa: ASYNC220 - before anything is measured
            [sys.executable, "-m", "benchmarks.replicated_log", "--member", name, *map(str, ports), str(directory)]
        )
        for name in NAMES[1:]
    ]
    try:
        member = Member(NAMES[0], ports, directory)
        async with trio.open_nursery() as nursery:
            await nursery.start(member.run)
            status = member.service.status
            with trio.fail_after(30.0):
                while status.role is not Role.LEADER or len(member.transport.connected()) < 2:
                    await trio.sleep(0.02)
                    status = member.service.status
            gc.collect()
            gc.freeze()
            await drive(member.propose, min(outstanding, 8), 0.2)
            if profile:
                import cProfile

                profiler = cProfile.Profile()
                profiler.enable()
            result = await drive(member.propose, outstanding, duration_s)
            if profile:
                profiler.disable()
                profiler.dump_stats(profile)
            nursery.cancel_scope.cancel()
        return result
    finally:
        for follower in followers:
            follower.kill()
            follower.wait()


def compare(outstanding: int, duration_s: float, rounds: int, profile: str = "") -> float:
    """Print one line per kind; the ratio of the medians."""
    rows: dict[str, list[tuple[float, float, float]]] = {"bare limit": [], "aether": []}
    for _ in range(rounds):
        for name, results in rows.items():
            directory = Path(tempfile.mkdtemp(prefix="replicated-log-"))
            try:
                if name == "aether":
                    results.append(trio.run(our_rate, directory, outstanding, duration_s, profile))
                else:
                    results.append(trio.run(bare_log_rate, directory, outstanding, duration_s))
            finally:
                shutil.rmtree(directory)
    rates = {}
    for name, results in rows.items():
        rate, p50_s, p99_s = (statistics.median(column) for column in zip(*results, strict=True))
        rates[name] = rate
        latency = f"p50 {p50_s * 1e6:7,.0f} us  p99 {p99_s * 1e6:7,.0f} us"
        print(f"{outstanding:4} outstanding  {name:10}  {rate:9,.0f}/s  {latency}")
    ratio = rates["aether"] / rates["bare limit"]
    print(f"{outstanding:4} outstanding  ratio {ratio:.2f} of the bare limit", flush=True)
    return ratio


def figures(seconds: float, rounds: int) -> list[Figure]:
    rates = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as bare:
            mine = trio.run(our_rate, Path(ours), 256, seconds)[0]
            rates.append((mine, trio.run(bare_log_rate, Path(bare), 256, seconds)[0]))
    return [Figure("replicated log alone, 256 outstanding", "/s", *medians(rates))]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--member", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--outstanding", type=int, nargs="+", default=[1, 256])
    parser.add_argument("--profile", default="", help="file for the leader's profile")
    options = parser.parse_args(arguments)
    if options.member:
        name, *ports, directory = options.member
        trio.run(follow, name, [int(port) for port in ports], Path(directory))
        return
    print("durable replicated writes: 16-byte keys, 128-byte values, three processes, fdatasync on each")
    began_s = time.monotonic()
    for outstanding in options.outstanding:
        compare(outstanding, options.seconds, options.rounds, options.profile)
    print(f"took {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
