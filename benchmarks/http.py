"""HTTP: requests per second of our server beside a bare h11 + trio server, in turns, in one run.

Run as a module (`python -m benchmarks.http`): as a script, this file would hide the standard library's `http`.
Each server is a process of its own; the client is one process with 32 keep-alive connections over raw sockets, cheaper
than any of the servers, so that the servers are the limit. CPU per request is shown too: it hardly depends on what
else the machine does.

bare     h11 and trio and nothing else: no limits, no request ids, no cancellation of a handler whose client left
handler  aether.web with a handler that answers as the bare server does
slice    the same behind SliceHandler: route match, request as plain data, answer back, with a call that costs nothing
node     a whole `aether node` with a deployed slice: strict structuring, endpoint choice, deadline, hosting
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import attrs
import h11
import httpx
import psutil
import trio

from aether.model.artifact import ArtifactBase
from aether.model.route import Route
from aether.model.rows import RouteRow
from aether.slice_api.http import HttpInput
from aether.web.config import WebConfig
from aether.web.request import Request, Response, json_response
from aether.web.service import serve
from aether.web.slices import Answered, RouteTable
from aether.web.slices_service import SliceHandler
from benchmarks.figure import Figure, Goal

CONNECTIONS = 32
BODY = json.dumps({"sku": "abc", "qty": 3}).encode()
GOAL = 0.5
SERVERS = ("bare", "handler", "slice", "node")
_REQUEST = (
    b"POST /quote HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: */*\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


def total(body: bytes) -> dict[str, object]:
    asked = json.loads(body)
    return {"sku": asked["sku"], "total": 250 * asked["qty"]}


# --- servers ----------------------------------------------------------------------------------------------------------


async def bare(stream: trio.SocketStream) -> None:
    """One connection of the least server that h11 and trio allow."""
    connection = h11.Connection(h11.SERVER)
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            answer = json.dumps(total(body)).encode()
            head = h11.Response(
                status_code=200, headers=[("content-type", "application/json"), ("content-length", str(len(answer)))]
            )
            sent = [connection.send(part) for part in (head, h11.Data(data=answer), h11.EndOfMessage())]
            await stream.send_all(b"".join(sent))
            connection.start_next_cycle()
            body = b""
        elif isinstance(event, h11.ConnectionClosed):
            return


async def serve_bare() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(f"127.0.0.1:{listener.socket.getsockname()[1]}", flush=True)
    await trio.serve_listeners(bare, [listener])


async def handle(request: Request) -> Response:
    return json_response(total(request.body))


async def call(artifact: ArtifactBase, method: str, payload: object, request_id: str) -> Answered:
    body = HttpInput.from_plain(payload).body
    return Answered(200, "application/json", json.dumps(total(body)).encode())


async def serve_ours(kind: str) -> None:
    rows = [RouteRow(artifact=ArtifactBase("shop", "pricing"), routes=(Route("POST", "/quote", "quote"),))]
    table = RouteTable(rows)
    handler = handle if kind == "handler" else SliceHandler(lambda: table, call, lambda: True)
    async with trio.open_nursery() as nursery:
        print(await nursery.start(serve, handler, WebConfig()), flush=True)


# --- client -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Measured:
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


class Client:
    """32 connections, each with one request on its way at any time."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._selector = selectors.DefaultSelector()
        self._began: dict[socket.socket, float] = {}
        self._buffers: dict[socket.socket, bytes] = {}
        for _ in range(CONNECTIONS):
            connection = socket.create_connection((host, int(port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(connection, selectors.EVENT_READ)
            self._buffers[connection] = b""

    def run(self, seconds: float) -> list[float]:
        """Seconds that each request took, answered within `seconds`. Leaves the connections idle."""
        took: list[float] = []
        for connection in self._buffers:
            self._ask(connection)
        until = time.perf_counter() + seconds
        outstanding = len(self._buffers)
        while outstanding:
            for key, _ in self._selector.select(5.0):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if not self._answered(connection):
                    continue
                now = time.perf_counter()
                took.append(now - self._began[connection])
                if now < until:
                    self._ask(connection)
                else:
                    outstanding -= 1
        return took

    def close(self) -> None:
        for connection in self._buffers:
            connection.close()

    def _ask(self, connection: socket.socket) -> None:
        self._began[connection] = time.perf_counter()
        connection.sendall(_REQUEST)

    def _answered(self, connection: socket.socket) -> bool:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection in the middle of the benchmark")
        buffer = self._buffers[connection] + data
        head, mark, body = buffer.partition(b"\r\n\r\n")
        if not mark:
            self._buffers[connection] = buffer
            return False
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        complete = len(body) == length
        self._buffers[connection] = b"" if complete else buffer
        return complete


def measure(process: psutil.Process, client: Client, seconds: float) -> Measured:
    client.run(min(0.3, seconds))  # warm
    before, began = process.cpu_times(), time.perf_counter()
    took = sorted(client.run(seconds))
    elapsed, after = time.perf_counter() - began, process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    return Measured(len(took) / elapsed, 1e3 * p50, 1e3 * p99, 1e6 * cpu / len(took))


def start(name: str) -> tuple[subprocess.Popen[str], str]:
    """The server as a process, and its address."""
    command = [sys.executable, "-m", "benchmarks.http", "--serve", name]
    if name == "node":
        ports = ["--port", "0", "--http-port", "0", "--management-port", "0"]
        command = [sys.executable, "-m", "aether", "node", *ports, "--app", "benchmarks.quote_slice", "--insecure"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if name != "node":
        return process, line.strip()
    urls = dict(re.findall(r"(http|management) http://(\S+)", line))
    wish = {"artifact": "bench:quotes:1.0.0", "instances": 1}
    for _ in range(50):  # until the node is ready
        answer = httpx.post(f"http://{urls['management']}/deploy?wait=20", json=wish, timeout=30.0, trust_env=False)
        if answer.is_success:
            return process, urls["http"]
        time.sleep(0.2)
    process.kill()
    raise RuntimeError(f"the slice could not be deployed: {answer.text}")


def compare(servers: Sequence[str], seconds: float, rounds: int) -> dict[str, list[Measured]]:
    """Every server, in turns: what disturbs the machine disturbs all alike."""
    running: dict[str, subprocess.Popen[str]] = {}
    clients: dict[str, Client] = {}
    try:
        for name in servers:
            running[name], address = start(name)
            clients[name] = Client(address)
        found: dict[str, list[Measured]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name in servers:
                found[name].append(measure(psutil.Process(running[name].pid), clients[name], seconds))
        for client in clients.values():
            client.close()
        return found
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def figures(seconds: float, rounds: int) -> list[Figure]:
    found = compare(("bare", "handler", "node"), seconds, rounds)
    rates = {name: statistics.median(each.rate for each in measured) for name, measured in found.items()}
    p99_ms = {name: statistics.median(each.p99_ms for each in measured) for name, measured in found.items()}
    return [
        Figure("HTTP to a local slice, 32 connections", "/s", rates["node"], rates["bare"], Goal(GOAL, at_least=True)),
        Figure("HTTP to a local slice, 32 connections, p99", "ms", p99_ms["node"], p99_ms["bare"]),
        Figure("HTTP server alone, 32 connections", "/s", rates["handler"], rates["bare"]),
    ]


def main(seconds: float = 3.0, rounds: int = 3) -> None:
    found = compare(SERVERS, seconds, rounds)
    print(f"POST JSON, {CONNECTIONS} keep-alive connections, median of {rounds} rounds of {seconds:g} s")
    print(f"{'':10} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8} {'x bare':>8} {'x bare CPU':>11}")

    def median(name: str, field: str) -> float:
        return statistics.median(getattr(measured, field) for measured in found[name])

    for name in SERVERS:
        rate, cpu = median(name, "rate"), median(name, "cpu_us")
        times = f"{median(name, 'p50_ms'):8.2f} {median(name, 'p99_ms'):8.2f} {cpu:8.1f}"
        ratios = f"{rate / median('bare', 'rate'):8.2f} {median('bare', 'cpu_us') / cpu:11.2f}"
        print(f"{name:10} {rate:11.0f} {times} {ratios}")
    ratio = median("node", "rate") / median("bare", "rate")
    print(f"goal: node >= {GOAL} x bare: {'met' if ratio >= GOAL else 'MISSED'} ({ratio:.2f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", choices=SERVERS)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.serve == "bare":
        trio.run(serve_bare)
    elif chosen.serve:
        trio.run(serve_ours, chosen.serve)
    else:
        main(chosen.seconds, chosen.rounds)
