"""HTTP requests at a fixed rate that waits for nobody: what users see while something is done to the cluster.

Knows: sockets, one selector, keep-alive connections; the bytes of the requests are given.
Never: what is done to the cluster; retries, but for the one that HTTP allows (RFC 9112, 9.3.1): what may be repeated
       and met a kept connection that the server closed without a word is sent again, and counted in `resent`.
Holds: the latency of a request counts from when it was due, not from when it could be sent: a server that stands still
       is not spared the requests that would have come meanwhile. Blocks: run it in a thread or process of its own.
"""

from __future__ import annotations

import errno
import itertools
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

import attrs

ANSWER_S: Final = 10.0
CONNECTIONS_MAX: Final = 1_000
BODY_KEPT_MAX: Final = 2_000
FAILURES_KEPT_MAX: Final = 200
NO_ANSWER: Final = 0
"""In the place of a status: the connection ended, or nothing came in time."""
_UNDER_WAY: Final = (errno.EINPROGRESS, errno.EAGAIN)


@attrs.frozen
class Failure:
    """A request that did not get a 2xx. at_s  when it was due, on the clock of the run; status 0 = no answer"""

    at_s: float
    kind: str
    status: int
    answer: str


@attrs.define
class Steady:
    """What was seen. latencies  (when it was due, seconds until the answer) of those answered with 2xx"""

    latencies: list[tuple[float, float]] = attrs.field(factory=list[tuple[float, float]])
    statuses: Counter[int] = attrs.field(factory=Counter[int])
    failures: list[Failure] = attrs.field(factory=list[Failure])
    resent: int = 0
    late_max_s: float = 0.0

    @property
    def requests(self) -> int:
        return self.statuses.total()

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if not 200 <= status < 300)

    def percentile(self, share: float, begin_s: float = 0.0, end_s: float = float("inf")) -> float:
        """Of the latencies of requests that were due in [begin_s, end_s); infinity of none."""
        ordered = sorted(latency for due, latency in self.latencies if begin_s <= due < end_s)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("inf")


@attrs.frozen
class Request:
    """kind  names it in failures; to  "host:port"; raw  all of its bytes; repeatable  twice is the same as once"""

    kind: str
    to: str
    raw: bytes
    repeatable: bool = True


def http_request(
    kind: str, to: str, line: str, headers: Sequence[str] = (), body: bytes = b"", *, repeatable: bool = True
) -> Request:
    """`line` such as "GET /path"."""
    head = [f"{line} HTTP/1.1", f"Host: {to}", *headers]
    if body or not line.startswith("GET"):
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return Request(kind, to, "\r\n".join([*head, "", ""]).encode() + body, repeatable)


@attrs.define(eq=False)
class _Connection:
    socket: socket.socket
    to: str
    request: Request | None = None
    due_s: float = 0.0
    number: int = 0
    is_open: bool = False
    is_closed: bool = False
    has_served: bool = False
    has_begun: bool = False
    buffer: bytearray = attrs.field(factory=bytearray)


