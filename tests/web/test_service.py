"""The server over memory streams: framing, limits, time, departure. Each case is one conversation in raw bytes."""

from __future__ import annotations

import json
import resource
import socket
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
import trio.lowlevel

from aether.errors import AddressInUse, BadInput, CallFailed, NoQuorum, Overloaded
from aether.web.config import WebConfig
from aether.web.request import Request, Response, text_response
from aether.web.service import WebServer, serve

GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def nothing(request: Request) -> Response:
    return Response(204)


async def test_a_connection_serves_many_requests_in_turn(connect):
    """Keep-alive is most of a server's speed; a second request must not meet state of the first."""
    async with connect() as peer:
        for number in range(3):
            reply = await peer.ask(f"POST /{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
            assert (reply.status, reply.body) == (200, f"POST /{number}  ab".encode())
            assert "connection" not in reply.headers


async def test_pipelined_requests_are_answered_in_order(connect):
    """A client that sends ahead must never see answers swapped, even when the first handler is the slowest."""
    waits = {"/a": 3.0, "/b": 2.0, "/c": 0.0}

    async def handler(request: Request) -> Response:
        await trio.sleep(waits[request.path] / 1000)
        return text_response(request.path)

    async with connect(handler) as peer:
        await peer.send("".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in waits))
        assert [(await peer.reply()).body for _ in waits] == [b"/a", b"/b", b"/c"]


async def test_a_client_that_sends_far_ahead_is_not_read_without_bound(connect, autojump_clock):
    """Pipelined bytes wait in the kernel, not in our memory, while a request is answered."""
    release = trio.Event()

    async def handler(request: Request) -> Response:
        await release.wait()
        return text_response("done")

    async with connect(handler) as peer:
        flood = GET.encode() * 20_000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.send, flood)
            await trio.sleep(1)
            (connection,) = peer.server._connections
            assert connection._http.buffered < len(flood) / 2
            release.set()
            for _ in range(20_000):
                assert (await peer.reply()).status == 200


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n",
    ],
)
async def test_a_client_that_asks_to_close_is_obeyed_and_told(connect, request_text):
    """Without the field a client would wait for a connection that is gone."""
    async with connect() as peer:
        reply = await peer.ask(request_text)
        assert reply.status == 200
        assert reply.headers["connection"] == "close"
        assert await peer.is_closed()


async def test_every_answer_carries_date_and_request_id_and_no_server_name(connect):
    """The id ties a client's report to the log; a server name only helps who looks for known holes."""
    async with connect() as peer:
        reply = await peer.ask(GET)
        assert reply.headers["date"].endswith("GMT")
        assert reply.headers["x-request-id"]
        assert "server" not in reply.headers


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ('"<script>', False), ("", False)],
)
async def test_a_well_formed_request_id_is_kept_and_any_other_replaced(connect, given, kept):
    """It is echoed into headers, logs and bodies: only harmless characters may travel."""
    async with connect() as peer:
        reply = await peer.ask(f"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: {given}\r\n\r\n")
        assert (reply.headers["x-request-id"] == given) is kept


async def test_head_tells_the_length_and_sends_no_body(connect):
    """A body after HEAD would be read as the next answer."""
    async with connect() as peer:
        await peer.send("HEAD /abc HTTP/1.1\r\nHost: x\r\n\r\n")
        reply = await peer.reply(to_head=True)
        assert reply.headers["content-length"] == str(len("HEAD /abc"))
        assert (await peer.ask(GET)).body == b"GET /"


async def test_an_answer_in_parts_is_chunked_and_keeps_the_connection(connect):
    """A backup is larger than what anybody wants to hold at once."""

    async def handler(request: Request) -> Response:
        return Response(200, b"begin ", "application/octet-stream", parts=(b"%d " % n for n in range(3)))

    async with connect(handler) as peer:
        for _ in range(2):
            await peer.send(GET)
            raw = b""
            while not raw.endswith(b"0\r\n\r\n"):
                raw += await peer.stream.receive_some(65536)
            head, _, body = raw.partition(b"\r\n\r\n")
            assert b"Transfer-Encoding: chunked" in head
            assert b"Content-Length" not in head
            assert body == b"6\r\nbegin \r\n2\r\n0 \r\n2\r\n1 \r\n2\r\n2 \r\n0\r\n\r\n"


