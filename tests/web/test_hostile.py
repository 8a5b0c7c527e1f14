"""Clients that mean harm, over real sockets: slow, greedy, many, or sending bytes that ask for memory.

The corpus has the bytes that are read in two ways; here are the clients whose bytes are well formed. Limits are short,
so that a test waits for the server to act, never for time to pass.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgpack
import pytest
import trio

from aether.web.config import WebConfig
from aether.web.request import Handler, Request, Response, text_response
from aether.web.service import WebServer

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def hello(request: Request) -> Response:
    return text_response("hello")


class Open:
    """A server on a real port."""

    def __init__(self, server: WebServer, address: str) -> None:
        self.server = server
        self.host, _, port = address.rpartition(":")
        self.port = int(port)

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(self.host, self.port)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for the server to get there; the test's own time limit bounds it."""
        while not holds():
            await trio.sleep(0.005)

    async def ask(self) -> bytes:
        """A good client: one request on a fresh connection."""
        async with await self.connect() as stream:
            await stream.send_all(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            return await everything(stream)


async def everything(stream: trio.SocketStream) -> bytes:
    raw = b""
    try:
        async for part in stream:
            raw += part
    except trio.BrokenResourceError:
        return raw
    return raw


@asynccontextmanager
async def opened(handler: Handler = hello, **limits: object) -> AsyncIterator[Open]:
    server = WebServer(handler, WebConfig(**limits))
    async with trio.open_nursery() as nursery:
        address = await nursery.start(server.run)
        with trio.fail_after(50):
            yield Open(server, address)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"", None),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", 408),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\nabc", 408),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", 408),
    ],
    ids=["idle", "header", "body", "chunks"],
)
async def test_a_client_that_stops_anywhere_is_cut(first, status):
    """Half-open connections, and those of a client whose machine has gone, end by themselves."""
    async with opened(idle_s=0.1, header_s=0.1, body_s=0.1) as here, await here.connect() as stream:
        if first:
            await stream.send_all(first)
        answer = await everything(stream)
        assert answer[9:12] == (b"" if status is None else str(status).encode())
        await here.until(lambda: not here.server._connections)


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"a"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n", b"a"),
    ],
    ids=["header", "body"],
)
async def test_a_client_that_drips_is_cut_like_one_that_stops(first, drop):
    """A byte now and then keeps no connection alive."""
    async with opened(header_s=0.2, body_s=0.2, body_bytes_per_s_min=100_000) as here, await here.connect() as stream:
        await stream.send_all(first)
        dropped = 0
        async with trio.open_nursery() as nursery:

            async def drip() -> None:
                nonlocal dropped
                while True:
                    await trio.sleep(0.01)
                    await stream.send_all(drop)
                    dropped += 1

            nursery.start_soon(drip)
            assert (await stream.receive_some())[:12] == b"HTTP/1.1 408"
            nursery.cancel_scope.cancel()
        assert dropped < 100
        await here.until(lambda: not here.server._connections)


async def test_a_client_that_never_reads_is_cut_and_holds_little():
    """The kernel takes what its buffers hold; the rest must not wait for ever."""

    async def large(request: Request) -> Response:
        return Response(200, b"x" * 50_000_000)

    async with opened(large, send_s=0.2, send_bytes_per_s_min=1_000_000_000) as here, await here.connect() as stream:
        await stream.send_all(GET)
        await here.until(lambda: len(here.server._connections) == 1)
        await here.until(lambda: not here.server._connections)
        assert len(await everything(stream)) < 50_000_000


async def test_a_flood_of_pipelined_requests_without_reading_is_bounded():
    """Requests come from the kernel one at a time; who does not read the answers is cut."""
    answered = 0

    async def handler(request: Request) -> Response:
        nonlocal answered
        answered += 1
        assert here.server.held < 200_000
        return Response(200, b"x" * 10_000)

    async with opened(handler, send_s=0.2, send_bytes_per_s_min=1_000_000_000) as here, await here.connect() as stream:
        async with trio.open_nursery() as nursery:

            async def flood() -> None:
                try:
                    for _ in range(10_000):
                        await stream.send_all(GET * 100)
                except trio.BrokenResourceError:
                    return

            nursery.start_soon(flood)
            await here.until(lambda: answered > 3)
            assert b"200 OK" in await here.ask()
            await here.until(lambda: not here.server._connections)
    assert answered < 10_000


async def test_pipelined_requests_take_turns_with_other_connections():
    """One connection that sends ahead must not keep the loop to itself."""
    order: list[str] = []

    async def handler(request: Request) -> Response:
        order.append(request.path)
        return Response(204)

    async with opened(handler) as here, await here.connect() as greedy, await here.connect() as modest:
        await here.until(lambda: len(here.server._connections) == 2)
        await greedy.send_all(GET.replace(b"/ ", b"/greedy ") * 500)
        await modest.send_all(GET.replace(b"/ ", b"/modest "))
        await here.until(lambda: len(order) == 501)
    assert order.index("/modest") < 400


async def test_a_flood_of_connections_locks_nobody_out_and_costs_no_more_than_its_limit():
    """Idle ones make room, the oldest first; a good client always finds a place."""
    async with opened(connections_max=20) as here:
        crowd = []
        for number in range(100):
            crowd.append(await here.connect())
            if number % 10 == 9:
                assert b"hello" in await here.ask()
            assert len(here.server._connections) <= 22
        for stream in crowd:
            await stream.aclose()
        await here.until(lambda: not here.server._connections)


