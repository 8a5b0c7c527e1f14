"""Requests that are answered at once, in the place of a worker that sleeps: over real sockets, as nothing else is."""

import contextlib
import contextvars
import re
import socket
import sys
from random import Random

import pytest
import trio
import trio.testing

from aether.web.config import WebConfig
from aether.web.ready_service import TURN_S, open_ready
from aether.web.request import Response
from aether.web.service import WebServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs epoll; elsewhere every worker reads for itself")
GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"


class Answers:
    """A handler that answers at once, unless a path is in `waits`: then only when it is awaited."""

    def __init__(self):
        self.tasks = {}
        self.waits = set()
        self.size = 0

    def __call__(self, request):
        name = request.path[1:]
        self.tasks[name] = trio.lowlevel.current_task().name
        if name == "broken":
            raise ValueError("a bug")
        body = f"{name}|".encode() + request.body + b"x" * self.size
        response = Response(200, body, "text/plain")
        return self.later(name, response) if name in self.waits else response

    async def later(self, name, response):
        await trio.lowlevel.checkpoint()
        self.tasks[name] = trio.lowlevel.current_task().name
        return response

    def attended(self, name):
        return "Ready.run" in self.tasks[name]


class Client:
    def __init__(self, stream):
        self.stream = stream
        self._buffer = b""

    async def ask(self, raw):
        await self.stream.send_all(raw)
        return await self.answer()

    async def answer(self):
        """(status, body); None at the end of the bytes."""
        while True:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            if end and len(rest) >= (size := int(length[1]) if length else 0):
                self._buffer = rest[size:]
                return int(head[9:12]), rest[:size]
            data = await self.stream.receive_some()
            if not data:
                assert not self._buffer
                return None
            self._buffer += data


class Home:
    def __init__(self, server, address, handler):
        self.server, self.handler = server, handler
        self._address = address

    @contextlib.asynccontextmanager
    async def client(self, *, attended=True):
        host, port = self._address.rsplit(":", 1)
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            client = Client(stream)
            if attended:
                await client.ask(GET % b"first")
            yield client


@contextlib.asynccontextmanager
async def home(handler=None, **limits):
    handler = handler or Answers()
    server = WebServer(handler, WebConfig(**limits))
    async with trio.open_nursery() as nursery:
        address = await nursery.start(server.run)
        with trio.fail_after(30):
            yield Home(server, address, handler)
        nursery.cancel_scope.cancel()


async def until_gone(server):
    while server.connections:
        await trio.testing.wait_all_tasks_blocked(0.001)


async def test_the_second_request_wakes_no_task_of_its_connection():
    async with home() as here, here.client() as client:
        assert await client.ask(POST % (b"second", 3, b"abc")) == (200, b"second|abc")

    assert not here.handler.attended("first")
    assert here.handler.attended("second")


async def test_requests_in_one_packet_are_answered_in_order():
    async with home() as here, here.client() as client:
        await client.stream.send_all(b"".join(GET % b"%d" % number for number in range(20)))
        answers = [await client.answer() for _ in range(20)]

    assert answers == [(200, b"%d|" % number) for number in range(20)]


@pytest.mark.parametrize("cut", [1, 10, 30, 60])
async def test_a_request_in_two_pieces_is_the_workers(cut):
    raw = POST % (b"second", 10, b"0123456789")
    async with home() as here, here.client() as client:
        await client.stream.send_all(raw[:cut])
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await client.ask(raw[cut:]) == (200, b"second|0123456789")
        assert await client.ask(GET % b"third") == (200, b"third|")

    assert not here.handler.attended("second")
    assert here.handler.attended("third")


async def test_what_has_to_be_awaited_is_awaited_by_the_worker():
    async with home() as here, here.client() as client:
        here.handler.waits = {"second"}
        assert await client.ask(GET % b"second") == (200, b"second|")
        assert await client.ask(GET % b"third") == (200, b"third|")
        assert await client.ask(GET % b"fourth") == (200, b"fourth|")

    assert [here.handler.attended(name) for name in ("second", "third", "fourth")] == [False, False, True]


async def test_an_error_costs_one_answer(caplog):
    async with home() as here, here.client() as client:
        status, _ = await client.ask(GET % b"broken")
        assert status == 500
        assert await client.ask(GET % b"third") == (200, b"third|")

    assert here.handler.attended("broken")
    assert here.handler.attended("third")


async def test_a_request_that_cannot_be_read_is_refused_and_ends_the_connection():
    async with home() as here, here.client() as client:
        status, _ = await client.ask(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n")
        assert status == 400
        assert await client.answer() is None


async def test_a_client_that_leaves_is_noticed():
    async with home() as here:
        async with here.client():
            pass
        await until_gone(here.server)


async def test_a_connection_that_stays_idle_is_closed():
    async with home(idle_s=0.05) as here, here.client() as client:
        await client.ask(GET % b"second")
        assert await client.answer() is None


async def test_an_answer_moves_the_end_of_idle_time():
    """Or a busy client would lose its connection, and perhaps a request, once in a while."""
    async with home(idle_s=1_000) as here, here.client() as client:
        [connection] = here.server._connections
        before = connection._timer.deadline_s
        await client.ask(GET % b"second")
        assert connection._timer.deadline_s > before


async def test_a_drain_closes_connections_that_sleep():
    async with home() as here, here.client() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.server.drain, 0.1)
            assert await client.answer() is None


