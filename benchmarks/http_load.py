"""Clients for `benchmarks.http`: wrk where it is installed, else sockets driven by Python; crowds that only hold on.

python -m benchmarks.http_load idle|slow ADDRESS COUNT
"""

from __future__ import annotations

import json
import re
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import psutil

BODY = json.dumps({"sku": "abc", "qty": 3}).encode()
REQUEST = (
    b"POST /quote HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: */*\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
_SLOW = b"POST /quote HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
_LUA = f"""wrk.method = "POST"
wrk.body = '{BODY.decode()}'
wrk.headers["Content-Type"] = "application/json"
done = function(s, l, r)
  io.write(string.format("RESULT %d %d %d %d %d\\n", s.requests, s.duration, l:percentile(50), l:percentile(99),
    s.errors.status + s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout))
end
"""


@attrs.frozen
class Measured:
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0.0


def measure(address: str, connections: int, seconds: float, process: psutil.Process | None = None) -> Measured:
    """A closed loop of `connections` for about `seconds`, after a short warm-up. process: whose CPU time counts."""
    load = _by_wrk if shutil.which("wrk") else _by_sockets
    load(address, connections, min(1.0, seconds))
    before = _cpu_s(process)
    count, rate, p50_s, p99_s = load(address, connections, seconds)
    return Measured(rate, 1e3 * p50_s, 1e3 * p99_s, 1e6 * (_cpu_s(process) - before) / count)


def _cpu_s(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


def _by_wrk(address: str, connections: int, seconds: float) -> tuple[int, float, float, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_LUA)
        script.flush()
        whole = f"-d{max(1, round(seconds))}s"
        command = ["wrk", "-t1", f"-c{connections}", whole, "-s", script.name, f"http://{address}/quote"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    if found is None:
        raise RuntimeError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    count, took_us, p50_us, p99_us, errors = map(int, found.groups())
    if errors:
        raise RuntimeError(f"{errors} of {count} requests failed")
    return count, count / took_us * 1e6, p50_us / 1e6, p99_us / 1e6


def _by_sockets(address: str, connections: int, seconds: float) -> tuple[int, float, float, float]:
    client = Client(address, connections)
    began = time.perf_counter()
    took = sorted(client.run(seconds))
    elapsed = time.perf_counter() - began
    client.close()
    return len(took), len(took) / elapsed, took[len(took) // 2], took[len(took) * 99 // 100]


class Client:
    """Connections, each with one request on its way at any time."""

    def __init__(self, address: str, connections: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._began: dict[socket.socket, float] = {}
        self._buffers: dict[socket.socket, bytes] = {}
        for _ in range(connections):
            connection = connect(address)
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
        connection.sendall(REQUEST)

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
        complete = whole(head.lower(), body)
        self._buffers[connection] = b"" if complete else buffer
        return complete


def whole(head: bytes, body: bytes) -> bool:
    """Whether all of a body has come. Its head, in lower case, says how long it is, or that it comes in chunks."""
    if b"\r\ntransfer-encoding: chunked" in head:  # as Ray Serve's proxy does; none of the servers sends trailers
        return body.endswith(b"\r\n0\r\n\r\n")
    return len(body) == int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


# --- crowds -----------------------------------------------------------------------------------------------------------


@contextmanager
def crowd(kind: str, address: str, count: int) -> Iterator[None]:
    """`count` connections that are idle, after one request each, or slow, a byte a second each, until it ends."""
    command = [sys.executable, "-m", "benchmarks.http_load", kind, address, str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if line.strip() != "ready":
            raise RuntimeError(f"the crowd of {count} could not connect")
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def hold(kind: str, address: str, count: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = []
    for _ in range(count):
        connection = connect(address)
        if kind == "idle":
            connection.sendall(REQUEST)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        else:
            connection.sendall(_SLOW)
        connections.append(connection)
    print("ready", flush=True)
    while kind == "idle":
        time.sleep(3600)
    while True:  # each of them once a second
        for at, connection in enumerate(connections):
            connection.send(b"a")
            if at % 20 == 19:
                time.sleep(20 / count)


if __name__ == "__main__":
    hold(sys.argv[1], sys.argv[2], int(sys.argv[3]))
