"""The limit beside which calls are measured: ping-pong of two processes over bare trio and msgpack.

Nothing but the hot path: length-prefixed msgpack on one connection, a task per call at the callee, callers woken by
correlation id. `eager` writes each message at once; `coalesced` lets a writer task join what gathered meanwhile.
Beside it, the same ping-pong over two TcpTransports, and the ratio.

    python -m benchmarks.bare_call [--seconds 3]

`benchmarks/calls.py` imports `measure_bare`; figures of one sitting compare, those of two machines do not.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import random
import socket
import statistics
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import msgpack
import outcome
import trio

from benchmarks.figure import Figure, medians

OUTSTANDING = 64
REQUEST = {"sku": "a-17", "qty": 2}
SIZE = struct.Struct(">I")

Call = Callable[[Any], Awaitable[Any]]


class Figures(NamedTuple):
    """p50_us, p99_us of one caller in sequence; rate of OUTSTANDING callers in a closed loop, calls per second."""

    p50_us: float
    p99_us: float
    rate: float

    def __str__(self) -> str:
        return f"p50 {self.p50_us:7.1f} us   p99 {self.p99_us:7.1f} us   {self.rate:9,.0f} calls/s at {OUTSTANDING}"


async def measure(call: Call, seconds: float) -> Figures:
    """Drive `call` for `seconds` in sequence, then as long with OUTSTANDING callers, after a short warm-up of each."""
    await _sequence(call, seconds / 5)
    times = sorted(await _sequence(call, seconds))
    await _rate(call, seconds / 5)
    rate = await _rate(call, seconds)
    return Figures(statistics.median(times) * 1e6, times[int(len(times) * 0.99)] * 1e6, rate)


async def _sequence(call: Call, seconds: float) -> list[float]:
    times: list[float] = []
    now = trio.current_time
    end = now() + seconds
    began = now()
    while began < end:
        await call(REQUEST)
        done = now()
        times.append(done - began)
        began = done
    return times


async def _rate(call: Call, seconds: float) -> float:
    count = 0
    end = trio.current_time() + seconds

    async def caller() -> None:
        nonlocal count
        while trio.current_time() < end:
            await call(REQUEST)
            count += 1

    async with trio.open_nursery() as nursery:
        for _ in range(OUTSTANDING):
            nursery.start_soon(caller)
    return count / seconds


# --- waiting for an answer --------------------------------------------------------------------------------------------


class Waiters:
    """Callers asleep, by correlation id: the cheapest way that trio has to wake one task."""

    def __init__(self) -> None:
        self._tasks: dict[int, trio.lowlevel.Task] = {}
        self._next = 0

    def number(self) -> int:
        self._next += 1
        return self._next

    async def wait(self, number: int) -> Any:
        self._tasks[number] = trio.lowlevel.current_task()
        return await trio.lowlevel.wait_task_rescheduled(functools.partial(self._abort, number))

    def _abort(self, number: int, _: object) -> trio.lowlevel.Abort:
        self._tasks.pop(number, None)
        return trio.lowlevel.Abort.SUCCEEDED

    def wake(self, number: int, answer: Any) -> None:
        task = self._tasks.pop(number, None)
        if task is not None:
            trio.lowlevel.reschedule(task, outcome.Value(answer))


# --- the bare connection ----------------------------------------------------------------------------------------------


class BareConnection:
    """One socket, driven directly. `eager` or not decides who writes."""

    def __init__(self, sock: socket.socket, *, eager: bool) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, self._eager = sock, eager
        self._queue: list[bytes] = []
        self._wake = trio.lowlevel.ParkingLot()
        self._is_idle = False

    def send(self, value: object) -> None:
        body = msgpack.packb(value)
        frame = SIZE.pack(len(body)) + body
        if self._eager and self._is_idle:
            with contextlib.suppress(BlockingIOError):
                frame = frame[self._socket.send(frame) :]
        if frame:
            self._queue.append(frame)
            if self._is_idle:
                self._is_idle = False
                self._wake.unpark()

    async def write(self) -> None:
        while True:
            while self._queue:
                batch, self._queue = memoryview(b"".join(self._queue)), []
                while batch:
                    try:
                        batch = batch[self._socket.send(batch) :]
                    except BlockingIOError:
                        await trio.lowlevel.wait_writable(self._socket)
            self._is_idle = True
            await self._wake.park()

    async def read(self, handle: Callable[[Any], None]) -> None:
        rest = b""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            data = self._socket.recv(65_536)
            if not data:
                return
            data = rest + data if rest else data
            position, available = 0, len(data)
            while available - position >= 4:
                end = position + 4 + SIZE.unpack_from(data, position)[0]
                if end > available:
                    break
                handle(msgpack.unpackb(data[position + 4 : end]))
                position = end
            rest = data[position:]


async def serve_bare(form: str) -> None:
    """Answer until the caller closes its connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    sock, _ = listener.accept()
    listener.close()
    connection = BareConnection(sock, eager=form == "eager")
    async with trio.open_nursery() as nursery:

        async def answer(number: int, request: dict[str, Any]) -> None:
            connection.send((number, request))

        nursery.start_soon(connection.write)
        await connection.read(lambda message: nursery.start_soon(answer, *message))
        nursery.cancel_scope.cancel()