async def test_connections_that_are_all_at_work_turn_others_away_with_503():
    """Better a clear word, and soon, than a client that hangs."""
    release = trio.Event()

    async def handler(request: Request) -> Response:
        await release.wait()
        return Response(204)

    async with opened(handler, connections_max=2) as here:
        busy = [await here.connect() for _ in range(2)]
        for stream in busy:
            await stream.send_all(GET)
        await here.until(lambda: len(here.server._connections) == 2)
        await here.until(lambda: not any(c._phase.name == "IDLE" for c in here.server._connections))
        refused = await here.ask()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: " in refused
        head, _, body = refused.partition(b"\r\n\r\n")
        assert f"X-Request-Id: {json.loads(body)['requestId']}\r\n".encode() in head + b"\r\n"
        release.set()
        for stream in busy:
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 204 ")
            await stream.aclose()


async def test_slow_clients_cost_a_good_one_nothing_but_a_place():
    """A few hundred that drip, and one that works: they hold what they sent and one task each, and it is served."""
    crowd_size = 300
    async with opened(header_s=30.0, body_s=30.0) as here:
        crowd = [await here.connect() for _ in range(crowd_size)]
        heads = (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n")
        for number, stream in enumerate(crowd):
            await stream.send_all(heads[number % 2])
        await here.until(lambda: len(here.server._connections) == crowd_size)
        before = trio.lowlevel.current_statistics().tasks_living
        async with await here.connect() as good:
            for round_of in range(20):
                for stream in crowd[round_of::20]:
                    await stream.send_all(b"a")
                await good.send_all(GET)
                assert b"hello" in await good.receive_some()
        await here.until(lambda: len(here.server._connections) == crowd_size)
        assert here.server.held < 100 * crowd_size
        assert trio.lowlevel.current_statistics().tasks_living - before <= 1
        assert before < crowd_size + 50
        for stream in crowd:
            await stream.aclose()
        await here.until(lambda: not here.server._connections)
        assert here.server.held == 0


async def test_a_client_that_resets_its_connection_costs_nothing(caplog):
    """RST in the middle of anything: no log, no task, no connection left."""
    async with opened() as here:
        for sent in (b"", GET[:10], GET, GET * 3 + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"):
            stream = await here.connect()
            if sent:
                await stream.send_all(sent)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()
        assert b"hello" in await here.ask()
        await here.until(lambda: not here.server._connections)
    assert not caplog.records


# --- bytes that ask for memory ----------------------------------------------------------------------------------------

_NODE = """
import resource
import trio
import aether

@aether.slice
class Sum:
    @aether.post("/sum")
    async def sum(self, numbers: list[int]) -> int:
        return sum(numbers)

async def main():
    async with aether.Cluster.open(Sum, http=0) as cluster:
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20,) * 2)
        print(cluster.addresses.http_address, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""

_WIDE = 9_000_000
BOMBS = {
    "an array that is not there": b"\xdd\xff\xff\xff\xff",
    "a map that is not there": b"\xdf\xff\xff\xff\xff",
    "a text that is not there": b"\xdb\xff\xff\xff\xff",
    "bytes that are not there": b"\xc6\xff\xff\xff\xff",
    "an extension that is not there": b"\xc9\xff\xff\xff\xff\x01",
    "a time": b"\xd6\xff\x00\x00\x00\x01",
    "arrays in arrays": b"\xdd\xff\xff\xff\xff" * 10_000,
    "arrays as wide as the body": (b"\xdd" + _WIDE.to_bytes(4, "big")) * 500 + b"\xc0" * _WIDE,
    "maps in maps": b"\x81\xa1a" * 100_000,
    "short arrays in short arrays": b"\x91" * 1_000_000,
    "keys twice": b"\x82\xa7numbers\x90\xa7numbers\x91",
    "a number as a key": b"\x81\x01\x90",
}


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
async def test_bodies_that_announce_memory_do_not_get_it():
    """msgpack of a few bytes has made servers reserve gigabytes; JSON nests as deep as one likes. All on one node."""
    process = await trio.lowlevel.open_process([sys.executable, "-c", _NODE], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        host, _, port = (await process.stdout.receive_some()).decode().strip().rpartition(":")
        with trio.fail_after(50):

            async def post(body: bytes, kind: str) -> int:
                async with await trio.open_tcp_stream(host, int(port)) as stream:
                    head = f"POST /sum HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n"
                    await stream.send_all(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                    found = re.match(rb"HTTP/1\.1 (\d+) ", await everything(stream))
                    assert found is not None, "the node did not survive"
                    return int(found[1])

            for name, bomb in BOMBS.items():
                assert 400 <= await post(bomb, "application/msgpack") < 500, name
            for bomb in (b"[" * 1_000_000, b'{"numbers":' * 100_000, b"[" + b"1," * 1_000_000):
                assert 400 <= await post(bomb, "application/json") < 500
            assert await post(msgpack.packb({"numbers": [1, 2]}), "application/msgpack") == 200
            assert await post(b'{"numbers": [1, 2]}', "application/json") == 200
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()