class SteadyLoad:
    """`next_request(number)` makes each. `stop()` from any thread ends the run early; `now_s` is its clock."""

    def __init__(self, next_request: Callable[[int], Request], rate: float) -> None:
        self.seen: Steady = Steady()
        self._next = next_request
        self._rate = rate
        self._selector = selectors.DefaultSelector()
        self._idle: dict[str, list[_Connection]] = {}
        self._busy: dict[_Connection, None] = {}  # in the order in which they were asked
        self._again: deque[tuple[Request, float, int]] = deque()  # what is to be sent on another connection
        self._began = time.perf_counter()
        self._stopped = False

    @property
    def now_s(self) -> float:
        return time.perf_counter() - self._began

    def stop(self) -> None:
        self._stopped = True

    def run(self, seconds: float) -> Steady:
        """Send for so long, and wait for the last answers."""
        self._began = time.perf_counter()
        number = 0
        while self._busy or self._again or not (self._stopped or number / self._rate >= seconds):
            while self._again:
                self._ask(*self._again.popleft())
            due_s = number / self._rate
            sends = not self._stopped and due_s < seconds
            while sends and due_s <= self.now_s:
                self.seen.late_max_s = max(self.seen.late_max_s, self.now_s - due_s)
                self._ask(self._next(number), due_s, number)
                number += 1
                due_s = number / self._rate
                sends = due_s < seconds
            self._give_up()
            self._receive(min(0.05, max(0.0, due_s - self.now_s)) if sends else 0.05)
        for connections in self._idle.values():
            for connection in connections:
                connection.socket.close()
        self._selector.close()
        return self.seen

    # --- asking -------------------------------------------------------------------------------------------------------

    def _ask(self, request: Request, due_s: float, number: int) -> None:
        idle = self._idle.get(request.to)
        connection = idle.pop() if idle else self._connect(request.to)
        if connection is None:
            self._failed(request, due_s, NO_ANSWER, f"{CONNECTIONS_MAX} connections are busy, or none can be made")
            return
        connection.request, connection.due_s, connection.number = request, due_s, number
        connection.has_begun = False
        self._busy[connection] = None
        if connection.is_open:
            self._send(connection)

    def _connect(self, to: str) -> _Connection | None:
        if len(self._busy) >= CONNECTIONS_MAX:
            return None
        host, _, port = to.rpartition(":")
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if made.connect_ex((host, int(port))) not in (0, *_UNDER_WAY):
            made.close()
            return None
        connection = _Connection(made, to)
        self._selector.register(made, selectors.EVENT_WRITE, connection)
        return connection

    def _send(self, connection: _Connection) -> None:
        assert connection.request is not None
        try:
            connection.socket.send(connection.request.raw)  # small enough for any send buffer
        except OSError as error:
            self._ended(connection, f"{type(error).__name__} while it was sent")

    # --- answers ------------------------------------------------------------------------------------------------------

    def _receive(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            connection: _Connection = key.data
            if connection.is_closed:  # by what another of these events led to
                continue
            if connection.is_open:
                self._read(connection)
                continue
            connection.is_open = True
            self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
            if connection.request is not None:
                self._send(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(65_536)
        except OSError as error:
            if error.errno not in _UNDER_WAY:
                self._ended(connection, f"{type(error).__name__}: {error.strerror}")
            return
        if not data or connection.request is None:  # what comes without a request is a good-bye too
            self._ended(connection, "the server ended the connection")
            return
        connection.has_begun = True
        connection.buffer += data
        answer = bytes(connection.buffer)
        if _is_whole(answer):
            self._answered(connection, answer)

    def _answered(self, connection: _Connection, answer: bytes) -> None:
        request, due_s = connection.request, connection.due_s
        assert request is not None
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head[9:12])
        if 200 <= status < 300:
            self.seen.statuses[status] += 1
            self.seen.latencies.append((due_s, self.now_s - due_s))
        else:
            self._failed(request, due_s, status, body.decode(errors="replace"))
        del self._busy[connection]
        connection.request, connection.has_served = None, True
        connection.buffer.clear()
        if b"\r\nconnection: close" in head.lower():
            self._close(connection)
        else:
            self._idle.setdefault(connection.to, []).append(connection)

    def _ended(self, connection: _Connection, why: str) -> None:
        request, due_s, number = connection.request, connection.due_s, connection.number
        self._close(connection)
        if request is None:
            self._idle[connection.to].remove(connection)
            return
        del self._busy[connection]
        if request.repeatable and connection.has_served and not connection.has_begun:
            self.seen.resent += 1
            self._again.append((request, due_s, number))
        else:
            self._failed(request, due_s, NO_ANSWER, why)

    def _give_up(self) -> None:
        oldest_s = self.now_s - ANSWER_S
        for connection in list(itertools.takewhile(lambda each: each.due_s < oldest_s, self._busy)):
            request = connection.request
            assert request is not None
            del self._busy[connection]
            self._close(connection)
            self._failed(request, connection.due_s, NO_ANSWER, f"no answer in {ANSWER_S:g} s")

    def _failed(self, request: Request, due_s: float, status: int, answer: str) -> None:
        self.seen.statuses[status] += 1
        if len(self.seen.failures) < FAILURES_KEPT_MAX:
            self.seen.failures.append(Failure(due_s, request.kind, status, answer[:BODY_KEPT_MAX]))

    def _close(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        connection.is_closed = True


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return len(body) >= int(lengths[0]) if lengths else head[9:12] in (b"204", b"304")
