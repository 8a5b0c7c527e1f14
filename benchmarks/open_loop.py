"""A generator of HTTP requests that does not wait for answers, cheaper than any server: raw sockets and one selector.

Knows: keep-alive connections, as many as are busy at a time; a request that is given up closes its connection.
"""

from __future__ import annotations

import errno
import math
import random
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence

import attrs

DEADLINE_S = 1.0
CONNECTIONS_MAX = 2_000
_GO_ON = (errno.EINPROGRESS, errno.EAGAIN)


@attrs.define
class Outcome:
    """What an open loop saw, in seconds. answered  from when it was due; late  how late calls were sent"""

    answered: list[float] = attrs.field(factory=list)
    refused: int = 0
    lost: int = 0
    late: list[float] = attrs.field(factory=list)


def percentile(times: Sequence[float], share: float) -> float:
    """Infinity of none."""
    ordered = sorted(times)
    return ordered[int(len(ordered) * share)] if ordered else math.inf


@attrs.define(eq=False)
class _Connection:
    """One request at a time. due  None while idle"""

    socket: socket.socket
    due: float | None = None
    buffer: bytes = b""
    sent: bool = False


class HttpLoop:
    """Requests to one path of one server."""

    def __init__(self, address: str, path: str) -> None:
        host, _, port = address.rpartition(":")
        self._to = (host, int(port))
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode()
        self._selector = selectors.DefaultSelector()
        self._idle: list[_Connection] = []
        self._open = 0
        self._asked: deque[tuple[float, _Connection]] = deque()  # in the order of their due times
        self._outcome = Outcome()

    def run(self, rate: float, seconds: float) -> Outcome:
        """Random times, `rate` a second on average, and until each is answered or lost."""
        self._outcome = outcome = Outcome()
        arrivals = _arrivals(rate, time.perf_counter(), seconds)
        due = next(arrivals, None)
        while due is not None or self._asked:
            now = time.perf_counter()
            while due is not None and due <= now:
                outcome.late.append(now - due)
                self._ask(due)
                due = next(arrivals, None)
            self._give_up(now - DEADLINE_S)
            until = min(
                now + 0.05 if due is None else due, self._asked[0][0] + DEADLINE_S if self._asked else now + 0.05
            )
            self._receive(max(0.0, until - time.perf_counter()))
        return outcome

    def closed(self, clients: int, seconds: float) -> float:
        """Answers per second that `clients` get, each asking again when it was answered."""
        self._outcome = outcome = Outcome()
        began = time.perf_counter()
        for _ in range(clients):
            self._ask(began)
        while (now := time.perf_counter()) < began + seconds:
            answered = len(outcome.answered)
            self._receive(0.05)
            for _ in range(len(outcome.answered) - answered):
                self._ask(now)
            self._give_up(now - 10.0)
        rate = len(outcome.answered) / seconds
        while self._asked:
            self._receive(0.05)
            self._give_up(time.perf_counter() - 10.0)
        return rate

    # --- one request --------------------------------------------------------------------------------------------------

    def _ask(self, due: float) -> None:
        connection = self._idle.pop() if self._idle else self._connect()
        if connection is None:
            self._outcome.refused += 1
            return
        connection.due = due
        self._asked.append((due, connection))
        if connection.sent:
            self._send(connection)

    def _connect(self) -> _Connection | None:
        if self._open >= CONNECTIONS_MAX:
            return None
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if made.connect_ex(self._to) not in (0, *_GO_ON):
            made.close()
            return None
        connection = _Connection(made)
        self._selector.register(made, selectors.EVENT_WRITE, connection)
        self._open += 1
        return connection

    def _send(self, connection: _Connection) -> None:
        try:
            connection.socket.send(self._request)
        except OSError:
            self._close(connection)
            self._outcome.refused += 1

    def _receive(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            connection: _Connection = key.data
            if not connection.sent:
                connection.sent = True
                self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
                self._send(connection)
                continue
            self._read(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(65_536)
        except OSError as error:
            if error.errno in _GO_ON:
                return
            data = b""
        if not data:
            if connection.due is None:
                self._idle.remove(connection)
            else:
                self._outcome.refused += 1
            self._close(connection)
            return
        connection.buffer += data
        if connection.due is None or not _whole(connection.buffer):
            return
        if connection.buffer.startswith(b"HTTP/1.1 200"):
            self._outcome.answered.append(time.perf_counter() - connection.due)
        else:
            self._outcome.refused += 1
        closes = b"\r\nconnection: close" in connection.buffer.lower()
        connection.due, connection.buffer = None, b""
        if closes:
            self._close(connection)
        else:
            self._idle.append(connection)

    def _give_up(self, due_before: float) -> None:
        while self._asked and (self._asked[0][1].due != self._asked[0][0] or self._asked[0][0] <= due_before):
            due, connection = self._asked.popleft()
            if connection.due == due:
                self._outcome.lost += 1
                self._close(connection)

    def _close(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        connection.due = None
        self._open -= 1


def _arrivals(rate: float, began: float, seconds: float) -> Iterator[float]:
    rng, due = random.Random(1), began
    while (due := due + rng.expovariate(rate)) < began + seconds:
        yield due


def _whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return len(body) >= int(lengths[0]) if lengths else True