async def test_an_answer_whose_parts_fail_is_cut_short_visibly(connect):
    """The client must not take half a backup for a whole one; and the server serves on."""

    def broken():
        yield b"part"
        raise RuntimeError("no more")

    async def handler(request: Request) -> Response:
        return Response(200, parts=broken())

    async with connect(handler) as peer:
        await peer.send(GET)
        raw = b""
        while data := await peer.stream.receive_some(65536):
            raw += data
        assert raw.endswith(b"4\r\npart\r\n")


async def test_no_content_has_neither_body_nor_length(connect):
    """RFC 9110 8.6: a length in a 204 confuses intermediaries."""

    async def handler(request: Request) -> Response:
        return Response(204)

    async with connect(handler) as peer:
        reply = await peer.ask(GET)
        assert "content-length" not in reply.headers
        assert (await peer.ask(GET)).status == 204


async def test_a_chunked_body_arrives_whole(connect):
    """Clients that stream have no length to declare."""
    async with connect() as peer:
        head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        reply = await peer.ask(head + "3\r\nabc\r\n2;note=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n" + GET)
        assert reply.body == b"POST /  abcde"
        assert (await peer.reply()).body == b"GET /"


async def test_bytes_may_arrive_one_at_a_time(connect):
    """TCP keeps no boundaries."""
    text = "POST /x?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    async with connect() as peer:
        for byte in text.encode():
            await peer.send(bytes([byte]))
        assert (await peer.reply()).body == b"POST /x q=1 abc"


async def test_a_client_that_expects_100_is_told_to_go_on_once(connect):
    """curl waits a second for it before it sends a large body."""
    async with connect() as peer:
        await peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert (await peer.reply()).status == 100
        await peer.send("ab")
        await trio.testing.wait_all_tasks_blocked()
        assert (await peer.ask("cd")).body == b"POST /  abcd"


async def test_an_expected_body_that_is_too_large_is_refused_before_it_is_sent(connect):
    """The point of Expect: 413 instead of 100."""
    async with connect(body_bytes_max=10) as peer:
        reply = await peer.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        assert reply.status == 413
        assert "11 bytes exceeds the limit of 10" in reply.json["detail"]


