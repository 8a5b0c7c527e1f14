"""What a client may try where two rules meet: empty lines and memory, names and addresses, upgrades and bodies."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from aether.model.artifact import ArtifactBase
from aether.model.limits import WEBSOCKET_MESSAGE_BYTES_MAX
from aether.model.route import Route
from aether.slice_api.http import Header
from aether.slice_api.route_options import Cors, RateLimit, RouteOptions
from aether.web.asgi_service import AsgiApplication
from aether.web.compression_service import shrunk
from aether.web.gate_service import Gate
from aether.web.leaving import Leaving
from aether.web.rate import NAME_CHARS_MAX, key_of
from aether.web.request import Request, Response
from aether.web.slices import SliceTarget
from aether.web.websocket_service import Socket

OPENING = (
    "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


async def test_empty_lines_between_requests_take_no_memory_from_others(connect):
    async with connect(held_bytes_max=1_000) as peer:
        for _ in range(5):
            await peer.send("\r\n" * 1_000)
            await trio.testing.wait_all_tasks_blocked()
            assert peer.server.held == 0
        assert (await peer.ask("GET /still HTTP/1.1\r\nHost: x\r\n\r\n")).body == b"GET /still"


async def test_an_upgrade_that_http_1_0_cannot_mean_is_not_seen(connect):
    async def shown(request: Request) -> Response:
        return Response(200, str(request.header("upgrade")).encode(), "text/plain")

    async with connect(shown) as peer:
        assert (await peer.ask(f"GET / HTTP/1.0\r\n{OPENING}\r\n")).body == b"None"
    async with connect(shown) as peer:
        assert (await peer.ask(f"GET / HTTP/1.1\r\n{OPENING}\r\n")).body == b"websocket"


def masked(opcode: int, payload: bytes = b"", *, fin: bool = False) -> bytes:
    assert len(payload) < 126
    return bytes([opcode | 0x80 * fin, 0x80 | len(payload), 0, 0, 0, 0]) + payload


async def test_parts_of_a_message_that_are_empty_are_not_kept(autojump_clock):
    ours, theirs = trio.testing.memory_stream_pair()
    sender, receiver = trio.open_memory_channel[str | bytes](1)
    socket = Socket(theirs, sender, "GET /", Leaving())

    async def nothing():
        await trio.sleep_forever()
        yield

    async with trio.open_nursery() as nursery:
        nursery.start_soon(socket.run, nothing(), b"")
        await ours.send_all(masked(2, b"a") + masked(0) * 5_000)
        await trio.testing.wait_all_tasks_blocked()
        assert socket._parts == b"a"
        await ours.send_all(masked(0, b"b", fin=True) + masked(1) + masked(0) * 5_000)
        assert await receiver.receive() == b"ab"
        await trio.testing.wait_all_tasks_blocked()
        assert socket._parts == b""
        await ours.send_all(masked(0, b"c", fin=True))
        assert await receiver.receive() == "c"
        nursery.cancel_scope.cancel()


async def test_the_limit_of_a_message_counts_bytes_whatever_its_letters_are(autojump_clock):
    ours, theirs = trio.testing.memory_stream_pair()
    sender, _receiver = trio.open_memory_channel[str | bytes](1)
    socket = Socket(theirs, sender, "GET /", Leaving())
    text = ("\N{PILE OF POO}" * (WEBSOCKET_MESSAGE_BYTES_MAX // 4 + 1)).encode()

    async def nothing():
        await trio.sleep_forever()
        yield

    async with trio.open_nursery() as nursery:
        nursery.start_soon(socket.run, nothing(), b"")
        await ours.send_all(b"\x81\xff" + len(text).to_bytes(8, "big") + bytes(4) + text)
        raw = b""
        while (1009).to_bytes(2, "big") not in raw:
            raw += await ours.receive_some()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", ["ETag", "Etag", "etag"])
async def test_a_compressed_answer_is_another_one_however_its_tag_is_spelt(name):
    request = Request(verb="GET", path="/", headers=(("accept-encoding", "gzip"),))
    body = b"x" * 5_000
    packed = await shrunk(request, Response(200, body, "text/plain", {name: '"a"'}))
    assert packed.body != body
    assert packed.headers[name] == 'W/"a"'
    kept = Response(200, body, "text/plain", {"cache-control": "No-Transform"})
    assert await shrunk(request, kept) is kept


def test_a_client_that_names_itself_is_never_taken_for_an_address_and_is_kept_short():
    assert key_of("10.0.0.1", "") != key_of("10.0.0.2", "10.0.0.1")
    long = "k" * 30_000
    assert len(key_of("10.0.0.1", long)) <= NAME_CHARS_MAX + 1
    assert key_of("10.0.0.1", long) != key_of("10.0.0.1", long + "k")
    assert key_of("10.0.0.1", "é" * 100)


def target_of(options: RouteOptions) -> SliceTarget:
    artifact = ArtifactBase("test.edge", "shop")
    return SliceTarget(artifact, Route("GET", "/a", "a"), options, "GET /a", plain=False)


async def test_naming_an_address_empties_nobody_elses_bucket():
    target = target_of(RouteOptions(rate=RateLimit(1, 60, by=Header("X-Key"))))
    gate = Gate()
    bad = Request(verb="GET", path="/a", headers=(("x-key", "10.0.0.1"),), client="10.0.0.2")
    for _ in range(3):
        await gate.admit(bad, target)
    good = Request(verb="GET", path="/a", client="10.0.0.1")
    assert (await gate.admit(good, target))[0] is None
    assert (await gate.admit(good, target))[0] is not None


async def test_a_page_can_read_why_the_guard_broke(caplog):
    async def broken(request: Request, target: SliceTarget) -> Response | None:
        raise KeyError("guard")

    origin = "https://a.example"
    request = Request(verb="GET", path="/a", headers=(("origin", origin),))
    refused, fields = await Gate(Cors(origin), broken).admit(request, target_of(RouteOptions()))
    assert refused is not None
    assert refused.status == 500
    assert fields["Access-Control-Allow-Origin"] == origin
    assert "GET /a failed" in caplog.text


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("whole", [True, False])
async def test_an_answer_that_has_no_body_sends_none_over_asgi(status, whole):
    said = []

    async def pieces():
        yield b"never"

    async def handler(request):
        return Response(status, b"body", stream=None if whole else pieces())

    async def receive():
        await trio.lowlevel.checkpoint()
        return {"type": "http.request"}

    async def send(message):
        said.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    await AsgiApplication(handler, lambda verb, path: False)(scope, receive, send)
    assert [message.get("body", b"") for message in said[1:]] == [b""]