async def call_bare(port: int, form: str, seconds: float) -> Figures:
    """Measure against `serve_bare` on `port`."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        connection, waiters = BareConnection(sock, eager=form == "eager"), Waiters()

        async def call(request: Any) -> Any:
            number = waiters.number()
            connection.send((number, request))
            return await waiters.wait(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.write)
            nursery.start_soon(connection.read, lambda message: waiters.wake(*message))
            figures = await measure(call, seconds)
            nursery.cancel_scope.cancel()
    return figures


# --- the same over two transports -------------------------------------------------------------------------------------


class Ping(NamedTuple):
    number: int
    value: Any


class Pong(NamedTuple):
    number: int
    value: Any


def _transport(name: str, peers: dict[str, str]) -> Any:
    from aether.transport import TcpTransport
    from aether.wire import Identity, Lane, MessageTable

    table = MessageTable()
    for tag, cls in enumerate((Ping, Pong), 1):
        table.register(tag, cls, Lane.CALLS, tuple, lambda fields, cls=cls: cls(*fields))
    identity = Identity(cluster="bench", node=name, store=name, incarnation=str(random.random()))
    return TcpTransport(identity, "127.0.0.1:0", peers, table)


def _handlers(message: dict[type, Callable[..., None]], connected: Callable[[Any], None] = lambda node: None) -> Any:
    from aether.transport import Handlers

    return Handlers(message=message, connected=connected, disconnected=lambda node: None)


async def serve_transport() -> None:
    """Answer until killed."""
    transport = _transport("callee", {})
    async with trio.open_nursery() as nursery:

        async def answer(peer: Any, ping: Ping, request_id: str) -> None:
            transport.send(peer, Pong(*ping), request_id)

        handlers = _handlers({Ping: lambda *message: nursery.start_soon(answer, *message)})
        print((await nursery.start(transport.run, handlers)).rpartition(":")[2], flush=True)


async def call_transport(port: int, seconds: float) -> Figures:
    """Measure against `serve_transport` on `port`."""
    waiters, connected = Waiters(), trio.Event()
    transport = _transport("caller", {"callee": f"127.0.0.1:{port}"})

    async def call(request: Any) -> Any:
        number = waiters.number()
        assert transport.send("callee", Ping(number, request), "")
        return await waiters.wait(number)

    async with trio.open_nursery() as nursery:
        handlers = _handlers({Pong: lambda peer, pong, request_id: waiters.wake(*pong)}, lambda node: connected.set())
        await nursery.start(transport.run, handlers)
        await connected.wait()
        figures = await measure(call, seconds)
        nursery.cancel_scope.cancel()
    return figures


# --- two processes ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def callee(what: str) -> Iterator[int]:
    """The answering process; yields its port, and ends it."""
    command = [sys.executable, "-m", "benchmarks.bare_call", "--serve", what]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def measure_bare(form: str, seconds: float = 3.0) -> Figures:
    """The limit. form  "eager" (latency counts) or "coalesced" (throughput counts)"""
    with callee(form) as port:
        return trio.run(call_bare, port, form, seconds)


def measure_transport(seconds: float = 3.0) -> Figures:
    """The same ping-pong over two TcpTransports."""
    with callee("transport") as port:
        return trio.run(call_transport, port, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description="Calls between two processes: the bare limit and the transport.")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each figure is measured (default 3)")
    parser.add_argument("--serve", choices=["eager", "coalesced", "transport"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve == "transport":
        trio.run(serve_transport)
    elif arguments.serve:
        trio.run(serve_bare, arguments.serve)
    else:
        report(arguments.seconds)


def report(seconds: float) -> None:
    eager, coalesced = measure_bare("eager", seconds), measure_bare("coalesced", seconds)
    transport = measure_transport(seconds)
    print(f"bare, eager       {eager}")
    print(f"bare, coalesced   {coalesced}")
    print(f"TcpTransport      {transport}")
    print(
        f"transport / bare  p50 {transport.p50_us / eager.p50_us:.2f} x eager, "
        f"rate {transport.rate / coalesced.rate:.2f} x coalesced, {transport.rate / eager.rate:.2f} x eager"
    )


def figures(seconds: float, rounds: int) -> list[Figure]:
    found = []
    for _ in range(rounds):
        ours, eager = measure_transport(seconds), measure_bare("eager", seconds)
        found.append((ours.p50_us, eager.p50_us, ours.rate, measure_bare("coalesced", seconds).rate))
    p50_us, bare_p50_us, rate, bare_rate = medians(found)
    return [
        Figure("transport alone, one at a time, p50", "us", p50_us, bare_p50_us),
        Figure("transport alone, 64 outstanding", "/s", rate, bare_rate),
    ]


if __name__ == "__main__":
    main()