CHUNKED = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
HOSTILE = {
    "header too long": ("GET / HTTP/1.1\r\nHost: x\r\nA: " + "b" * 70_000 + "\r\n\r\n", 431),
    "header that never ends": ("GET / HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 40_000, 431),
    "target too long": ("GET /" + "a" * 70_000 + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "body too long": ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", 413),
    "absurd length": ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
    "chunks too long": (CHUNKED + "\r\n" + "fffff\r\n" + "a" * 0xFFFFF + "\r\n5\r\naaaaa\r\n", 413),
    "no request": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "verb with spaces": ("G ET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "verb with a slash": ("GE/T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "no host": ("GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "host with a path": ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "host with user": ("GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", 400),
    "target without slash": ("GET index HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "target with fragment": ("GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "tunnel": ("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "http/2 preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "length and chunked": (CHUNKED + "Content-Length: 3\r\n\r\n0\r\n\r\n", 400),
    "chunked in 1.0": (CHUNKED.replace("1.1", "1.0") + "\r\n0\r\n\r\n", 400),
    "two lengths": ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "length list": ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 4\r\n\r\nabcd", 400),
    "signed length": ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400),
    "hex length": ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", 400),
    "unknown coding": ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    "two codings": (CHUNKED.replace("chunked", "gzip, chunked") + "\r\n", 501),
    "chunked twice": (CHUNKED + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    "space before colon": ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc", 400),
    "nul in a value": ("GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400),
    "bare cr in a value": ("GET / HTTP/1.1\r\nHost: x\r\nA: b\rContent-Length: 3\r\n\r\n", 400),
    "chunk size with junk": (CHUNKED + "\r\n3x\r\nabc\r\n0\r\n\r\n", 400),
    "negative chunk": (CHUNKED + "\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk longer than said": (CHUNKED + "\r\n3\r\nabcdef\r\n0\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_dangerous_bytes_get_one_clear_refusal_and_a_closed_connection(connect, autojump_clock, name):
    """Where the next request begins is unknown after such bytes; serving on would let one be smuggled in."""
    text, status = HOSTILE[name]
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200)

    async with connect(handler, body_bytes_max=2**20) as peer:
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                try:
                    await peer.send(text.encode("latin-1") + GET.encode())
                except trio.BrokenResourceError:
                    return  # the server stopped listening, as it should

            nursery.start_soon(send)
            reply = await peer.reply()
            assert reply.status == status
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.headers["connection"] == "close"
            assert reply.json["error"]
            assert reply.json["requestId"] == reply.headers["x-request-id"]
            assert await peer.is_closed()
        assert not seen


async def test_a_body_far_larger_than_the_read_ahead_arrives_whole(connect):
    """The bound on bytes taken in ahead must not hold up the body that is waited for."""

    async def length(request: Request) -> Response:
        return text_response(str(len(request.body)))

    async with connect(length) as peer:
        for head in ("Content-Length: 600000", "Content-Length: 600000\r\nTE: x"):  # without h11, and with it
            reply = await peer.ask(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n" + "a" * 600_000)
            assert reply.body == b"600000"


async def test_what_a_refused_client_still_sends_is_thrown_away(connect, autojump_clock):
    """It must be able to finish sending, to read its answer, and must cost no memory meanwhile."""
    async with connect() as peer:
        reply = await peer.ask("no request\r\n\r\n" + "a" * 450_000)
        assert reply.status == 400
        (connection,) = peer.server._connections
        before = connection._http.buffered
        await peer.send("a" * 450_000)
        await trio.testing.wait_all_tasks_blocked()
        assert connection._http.buffered == before
        assert await peer.is_closed()


async def test_an_absolute_target_is_understood_and_names_the_host(connect):
    """RFC 9112 3.2.2: every server accepts the form that proxies use; its authority replaces Host."""
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200)

    async with connect(handler) as peer:
        await peer.ask("GET http://shop.example:81/a?b=c HTTP/1.1\r\nHost: other\r\n\r\n")
        await peer.ask("GET http://shop.example HTTP/1.1\r\nHost: other\r\n\r\n")
        assert [(r.path, r.query_text, r.host) for r in seen] == [
            ("/a", "b=c", "shop.example:81"),
            ("/", "", "shop.example"),
        ]


async def test_an_idle_connection_is_closed_without_a_word(connect, autojump_clock):
    """Nothing waits without a bound; a word would be read as the answer to a later request."""
    async with connect(idle_s=75.0) as peer:
        assert (await peer.ask(GET)).status == 200
        began = trio.current_time()
        assert await peer.is_closed()
        assert trio.current_time() - began == pytest.approx(75.0)


@pytest.mark.parametrize(
    ("first", "drop", "limit_s"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\nA: ", "a", 10.0),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", "a", 30.0),
        (CHUNKED + "\r\n", "1\r\na\r\n", 30.0),
    ],
)
async def test_a_slow_loris_is_cut_at_the_limit_however_it_drips(connect, autojump_clock, first, drop, limit_s):
    """The limit counts from the first byte of the phase; a byte a second must not extend it, or hardly."""
    async with connect(header_s=10.0, body_s=30.0) as peer:
        began = trio.current_time()
        await peer.send(first)
        async with trio.open_nursery() as nursery:

            async def drip() -> None:
                while True:
                    await trio.sleep(1)
                    await peer.send(drop)

            nursery.start_soon(drip)
            reply = await peer.reply()
            nursery.cancel_scope.cancel()
        assert reply.status == 408
        assert limit_s <= trio.current_time() - began < limit_s * 1.01
        assert await peer.is_closed()


async def test_a_client_that_does_not_read_its_answer_is_cut(autojump_clock):
    """A full socket must not hold a task and a body for ever."""
    ours, theirs = trio.testing.lockstep_stream_pair()

    async def handler(request: Request) -> Response:
        return Response(200, b"x" * 100)

    server = WebServer(handler, WebConfig(send_s=30.0))
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_stream, theirs)
        await ours.send_all(GET.encode())
    assert trio.current_time() - began == pytest.approx(30.0)


async def test_a_client_that_leaves_cancels_its_handler(connect, autojump_clock):
    """Work for nobody is stopped, through all hops, by the handler's own cancel scope."""
    ended: list[str] = []

    async def handler(request: Request) -> Response:
        try:
            await trio.sleep(1000)
        except trio.Cancelled:
            ended.append("cancelled")
            raise
        return Response(200)

    async with connect(handler) as peer:
        await peer.send(GET)
        await trio.sleep(1)
        assert not ended
        await peer.leave()
        await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert ended == ["cancelled"]
        assert not peer.server._connections
        assert trio.current_time() < 10


async def test_a_client_that_leaves_in_the_middle_of_a_request_costs_nothing(connect, autojump_clock, caplog):
    """Half a request is the most common sight on a public port: no handler, no log, no connection left."""
    async with connect() as peer:
        await peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        await peer.leave()
        await trio.testing.wait_all_tasks_blocked()
        assert not peer.server._connections
        assert not caplog.records


async def test_an_unexpected_exception_is_500_with_the_request_id_and_the_connection_survives(connect, caplog):
    """The client learns where to look; the log has the traceback; secrets in the message stay in the log."""

    async def handler(request: Request) -> Response:
        if request.path == "/bad":
            raise KeyError("secret")
        return text_response("fine")

    async with connect(handler) as peer:
        reply = await peer.ask("GET /bad HTTP/1.1\r\nHost: x\r\nX-Request-Id: r-7\r\n\r\n")
        assert reply.status == 500
        assert reply.json["requestId"] == "r-7"
        assert b"secret" not in reply.body
        assert "r-7" in caplog.text
        assert "KeyError: 'secret'" in caplog.text
        assert (await peer.ask(GET)).body == b"fine"


async def test_a_failed_call_is_logged_whole_by_the_node_that_answers(connect, caplog):
    """The client is told to look there."""
    error = CallFailed("KeyError", "'sku'", "shop:pricing", "quote", remote_traceback="File pricing.py, line 3")

    async def handler(request: Request) -> Response:
        raise error

    async with connect(handler) as peer:
        reply = await peer.ask(GET)
        assert reply.status == 500
    for part in ("'sku'", "pricing.py, line 3", reply.headers["x-request-id"]):
        assert part in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (NoQuorum(1, 2), 503, "1"),
        (Overloaded("the queue", 256, 2.5), 429, "3"),
        (BadInput("no"), 400, None),
        (trio.TooSlowError(), 504, None),
        (ExceptionGroup("g", [ExceptionGroup("h", [NoQuorum(1, 2)])]), 503, "1"),
        (ExceptionGroup("g", [NoQuorum(1, 2), NoQuorum(1, 2)]), 500, None),
    ],
)
async def test_an_error_of_the_tree_becomes_its_problem(connect, error, status, retry_after):
    """A nursery wraps a lone error in a group: its status must not be lost by that."""

    async def handler(request: Request) -> Response:
        raise error

    async with connect(handler) as peer:
        reply = await peer.ask(GET)
        assert (reply.status, reply.headers.get("retry-after")) == (status, retry_after)


async def test_a_new_connection_beyond_the_limit_takes_the_place_of_the_oldest_idle_one(autojump_clock):
    """A thousand sockets that ask nothing, an attack or a pool too large, lock nobody out."""
    server = WebServer(nothing, WebConfig(connections_max=2))
    async with trio.open_nursery() as nursery:

        async def opened() -> trio.StapledStream:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve_stream, theirs)
            await trio.testing.wait_all_tasks_blocked()
            return ours

        idle, busy = await opened(), await opened()
        await busy.send_all(b"GET /ha")
        await trio.testing.wait_all_tasks_blocked()
        third = await opened()
        assert await idle.receive_some() == b""
        await busy.send_all(b"lf HTTP/1.1\r\nHost: x\r\n\r\n")
        await third.send_all(GET.encode())
        for stream in (busy, third):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 204 ")
        nursery.cancel_scope.cancel()


async def test_requests_that_never_end_cannot_take_all_memory(autojump_clock):
    """Ten thousand connections with a megabyte each are ten gigabytes; small requests go on meanwhile."""
    server = WebServer(nothing, WebConfig(held_bytes_max=100_000))
    part = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"x" * 59_000
    async with trio.open_nursery() as nursery:

        async def opened() -> trio.StapledStream:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve_stream, theirs)
            return ours

        first, second, small = await opened(), await opened(), await opened()
        await first.send_all(part)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(50):
            await small.send_all(GET.encode())
            assert (await small.receive_some()).startswith(b"HTTP/1.1 204 ")
        await second.send_all(part)
        refused = bytes(await second.receive_some())
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1\r\n" in refused
        await second.aclose()
        await first.send_all(b"x" * 1_000)
        assert (await first.receive_some()).startswith(b"HTTP/1.1 204 ")
        await trio.testing.wait_all_tasks_blocked()
        assert server.held == 0
        nursery.cancel_scope.cancel()


def test_a_listener_leaves_files_for_the_rest_of_the_process(monkeypatch):
    """With `ulimit -n 1024`, a thousand clients took the descriptors of the log and of the peers."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (300, 1000))
    assert WebServer(nothing, WebConfig())._room.connections_max == 100
    assert WebServer(nothing, WebConfig(connections_max=7))._room.connections_max == 7
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert WebServer(nothing, WebConfig())._room.connections_max == WebConfig().connections_max


async def test_a_connection_beyond_the_limit_is_turned_away_with_503(autojump_clock):
    """A refused client can go elsewhere; one that hangs cannot."""
    server = WebServer(nothing, WebConfig(connections_max=1))
    async with trio.open_nursery() as nursery:
        first, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(server.serve_stream, theirs)
        await first.send_all(b"GET / HTTP/1.1\r\n")  # a request has begun: it is not idle
        await trio.testing.wait_all_tasks_blocked()
        second, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(server.serve_stream, theirs)
        answer = bytes(await second.receive_some())
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in answer
        await first.aclose()


async def test_a_drain_lets_running_requests_end_and_says_close(connect, autojump_clock):
    """No request fails because a node leaves: the running one ends, and its client is told to go elsewhere."""

    async def handler(request: Request) -> Response:
        await trio.sleep(5)
        return text_response("late but whole")

    async with connect(handler) as peer:
        await peer.send(GET)
        await trio.sleep(1)
        await peer.server.drain(10.0)
        assert trio.current_time() < 8
        reply = await peer.reply()
        assert (reply.body, reply.headers["connection"]) == (b"late but whole", "close")
        assert await peer.is_closed()


@asynccontextmanager
async def _raw_connection(handler):
    """A server on a real port, and the bare socket of a client that has had one answer."""
    server = WebServer(handler, WebConfig())
    async with trio.open_nursery() as nursery:
        host, _, port = (await nursery.start(server.run)).rpartition(":")
        raw = socket.create_connection((host, int(port)))  # the kernel takes it, whatever the loop does
        raw.setblocking(False)
        client = trio.socket.from_stdlib_socket(raw)
        await client.send(GET.encode())
        assert (await client.recv(65_536)).startswith(b"HTTP/1.1 200 ")
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(10):
            yield server, client, raw
        client.close()
        nursery.cancel_scope.cancel()


async def _all_of(client):
    received = b""
    while part := await client.recv(65_536):
        received += part
    return received


async def test_a_request_that_came_before_the_end_of_a_kept_connection_is_answered():
    """The loop has not seen it yet when the idle connections of a node that leaves are closed."""

    async def handler(request: Request) -> Response:
        return text_response("here")

    async with _raw_connection(handler) as (server, client, raw):
        server.draining = True
        raw.send(GET.encode())
        assert [connection.close_if_idle() for connection in server._connections] == [True]

        answer = await _all_of(client)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b"here")


async def test_the_last_answer_survives_what_the_client_still_sends():
    """It learns from that answer that it should send nothing more; a reset would take the answer with it."""
    sent = []

    async def handler(request: Request) -> Response:
        if sent:
            sent[0].send(GET.encode())  # the next one is in the kernel when this one is answered
        return text_response("whole")

    async with _raw_connection(handler) as (server, client, raw):
        server.draining = True
        sent.append(raw)
        await client.send(GET.encode())

        answer = await _all_of(client)  # ConnectionResetError, when bytes were left unread
    assert answer.endswith(b"whole")
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_drain_closes_idle_connections_and_ends_at_its_limit(connect, autojump_clock):
    """An idle client must not hold up a restart, nor may a stuck handler."""

    async def stuck(request: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError

    async with connect(stuck) as peer:
        idle_ours, idle_theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.server.serve_stream, idle_theirs)
            await peer.send(GET)
            await trio.sleep(1)
            began = trio.current_time()
            nursery.start_soon(peer.server.drain, 10.0)
            assert await idle_ours.receive_some() == b""
            assert trio.current_time() - began == pytest.approx(1.0)
            reply = await peer.reply()
            assert trio.current_time() - began == pytest.approx(10.0)
            assert (reply.status, reply.headers["connection"]) == (504, "close")
            assert json.loads(reply.body)["type"] == "urn:aether:outcome-unknown"
            assert await peer.is_closed()
            assert trio.current_time() - began == pytest.approx(10.0)


async def test_a_drain_gives_nobody_a_second_answer(connect, autojump_clock):
    """Of an answer that is on its way the client sees that it broke off."""

    async def parts():
        yield b"one"
        await trio.sleep_forever()

    async def handler(request: Request) -> Response:
        return Response(200, stream=parts())

    async with connect(handler) as peer:
        await peer.send(GET)
        await trio.sleep(1)
        await peer.server.drain(10.0)
        received = b""
        while more := await peer.stream.receive_some():
            received += more
    assert received.count(b"HTTP/1.1") == 1
    assert received.endswith(b"3\r\none\r\n")


async def test_a_real_socket_serves_a_real_client():
    """The memory streams above stand for this."""

    async def handler(request: Request) -> Response:
        return text_response(f"{request.client} {request.query()}")

    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, handler, WebConfig())
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            for _ in range(3):
                answer = await client.get("/", params={"a": "ä b"})
                assert answer.text == "127.0.0.1 {'a': ['ä b']}"
        nursery.cancel_scope.cancel()


async def test_a_taken_port_is_named_with_the_option_that_sets_it():
    """The first thing that goes wrong for a new user."""
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, nothing, WebConfig())
        port = int(address.rpartition(":")[2])
        with pytest.raises(AddressInUse, match=rf"127.0.0.1:{port} is taken.*--http-port=0"):
            await serve(nothing, WebConfig(port=port))
        nursery.cancel_scope.cancel()


async def test_an_address_of_another_machine_is_refused_with_its_reason():
    """192.0.2.0/24 is nobody's (RFC 5737)."""
    with pytest.raises(BadInput, match=r"cannot listen on 192\.0\.2\.1:0"):
        await serve(nothing, WebConfig(bind="192.0.2.1"))
