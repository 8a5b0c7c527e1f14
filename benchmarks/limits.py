"""Bare limits: what trio, msgpack and the disk allow when nothing of the runtime is in the way.

`BareLog` is a replicated log with group commit and a sync on every member, and nothing that makes it correct: one fixed
leader, no terms, no elections, no checks, no repair. Its rate is the ceiling for ours on the machine at hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import msgpack
import outcome
import trio

PREALLOCATED_BYTES = 64 * 2**20
BATCHES_IN_FLIGHT = 4


def preallocated(path: Path) -> int:
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    for _ in range(PREALLOCATED_BYTES >> 20):
        os.write(fd, bytes(1 << 20))
    os.fsync(fd)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


async def frames(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    buffer = bytearray()
    while chunk := await stream.receive_some(1 << 18):
        buffer += chunk
        while len(buffer) >= 4 and len(buffer) >= 4 + (length := int.from_bytes(buffer[:4], "big")):
            yield bytes(buffer[4 : 4 + length])
            del buffer[: 4 + length]


async def follow(directory: Path) -> None:
    """A follower: write, sync, apply, acknowledge. Prints its port once it listens."""
    fd, state = preallocated(directory / "bare-log"), {}

    async def serve(stream: trio.SocketStream) -> None:
        async for frame in frames(stream):
            last, entries = msgpack.unpackb(frame)
            os.write(fd, frame)
            os.fdatasync(fd)
            state.update(entries)
            await stream.send_all(framed(msgpack.packb(last)))

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listener.socket.getsockname()[1], flush=True)
    await trio.serve_listeners(serve, [listener])


class BareLog:
    """The leader, in the caller's process."""

    def __init__(self, fd: int, streams: list[trio.SocketStream]) -> None:
        self._fd, self._streams = fd, streams
        self._entries: list[tuple[bytes, bytes]] = []
        self._waiting: list[trio.lowlevel.Task] = []
        self._in_flight: deque[tuple[int, list[tuple[bytes, bytes]], list[trio.lowlevel.Task]]] = deque()
        self._last, self._durable = 0, [0, 0, 0]
        self._proposed, self._room = trio.Event(), trio.Event()
        self.state: dict[bytes, bytes] = {}

    async def propose(self, key: bytes, value: bytes) -> None:
        """Once two of three members have synced it."""
        self._entries.append((key, value))
        self._waiting.append(trio.lowlevel.current_task())
        self._proposed.set()
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for member, stream in enumerate(self._streams, 1):
                nursery.start_soon(self._hear, member, stream)
            while True:
                await self._proposed.wait()
                self._proposed = trio.Event()
                while len(self._in_flight) >= BATCHES_IN_FLIGHT:
                    self._room = trio.Event()
                    await self._room.wait()
                await self._flush()

    async def _flush(self) -> None:
        entries, self._entries = self._entries, []
        waiting, self._waiting = self._waiting, []
        self._last += len(entries)
        self._in_flight.append((self._last, entries, waiting))
        body = msgpack.packb((self._last, entries))
        last = self._last
        for stream in self._streams:
            await stream.send_all(framed(body))
        os.write(self._fd, body)
        os.fdatasync(self._fd)
        self._acknowledge(0, last)

    async def _hear(self, member: int, stream: trio.SocketStream) -> None:
        async for frame in frames(stream):
            self._acknowledge(member, msgpack.unpackb(frame))

    def _acknowledge(self, member: int, last: int) -> None:
        self._durable[member] = last
        committed = sorted(self._durable)[1]
        while self._in_flight and self._in_flight[0][0] <= committed:
            _, entries, waiting = self._in_flight.popleft()
            self.state.update(entries)
            for task in waiting:
                trio.lowlevel.reschedule(task, outcome.Value(None))
            self._room.set()


async def drive(propose, outstanding: int, duration_s: float) -> tuple[float, float, float]:
    """A closed loop: commands per second, and latency p50 and p99 in seconds."""
    value = os.urandom(128)
    latencies_s: list[float] = []
    number = 0
    began_s = time.perf_counter()

    async def worker() -> None:
        nonlocal number
        sent_s = began_s
        while sent_s - began_s < duration_s:  # each at least once, however late it comes to its turn
            sent_s = time.perf_counter()
            number += 1
            await propose(b"%016d" % number, value)
            latencies_s.append(time.perf_counter() - sent_s)

    async with trio.open_nursery() as nursery:
        for _ in range(outstanding):
            nursery.start_soon(worker)
    elapsed_s = time.perf_counter() - began_s
    latencies_s.sort()
    return len(latencies_s) / elapsed_s, latencies_s[len(latencies_s) // 2], latencies_s[len(latencies_s) * 99 // 100]


async def bare_log_rate(directory: Path, outstanding: int, duration_s: float) -> tuple[float, float, float]:
    """Rate, p50 and p99 of the bare log over three processes."""
    followers: list[subprocess.Popen[str]] = []
    for name in ("b", "c"):
        (directory / name).mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.limits", str(directory / name)]
        followers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))  # noqa: ASYNC220 - before anything is measured
    try:
        ports = [int(follower.stdout.readline()) for follower in followers if follower.stdout]
        streams = [await trio.open_tcp_stream("127.0.0.1", port) for port in ports]
        log = BareLog(preallocated(directory / "bare-log"), streams)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(log.run)
            await drive(log.propose, min(outstanding, 8), 0.2)
            result = await drive(log.propose, outstanding, duration_s)
            nursery.cancel_scope.cancel()
        return result
    finally:
        for follower in followers:
            follower.kill()
            follower.wait()


if __name__ == "__main__":
    trio.run(follow, Path(sys.argv[1]))
