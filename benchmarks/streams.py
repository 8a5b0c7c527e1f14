"""Streams between two whole nodes, beside a stream of bare trio and msgpack; and what a slow reader costs in memory.

    python -m benchmarks.streams [--seconds 2] [--profile reader.prof | --profile-sender sender.prof]

Two processes, each a founding node of one cluster over loopback TCP. One serves an async generator of small objects;
the other reads it by `aether.stream` through a typed proxy, with flow control, one frame for each item. The bare stream
does the least that is comparable: one length-prefixed msgpack for each item, written in batches, read into a queue that
wakes its reader once a batch. The slow reader takes an item of 4 KiB every 2 ms from a generator that never waits.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import os
import signal
import socket
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgpack
import trio

import aether
from benchmarks.bare_call import SIZE
from benchmarks.calls import profiled
from benchmarks.cluster import free_ports, open_member, processes, wait_connected
from benchmarks.figure import Figure, Goal, medians

READER, SENDER = NAMES = ("reader", "sender")
GOAL_ITEMS, GOAL_SHARE = Goal(100_000.0, at_least=True, is_ratio=False), Goal(0.25, at_least=True)
GOAL_GROWTH = Goal(16.0, is_ratio=False)
BATCH = 64
BIG = b"x" * 4096
SLOW_S = 0.002


@aether.slice(artifact="bench:ticker:1.0.0")
class Ticker:
    async def ticks(self) -> AsyncIterator[dict[str, int]]:
        number = 0
        while True:
            yield {"tick": number}
            number += 1

    async def numbers(self) -> AsyncIterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    async def blocks(self) -> AsyncIterator[bytes]:
        while True:
            yield BIG

    async def process(self) -> int:
        return os.getpid()


# --- ours -------------------------------------------------------------------------------------------------------------


async def serve(ports: list[int], folder: Path, profile: str) -> None:
    """Send until told to end."""
    async with open_member(SENDER, NAMES, ports, folder, Ticker) as cluster, trio.open_nursery() as nursery:
        gc.freeze()

        async def watch() -> None:
            with trio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        await profiled(profile, cluster.wait_closed)


async def read(ports: list[int], folder: Path, seconds: float, profile: str) -> tuple[float, float, float, float]:
    """Items per second: objects, numbers; growth in MiB by a slow reader: reader, sender."""
    async with open_member(READER, NAMES, ports, folder) as cluster:
        await wait_connected(cluster, 1)
        ticker = cluster.get(Ticker)
        with trio.fail_after(30.0):
            sender = await ticker.process()
        gc.freeze()
        await rate(ticker.ticks(), seconds / 4)
        objects = await profiled(profile, rate, ticker.ticks(), seconds)
        numbers = await rate(ticker.numbers(), seconds)
        return objects, numbers, *await growth(ticker, sender, seconds)


async def rate(source: Any, seconds: float) -> float:
    count = 0
    async with aether.stream(source) as items:
        began = trio.current_time()
        with trio.move_on_after(seconds):
            async for _ in items:
                count += 1
        return count / (trio.current_time() - began)


async def growth(ticker: Ticker, sender: int, seconds: float) -> tuple[float, float]:
    async with aether.stream(ticker.blocks()) as blocks:
        for _ in range(2_000):  # a few windows, so that all buffers have their size
            await anext(blocks)
        before = resident(os.getpid()), resident(sender)
        with trio.move_on_after(seconds):
            async for _ in blocks:
                await trio.sleep(SLOW_S)
        return resident(os.getpid()) - before[0], resident(sender) - before[1]


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(seconds: float, profile: str = "", profile_sender: str = "") -> tuple[float, float, float, float]:
    """Two fresh processes; this one reads."""
    with tempfile.TemporaryDirectory() as name:
        ports, folder = free_ports(2), Path(name)
        command = ["-m", "benchmarks.streams", "--serve", *map(str, ports), "--folder", name]
        command += ["--profile-sender", profile_sender] if profile_sender else []
        with processes([command]) as running:
            found = trio.run(functools.partial(read, ports, folder, seconds, profile))
            running[0].terminate()  # so that it can write its profile
            running[0].wait(10.0)
            return found


# --- the bare limit ---------------------------------------------------------------------------------------------------


async def serve_bare() -> None:
    """Send until the reader closes its connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    sock, _ = listener.accept()
    listener.close()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    number = 0
    with contextlib.suppress(trio.BrokenResourceError):
        while True:
            batch = []
            for _ in range(BATCH):
                body = msgpack.packb((1, number, {"tick": number}))
                batch.append(SIZE.pack(len(body)) + body)
                number += 1
            await stream.send_all(b"".join(batch))


async def read_bare(port: int, seconds: float) -> float:
    """Items per second."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream, trio.open_nursery() as nursery:
        items: deque[Any] = deque()
        wake, room = trio.lowlevel.ParkingLot(), trio.lowlevel.ParkingLot()

        async def receive() -> None:
            rest = b""
            while True:
                data = rest + await stream.receive_some(65_536)
                position, available = 0, len(data)
                while available - position >= 4:
                    end = position + 4 + SIZE.unpack_from(data, position)[0]
                    if end > available:
                        break
                    items.append(msgpack.unpackb(data[position + 4 : end]))
                    position = end
                rest = data[position:]
                wake.unpark()
                while len(items) > 1_024:
                    await room.park()

        nursery.start_soon(receive)
        count, began = 0, trio.current_time()
        with trio.move_on_after(seconds):
            while True:
                while items:
                    items.popleft()
                    count += 1
                room.unpark()
                await wake.park()
        spent_s = trio.current_time() - began
        nursery.cancel_scope.cancel()
    return count / spent_s


def measure_bare(seconds: float) -> float:
    with processes([["-m", "benchmarks.streams", "--bare"]]) as (sender,):
        assert sender.stdout is not None
        return trio.run(read_bare, int(sender.stdout.readline()), seconds)


def figures(seconds: float, rounds: int) -> list[Figure]:
    found = [(*measure(seconds), measure_bare(seconds)) for _ in range(rounds)]
    objects, numbers, reader_mib, sender_mib, bare = medians(found)
    return [
        Figure("stream of small objects, items", "/s", objects, bare, GOAL_ITEMS),
        Figure("stream of small objects, beside bare", "/s", objects, bare, GOAL_SHARE),
        Figure("stream of numbers, items", "/s", numbers, bare),
        Figure("slow reader of a stream, memory of the reader", "MiB more", reader_mib, 0.0, GOAL_GROWTH),
        Figure("slow reader of a stream, memory of the sender", "MiB more", sender_mib, 0.0, GOAL_GROWTH),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Streams between two whole nodes.")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each figure is measured (default 2)")
    parser.add_argument("--profile", default="", help="file for the profile of the reading process")
    parser.add_argument("--profile-sender", default="", help="file for the profile of the sending process")
    parser.add_argument("--serve", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        trio.run(serve, options.serve, options.folder, options.profile_sender)
    elif options.bare:
        trio.run(serve_bare)
    else:
        objects, numbers, reader_mib, sender_mib = measure(options.seconds, options.profile, options.profile_sender)
        print(f"aether   {objects:10,.0f} objects/s   {numbers:10,.0f} numbers/s")
        print(f"bare     {measure_bare(options.seconds):10,.0f} objects/s")
        print(f"slow reader: {reader_mib:+.1f} MiB at the reader, {sender_mib:+.1f} MiB at the sender")


if __name__ == "__main__":
    main()
