"""One node under measurement: it does what its standard input says, and answers each line with one.

Lines are JSON: `["write", {"outstanding": 256, "seconds": 2}]` in, an object out. Times of different processes compare:
they are of the machine's monotonic clock.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import attrs
import trio

import aether
from aether.cluster.runner import settle_heap
from aether.errors import AetherError
from aether.kv import keys
from aether.kv.commands import Batch, Put
from aether.kv.keys import MapRow
from aether.node.seams import Seams
from benchmarks.cluster import open_member
from benchmarks.limits import drive
from benchmarks.traffic_transport import Notes, TrafficTransport, make_traffic_transport

MAP = "bench"
KEYS = 10_000
FILLERS = 128
WATCH_S = 0.005
ROOM = MapRow(entries_max=2_000_000, bytes_max=240 * 2**20)


class Member:
    """The commands, each a method that gives what to answer."""

    def __init__(self, cluster: aether.Cluster, nursery: trio.Nursery) -> None:
        self._node, self._kv = cluster._node, cluster.kv
        self._nursery = nursery
        self._pulses: list[tuple[float, float]] = []
        self._pulsing = trio.CancelScope()
        self._stall_s = 0.0
        self._number = 0
        nursery.start_soon(self._watch_loop)

    async def _watch_loop(self) -> None:
        """How late this task wakes is how long others kept the loop."""
        while True:
            due_s = time.monotonic() + WATCH_S
            await trio.sleep(WATCH_S)
            self._stall_s = max(self._stall_s, time.monotonic() - due_s)

    async def look(self) -> dict[str, object]:
        """Role, cost so far, and the longest stall of the loop since `settle`."""
        status = self._node.consensus.status
        resident_pages = _resident_pages()
        return {
            "name": status.node,
            "leads": self._kv.leadership is not None,
            "leader": status.leader,
            "term": status.term,
            "connected": len(self._node.transport.connected()),
            "revision": self._kv.revision,
            "written": self._number,
            "log_begins": self._node.consensus._core._log.first_index,
            "cpu_s": time.process_time(),
            "resident_bytes": resident_pages * resource.getpagesize(),
            "stall_s": self._stall_s,
        }

    async def prepare(self) -> dict[str, object]:
        """Room in the map, and a heap that the collector leaves alone, as the runner does it."""
        await self._kv.propose(Batch((), (Put(keys.map_definition(MAP), ROOM),)))
        return await self.settle()

    async def settle(self) -> dict[str, object]:
        settle_heap()
        await trio.sleep(2 * WATCH_S)
        self._stall_s = 0.0
        return {}

    async def write(self, outstanding: int, seconds: float, live_keys: int = KEYS, block_s: float = 0.0) -> object:
        """A closed loop of writes; with `block_s` something keeps the loop so long in every second."""

        async def put(_: bytes, value: bytes) -> None:
            self._number += 1
            row = keys.map_entry(MAP, b"%016d" % (self._number % live_keys))
            await self._kv.propose(Batch((), (Put(row, value),)))

        async with trio.open_nursery() as nursery:
            if block_s:
                nursery.start_soon(_block, block_s)
            found = await self._drive(put, outstanding, seconds)
            nursery.cancel_scope.cancel()
        return found

    async def read(self, outstanding: int, seconds: float) -> object:
        """A closed loop of linearizable reads."""
        row = keys.map_entry(MAP, b"%016d" % 1)

        async def get(_: bytes, __: bytes) -> None:
            await self._kv.barrier()
            self._kv.get(row)

        return await self._drive(get, outstanding, seconds)

    async def fill(self, entries: int, live_keys: int, value_bytes: int) -> dict[str, object]:
        """Exactly so many writes, over so many keys."""
        numbers, values = iter(range(entries)), [os.urandom(value_bytes) for _ in range(64)]
        self._number += entries

        async def writer() -> None:
            for number in numbers:
                row = keys.map_entry(MAP, b"%016d" % (number % live_keys))
                await self._kv.propose(Batch((), (Put(row, values[number % len(values)]),)))

        async with trio.open_nursery() as nursery:
            for _ in range(FILLERS):
                nursery.start_soon(writer)
        return {}

    async def traffic(self, bodies: bool = False) -> dict[str, object]:
        """What was noted since the last time this was asked; from now on there are bodies, or none."""
        transport = self._node.transport
        assert isinstance(transport, TrafficTransport), "start this node with --traffic"
        found, transport.notes = transport.notes, Notes()
        transport.carries_bodies = bodies
        return attrs.asdict(found)

    async def _drive(self, act: Callable[[bytes, bytes], Awaitable[None]], outstanding: int, seconds: float) -> object:
        before_s, first = time.process_time(), self._number
        rate, p50_s, p99_s = await drive(act, outstanding, seconds)
        written = self._number - first
        cpu_s = time.process_time() - before_s
        return {"rate": rate, "p50_s": p50_s, "p99_s": p99_s, "cpu_s": cpu_s, "written": written}

    async def pulse(self, every_s: float) -> dict[str, object]:
        """Begin an open loop of writes, each independent of the others; `pulses` tells what became of them."""
        self._pulses.clear()
        self._pulsing = trio.CancelScope()
        self._nursery.start_soon(self._beat, every_s)
        return {}

    async def _beat(self, every_s: float) -> None:
        with self._pulsing:
            async with trio.open_nursery() as nursery:
                for number in range(10_000):
                    nursery.start_soon(self._attempt, number)
                    await trio.sleep(every_s)

    async def _attempt(self, number: int) -> None:
        began_s = time.monotonic()
        try:
            await self._kv.propose(Batch((), (Put(keys.map_entry(MAP, b"%016d" % number), bytes(128)),)))
        except AetherError:
            return  # a refusal is no accepted write
        self._pulses.append((began_s, time.monotonic()))

    async def pulses(self, since_s: float, within_s: float) -> dict[str, object]:
        """When the first write that began after `since_s` was accepted; then the loop ends."""
        first: float | None = None
        with trio.move_on_after(within_s):
            while first is None:
                await trio.sleep(WATCH_S)
                first = min((done_s for began_s, done_s in self._pulses if began_s > since_s), default=None)
        self._pulsing.cancel()
        return {"first_s": first}

    async def journal(self, start: int, outstanding: int) -> dict[str, object]:
        """Write distinct keys from `start` for ever; tell each batch of acknowledged numbers as soon as it is."""
        told: list[tuple[int, int]] = []
        number = start

        async def writer() -> None:
            nonlocal number
            while True:
                mine, number = number, number + 1
                row = keys.map_entry(MAP, b"%016d" % mine)
                result = await self._kv.propose(Batch((), (Put(row, b"%d" % mine),)))
                told.append((mine, result.revision))

        async def teller() -> None:
            while True:
                await trio.sleep(0.01)
                if told:
                    print(json.dumps(told), flush=True)
                    told.clear()

        for _ in range(outstanding):
            self._nursery.start_soon(writer)
        self._nursery.start_soon(teller)
        return {}

    async def missing(self, numbers: list[int]) -> dict[str, object]:
        """Which of the numbers that `journal` wrote are not there."""
        await self._kv.barrier()
        found = [(n, self._kv.get(keys.map_entry(MAP, b"%016d" % n))) for n in numbers]
        return {"missing": [n for n, value in found if value != b"%d" % n]}


def _resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


async def _block(block_s: float) -> None:
    while True:
        time.sleep(block_s)  # noqa: ASYNC251 - what a careless slice does is measured here
        await trio.sleep(1.0 - block_s)


async def serve(options: argparse.Namespace) -> None:
    """Open the node, say how long that took until it answered, then do what comes."""
    began_s = time.monotonic()
    made = partial(make_traffic_transport, bodies=options.traffic == "bodies")
    seams = Seams(make_transport=made) if options.traffic else None
    place = (options.name, options.names, options.ports, options.folder)
    async with (
        open_member(*place, hosts=options.hosts, seams=seams) as cluster,
        trio.open_nursery() as nursery,
    ):
        member = Member(cluster, nursery)
        if options.serving:
            await cluster.kv.barrier()
        print(json.dumps({"serving_s": time.monotonic() - began_s, "stall_s": member._stall_s}), flush=True)
        lines = trio.lowlevel.FdStream(os.dup(0))
        buffer = b""
        while data := await lines.receive_some(65_536):
            *complete, buffer = (buffer + data).split(b"\n")
            for line in complete:
                name, arguments = json.loads(line)
                print(json.dumps(await getattr(member, name)(**arguments)), flush=True)
        nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--ports", nargs="+", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--serving", action="store_true", help="say that it is open only once it answers reads")
    parser.add_argument("--hosts", nargs="+", default=(), help="where each node is, when not on the loopback interface")
    parser.add_argument("--traffic", choices=("quiet", "bodies"), help="note each heartbeat, with bodies beside them")
    trio.run(serve, parser.parse_args())


if __name__ == "__main__":
    main()
