"""WebSockets through real sockets: by a client of wsproto, and by frames that no client would send."""

import contextlib
import json
from collections.abc import AsyncIterator

import attrs
import httpx
import pytest
import trio
import wsproto
import wsproto.events as ws

import aether
from aether.model.limits import WEBSOCKET_MESSAGE_BYTES_MAX


@attrs.frozen
class Say:
    text: str
    times: int = 1


class Banned(aether.Fault):
    """You may not talk here."""

    status = 403


ENDED: list[str] = []


@aether.slice(artifact="test.sockets:talk:1.0.0")
class Talk:
    @aether.websocket("/rooms/{room}")
    async def talk(self, room: str, messages: AsyncIterator[Say], limit: int = 10) -> AsyncIterator[Say]:
        try:
            async for said in messages:
                if said.text == "ban":
                    raise Banned
                if said.text == "bye":
                    return
                if said.text == "crash":
                    raise KeyError(said.text)
                yield Say(f"{room}: {said.text}", min(said.times, limit))
            ENDED.append("messages ended")
        finally:
            ENDED.append(room)

    @aether.websocket("/echo")
    async def echo(self, messages: AsyncIterator[str]) -> AsyncIterator[str]:
        async for message in messages:
            yield message

    @aether.websocket("/bytes")
    async def flip(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for message in messages:
            yield message[::-1]

    @aether.websocket("/clock", cors=aether.Cors("https://a.example"))
    async def clock(self) -> AsyncIterator[int]:
        for number in range(3):
            yield number

    @aether.websocket("/sink")
    async def sink(self, messages: AsyncIterator[Say]) -> None:
        async for message in messages:
            ENDED.append(message.text)

    @aether.websocket("/slow")
    async def slow(self, messages: AsyncIterator[str]) -> AsyncIterator[str]:
        await trio.sleep(1.0)
        async for message in messages:
            yield message[:1]

    @aether.websocket("/flood")
    async def flood(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            ENDED.append("flood")


class Client:
    """The client's end of one WebSocket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.wire = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self.events: list[ws.Event] = []

    async def send(self, event: ws.Event) -> None:
        await self.stream.send_all(self.wire.send(event))

    async def say(self, value) -> None:
        await self.send(ws.TextMessage(data=json.dumps(value)))

    async def next(self) -> ws.Event:
        while not self.events:
            data = await self.stream.receive_some(65_536)
            self.wire.receive_data(data or None)
            self.events.extend(self.wire.events())
        return self.events.pop(0)

    async def message(self):
        """The next whole message, text or bytes."""
        parts = []
        while True:
            event = await self.next()
            assert isinstance(event, ws.TextMessage | ws.BytesMessage | ws.Ping), event
            if isinstance(event, ws.Ping):
                await self.send(event.response())
                continue
            parts.append(event.data)
            if event.message_finished:
                return parts[0][:0].join(parts)

    async def closed(self) -> tuple[int, str | None]:
        while not isinstance(event := await self.next(), ws.CloseConnection):
            assert isinstance(event, ws.Ping)
        return event.code, event.reason


@contextlib.asynccontextmanager
async def connected(node, path, **headers):
    host, _, port = node.addresses.http_address.rpartition(":")
    stream = await trio.open_tcp_stream(host, int(port))
    async with stream:
        client = Client(stream)
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        await client.send(ws.Request(host=f"{host}:{port}", target=path, extra_headers=extra))
        yield client


@contextlib.asynccontextmanager
async def cluster_of_two():
    ENDED.clear()
    async with aether.Cluster.local(Talk, nodes=2, http=True) as cluster:
        with trio.fail_after(40):
            yield cluster


async def settle(what):
    with trio.fail_after(5):
        while what not in ENDED:
            await trio.sleep(0.01)


async def test_typed_messages_go_both_ways_on_any_node():
    async with cluster_of_two() as cluster:
        for node in cluster.nodes:
            async with connected(node, "/rooms/a?limit=3") as client:
                accepted = await client.next()
                assert isinstance(accepted, ws.AcceptConnection)
                shown = {bytes(name).lower(): bytes(value) for name, value in accepted.extra_headers}
                assert shown[b"x-aether-route"] == b"GET /rooms/{room}"
                assert shown[b"x-aether-version"] == b"1.0.0"
                await client.say({"text": "hi", "times": 7})
                assert json.loads(await client.message()) == {"text": "a: hi", "times": 3}
                await client.send(ws.Ping(payload=b"p"))
                while isinstance(event := await client.next(), ws.Ping):
                    pass
                assert event == ws.Pong(payload=b"p")
                await client.say({"text": "bye"})
                assert await client.closed() == (1000, "")
            async with connected(node, "/bytes") as client:
                await client.next()
                await client.send(ws.BytesMessage(data=b"abc"))
                assert await client.message() == b"cba"
            async with connected(node, "/echo") as client:
                await client.next()
                await client.send(ws.TextMessage(data="plain ", message_finished=False))
                await client.send(ws.TextMessage(data="text"))
                assert await client.message() == "plain text"


async def test_each_end_has_its_close_code():
    async with cluster_of_two() as cluster:
        node = cluster.nodes[0]
        for send, code, reason in (
            (ws.TextMessage(data='{"text": "ban"}'), 4403, "Banned"),
            (ws.TextMessage(data='{"text": "crash"}'), 1011, None),
            (ws.TextMessage(data='{"text": 5}'), 1007, "message.text: expected str, got 5 (int)"),
            (ws.TextMessage(data="{"), 1007, "message"),
            (ws.TextMessage(data="x" * (WEBSOCKET_MESSAGE_BYTES_MAX + 1)), 1009, "at most"),
            (ws.BytesMessage(data=b"\x81\xa4text\xa3bye"), 1000, None),
            (ws.CloseConnection(code=1001, reason="away"), 1001, "away"),
        ):
            async with connected(node, "/rooms/a") as client:
                await client.next()
                await client.send(send)
                got, why = await client.closed()
                assert "[" not in (why or "")  # a reason is words, and no list of Python's
                assert (got, reason is None or reason in (why or "")) == (code, True), (send, got, why)


async def test_a_client_that_leaves_ends_the_method():
    async with cluster_of_two() as cluster:
        async with connected(cluster.nodes[1], "/rooms/left") as client:
            await client.next()
        await settle("left")
        async with connected(cluster.nodes[1], "/rooms/gone") as client:
            await client.next()
            await client.send(ws.CloseConnection(code=1000))
            await client.closed()
            await settle("messages ended")
        async with connected(cluster.nodes[0], "/flood") as client:
            await client.next()
            await client.message()
        await settle("flood")
        async with connected(cluster.nodes[0], "/sink") as client:
            await client.next()
            await client.say({"text": "heard"})
            await settle("heard")


async def test_a_method_that_is_slow_holds_its_client_back():
    async with cluster_of_two() as cluster, connected(cluster.nodes[0], "/slow") as client:
        await client.next()
        sent = 0
        big = ws.TextMessage(data="y" * 500_000)
        with trio.move_on_after(0.6):
            while True:
                await client.send(big)
                sent += 1
        assert sent < 60, "what it sends must not pile up in memory"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\x81\x02hi", 1002),  # not masked
        (b"\xc1\x80\0\0\0\0", 1002),  # a bit of an extension that nobody spoke
        (b"\x83\x80\0\0\0\0", 1002),  # no such kind of frame
        (b"\x09\x80\0\0\0\0", 1002),  # a ping in two parts
        (b"\x89\xfe\0\x7e\0\0\0\0" + b"x" * 126, 1002),  # a ping that is too long
        (b"\x81\x81\0\0\0\0\xff", 1007),  # text that is no UTF-8
        (b"\x80\x80\0\0\0\0", 1002),  # goes on with nothing
    ],
)
async def test_frames_that_no_client_sends_close_with_the_right_code(raw, code):
    async with cluster_of_two() as cluster, connected(cluster.nodes[0], "/echo") as client:
        await client.next()
        await client.stream.send_all(raw)
        assert (await client.closed())[0] == code


async def test_what_opens_no_socket_is_told_why():
    async with cluster_of_two() as cluster:
        url = cluster.nodes[0].http_url
        upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        key = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:

            async def status(path, **headers):
                answer = await http.get(path, headers={name.replace("_", "-"): v for name, v in headers.items()})
                return answer.status_code

            assert await status("/echo") == 426
            assert await status("/echo", **{**upgrade, **key, "sec-websocket-version": "8"}) == 426
            assert await status("/echo", **upgrade) == 400
            assert await status("/echo", **upgrade, sec_websocket_key="short") == 400
            assert await status("/rooms/a?limit=x", **upgrade, **key) == 422
            assert await status("/echo", **upgrade, **key, origin="https://evil.example") == 403
            assert await status("/clock", **upgrade, **key, origin="https://b.example") == 403
            assert (await http.post("/echo")).status_code == 405
        async with connected(cluster.nodes[0], "/clock", origin="https://a.example") as client:
            assert isinstance(await client.next(), ws.AcceptConnection)
            assert [await client.message() for _ in range(3)] == ["0", "1", "2"]
        async with connected(cluster.nodes[0], "/clock", origin=url) as client:
            assert isinstance(await client.next(), ws.AcceptConnection)


async def test_a_node_that_leaves_says_so():
    async with aether.Cluster.open(Talk, http=0) as cluster:
        async with connected(cluster, "/rooms/a") as client:
            await client.next()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cluster.drain)
                code, _ = await client.closed()
                assert code == 1001
                nursery.cancel_scope.cancel()