async def test_while_it_drains_the_worker_says_that_this_was_the_last_answer():
    async with home() as here, here.client() as client:
        here.server.retiring = True
        await client.stream.send_all(GET % b"second")
        data = await client.stream.receive_some()
        assert b"Connection: close" in data
        assert data.endswith(b"second|")
        assert await client.answer() is None


async def test_a_connection_that_sleeps_can_be_cut():
    async with home() as here, here.client() as client:
        [connection] = here.server._connections
        connection.cut()
        assert await client.answer() is None
        await until_gone(here.server)


async def test_an_answer_that_the_kernel_does_not_take_whole_is_sent_to_its_end():
    async with home() as here, here.client() as client:
        here.handler.size = 20_000_000
        await client.stream.send_all(GET % b"second")
        await trio.testing.wait_all_tasks_blocked(0.01)
        status, body = await client.answer()
        assert (status, len(body)) == (200, 20_000_007)
        here.handler.size = 0
        assert await client.ask(GET % b"third") == (200, b"third|")

    assert here.handler.attended("second")


async def test_nothing_is_answered_at_once_while_the_process_cannot_keep_up():
    async with home() as here, here.client() as client:
        here.server.gate.close()
        await client.stream.send_all(GET % b"second")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert "second" not in here.handler.tasks
        here.server.gate.open()
        assert await client.answer() == (200, b"second|")


async def test_what_a_handler_sets_is_not_for_the_next_request():
    seen = []
    variable = contextvars.ContextVar("variable", default="unset")

    def handler(request):
        seen.append(variable.get())
        variable.set(request.path)
        return Response(200, b"")

    async with home(handler) as here, here.client() as client, here.client() as other:
        for each in (client, other, client):
            await each.ask(GET % b"again")

    assert seen == ["unset"] * 5


async def test_held_bytes_are_given_back():
    async with home() as here, here.client() as client:
        await client.ask(POST % (b"second", 50_000, b"x" * 50_000))
        await client.ask(POST % (b"third", 5, b"x" * 5))
        assert here.server.held == 0


def requests(random):
    """Bytes of some requests, in pieces; nearly all of them well formed."""
    raw = b""
    for number in range(random.randint(1, 8)):
        kind = random.random()
        if kind < 0.4:
            raw += GET % b"g%d" % number
        elif kind < 0.7:
            body = b"b" * random.randint(0, 300)
            raw += POST % (b"p%d" % number, len(body), body)
        elif kind < 0.8:
            raw += b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        elif kind < 0.85:
            raw += b"\r\n"
        elif kind < 0.9:
            raw += b"GET /w HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n"
        else:
            raw += GET % b"broken"
    raw += random.choice((b"", b"", b"nonsense\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"))
    cuts = sorted(random.sample(range(len(raw)), min(len(raw), random.randint(0, 4))))
    return [raw[i:j] for i, j in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


async def said(pieces, *, at_once):
    """All that a server says to `pieces`, after a first request, without what is never the same."""
    answers = Answers()

    async def awaited(request):
        await trio.lowlevel.checkpoint()
        return answers(request)

    async with home(answers if at_once else awaited) as here, here.client() as client:
        for piece in pieces:
            await client.stream.send_all(piece)
            await trio.testing.wait_all_tasks_blocked(0.001)
        with contextlib.suppress(trio.BrokenResourceError):
            await client.stream.send_eof()
        raw = client._buffer
        with contextlib.suppress(trio.BrokenResourceError):
            while data := await client.stream.receive_some():
                raw += data
    raw = re.sub(rb"[0-9a-f]{12}-\d+", b"", raw)  # ids of requests
    return re.sub(rb"(Date|Content-Length): [^\r]*", b"", raw)


@pytest.mark.parametrize("seed", range(40))
async def test_clients_cannot_tell_who_answers(seed):
    pieces = requests(Random(seed))

    assert await said(pieces, at_once=True) == await said(pieces, at_once=False)


async def test_a_turn_that_takes_long_lets_others_run_and_then_goes_on(mock_clock):
    """Those behind in the queue are not left for the next turn, in which the first would come first again."""
    looked, turns, turn = [], [], 0
    pairs = [socket.socketpair() for _ in range(3)]
    async with open_ready() as ready, trio.open_nursery() as nursery:

        async def other():
            nonlocal turn
            while True:
                await trio.lowlevel.checkpoint()
                turn += 1

        def look(number):
            pairs[number][1].recv(1)
            looked.append(number)
            turns.append(turn)
            mock_clock.jump(2 * TURN_S)

        for number, (far, near) in enumerate(pairs):
            ready.watch(near.fileno(), lambda number=number: look(number))
            far.send(b"x")
        nursery.start_soon(other)
        while len(looked) < 3:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
        for _, near in pairs:
            ready.forget(near.fileno())
    for pair in pairs:
        for each in pair:
            each.close()

    assert sorted(looked) == [0, 1, 2]
    assert turns[2] > turns[0], "another task ran between the looks"
