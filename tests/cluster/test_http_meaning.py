"""What requests mean, through real sockets: every status, negotiated types, streams, uploads, WebSockets.

Each case runs on a node that owns the code and on one that does not: two nodes, each asked.
"""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Annotated

import attrs
import httpx
import msgpack
import pytest
import trio

import aether


@attrs.frozen
class Line:
    sku: str
    qty: int


@attrs.frozen
class Tick:
    number: int


class Missing(aether.Fault):
    """There is no such thing."""

    status = 404
    name: str


@aether.slice(artifact="test.http:shop:1.2.0")
class Shop:
    @aether.post("/orders", status=201)
    async def order(self, customer: str, lines: list[Line]) -> list[Line]:
        return lines

    @aether.get("/lines/{number}")
    async def line(self, number: int, limit: Annotated[int, aether.Query()] = 1) -> Line:
        return Line("a", number * limit)

    @aether.get("/lines/first")
    async def first(self) -> Line:
        return Line("first", 1)

    @aether.delete("/lines/{number}")
    async def drop(self, number: int) -> None: ...

    @aether.get("/missing/{name}")
    async def missing(self, name: str) -> Line:
        raise Missing(name=name)

    @aether.get("/much")
    async def much(self) -> list[str]:
        return ["aether"] * 500

    @aether.get("/slow", deadline_s=0.2)
    async def slow(self) -> None:
        await trio.sleep_forever()

    @aether.post("/raw/{rest:path}")
    async def raw(self, request: aether.Request, rest: str) -> aether.Response:
        shown = f"{request.verb} {request.path}?{request.query_text} {rest} {request.headers['x-a']}"
        return aether.Response(request.body, status=202, content_type="text/x", headers={"X-Shown": shown})

    @aether.get("/report")
    async def report(self) -> aether.Response:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(3):
                await trio.sleep(0.06)
                yield b"%d\n" % number

        return aether.Response("head\n", content_type="text/csv", stream=pieces())

    @aether.post("/upload/{name}")
    async def upload(self, name: str, data: aether.Body) -> str:
        size = 0
        async for piece in data:
            size += len(piece)
        return f"{name} {size} {data.content_type}"

    @aether.get("/ticks")
    async def ticks(
        self, last_event_id: Annotated[str | None, aether.Header()], upto: int = 3
    ) -> AsyncIterator[aether.Event[Tick]]:
        for number in range(int(last_event_id or 0) + 1, upto + 1):
            yield aether.Event(Tick(number), id=str(number), retry_s=1.5 if number == 1 else None)

    @aether.get("/broken/{after}")
    async def broken(self, after: int) -> AsyncIterator[int]:
        for number in range(after):
            yield number
            await trio.sleep(0.1)
        raise Missing(name="more")

    @aether.get("/few", rate=aether.RateLimit(2, per_s=600, by=aether.Header("X-Key")))
    async def few(self) -> str:
        return "here"

    @aether.get("/shared", cors=aether.Cors("https://a.example", exposed=["X-Aether-Route"]))
    async def shared(self) -> str:
        return "shared"


async def on_each_node(body):
    async with aether.Cluster.local(Shop, nodes=2, http=True) as cluster:
        with trio.fail_after(40):
            for node in cluster.nodes:
                async with httpx.AsyncClient(base_url=node.http_url, trust_env=False, timeout=10) as client:
                    await body(client)


async def test_calls_answer_with_route_version_and_negotiated_type():
    async def body(client):
        made = await client.post("/orders", json={"customer": "ann", "lines": [{"sku": "a", "qty": 2}]})
        assert (made.status_code, made.json()) == (201, [{"sku": "a", "qty": 2}])
        assert made.headers["x-aether-route"] == "POST /orders"
        assert made.headers["x-aether-version"] == "1.2.0"
        packed = msgpack.packb({"customer": "ann", "lines": [{"sku": "a", "qty": 2}]})
        as_msgpack = {"content-type": "application/msgpack", "accept": "application/msgpack"}
        made = await client.post("/orders", content=packed, headers=as_msgpack)
        assert made.headers["content-type"] == "application/msgpack"
        assert msgpack.unpackb(made.content) == [{"sku": "a", "qty": 2}]
        assert (await client.get("/lines/first")).json()["sku"] == "first"
        assert (await client.get("/lines/7?limit=2")).json() == {"sku": "a", "qty": 14}
        assert (await client.delete("/lines/7")).status_code == 204
        headed = await client.head("/lines/7")
        assert (headed.status_code, headed.content, headed.headers["content-length"]) == (200, b"", "19")
        options = await client.options("/lines/7")
        assert (options.status_code, options.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS")

    await on_each_node(body)


async def test_every_refusal_has_its_status_and_says_all_that_is_wrong():
    async def body(client):
        async def status(verb, path, **more):
            answer = await client.request(verb, path, **more)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
            return answer

        assert (await status("GET", "/nothing")).status_code == 404
        wrong = await status("PUT", "/orders")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")
        assert (await status("GET", "/lines/7", headers={"accept": "text/html"})).status_code == 406
        unread = await status("POST", "/orders", content=b"<a/>", headers={"content-type": "text/xml"})
        assert unread.status_code == 415
        assert (await status("POST", "/orders", content=b"{")).status_code == 400
        misfit = await status("POST", "/orders?x=1", json={"lines": [{"sku": 1, "qty": "2"}, {"sku": "a"}]})
        assert misfit.status_code == 422
        assert misfit.json()["errors"] == [
            {"pointer": "#/customer", "detail": "missing"},
            {"pointer": "#/lines/0/sku", "detail": "expected str, got 1 (int)"},
            {"pointer": "#/lines/0/qty", "detail": "expected int, got '2' (str)"},
            {"pointer": "#/lines/1/qty", "detail": "missing"},
        ]
        misfit = await status("GET", "/lines/x?limit=y")
        assert misfit.json()["errors"] == [
            {"in": "path", "name": "number", "detail": "expected int, got 'x' (str)"},
            {"in": "query", "name": "limit", "detail": "expected int, got 'y' (str)"},
        ]
        fault = await status("GET", "/missing/x")
        assert (fault.status_code, fault.json()["name"], fault.json()["fault"]) == (404, "x", "Missing")
        assert (await status("GET", "/slow")).status_code == 504

    await on_each_node(body)


async def test_a_method_may_read_the_request_and_write_the_response_itself():
    async def body(client):
        answer = await client.post("/raw/a%2Fb/c?x=1", content=b"raw", headers={"x-a": "b"})
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (202, b"raw", "text/x")
        assert answer.headers["x-shown"] == "POST /raw/a%2Fb/c?x=1 a/b/c b"
        assert answer.headers["content-length"] == "3"
        report = await client.get("/report")
        assert report.text == "head\n0\n1\n2\n"
        assert report.headers["transfer-encoding"] == "chunked"
        assert (await client.head("/report")).content == b""

    await on_each_node(body)


async def test_a_body_streams_to_the_method_on_whichever_node_it_runs():
    async def pieces():
        for _ in range(64):
            yield b"x" * 50_000
            await trio.lowlevel.checkpoint()

    async def body(client):
        answer = await client.post("/upload/big", content=pieces(), headers={"content-type": "text/csv"})
        assert answer.json() == "big 3200000 text/csv"
        assert answer.headers["x-aether-version"] == "1.2.0"
        assert (await client.post("/upload/none")).json() == "none 0 "

    await on_each_node(body)


async def test_a_stream_is_json_lines_or_server_sent_events():
    async def body(client):
        lines = await client.get("/ticks")
        assert lines.headers["content-type"] == "application/x-ndjson"
        assert [json.loads(line)["data"]["number"] for line in lines.text.splitlines()] == [1, 2, 3]
        events = await client.get("/ticks?upto=2", headers={"accept": "text/event-stream"})
        assert events.headers["content-type"] == "text/event-stream"
        assert events.text == 'id: 1\nretry: 1500\ndata: {"number":1}\n\nid: 2\ndata: {"number":2}\n\n'
        again = {"accept": "text/event-stream", "last-event-id": "2"}
        assert (await client.get("/ticks", headers=again)).text == 'id: 3\ndata: {"number":3}\n\n'
        assert (await client.get("/ticks", headers={"accept": "text/html"})).status_code == 406

    await on_each_node(body)


async def test_a_fault_before_the_first_item_has_its_status_and_later_ends_the_stream():
    async def body(client):
        assert (await client.get("/broken/0")).status_code == 404
        events = await client.get("/broken/1", headers={"accept": "text/event-stream"})
        assert events.status_code == 200
        assert events.text.startswith("data: 0\n\nevent: fault\ndata: {")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/broken/1")

    await on_each_node(body)


async def test_large_answers_are_compressed_for_who_wants_it():
    async def body(client):
        plain = await client.get("/much", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.headers["vary"] == "Accept-Encoding"
        async with client.stream("GET", "/much", headers={"accept-encoding": "br, gzip;q=0.5"}) as packed:
            raw = b"".join([part async for part in packed.aiter_raw()])
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(raw) == plain.content
        assert (await client.get("/lines/7")).headers.get("vary") is None

    await on_each_node(body)


async def test_a_client_over_its_rate_gets_429_and_others_do_not():
    async def body(client):
        got = [await client.get("/few", headers={"x-key": "a"}) for _ in range(3)]
        assert [answer.status_code for answer in got] == [200, 200, 429]
        assert got[0].headers["ratelimit"].startswith('"route";r=1;t=')
        assert int(got[2].headers["retry-after"]) > 100
        assert (await client.get("/few", headers={"x-key": "b"})).status_code == 200

    await on_each_node(body)


async def test_pages_of_named_origins_alone_may_read():
    async def body(client):
        allowed = await client.get("/shared", headers={"origin": "https://a.example"})
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        assert allowed.headers["access-control-expose-headers"] == "X-Aether-Route"
        foreign = await client.get("/shared", headers={"origin": "https://b.example"})
        assert "access-control-allow-origin" not in foreign.headers
        assert foreign.headers["vary"] == "Origin"
        asks = {"origin": "https://a.example", "access-control-request-method": "GET"}
        preflight = await client.options("/shared", headers=asks)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-methods"] == "GET"
        assert "access-control-allow-origin" not in (await client.options("/lines/7", headers=asks)).headers

    await on_each_node(body)


async def test_a_node_that_drains_ends_streams_of_events_at_once():
    """An EventSource connects again, to a node that stays."""

    @aether.slice(artifact="test.http:endless:1.0.0")
    class Endless:
        @aether.get("/endless")
        async def endless(self) -> AsyncIterator[int]:
            yield 1
            await trio.sleep_forever()

    async with aether.Cluster.open(Endless, http=0) as cluster:
        async with (
            httpx.AsyncClient(base_url=cluster.http_url, trust_env=False) as client,
            trio.open_nursery() as nursery,
        ):
            async with client.stream("GET", "/endless", headers={"accept": "text/event-stream"}) as events:
                lines = events.aiter_lines()
                assert await anext(lines) == "data: 1"
                nursery.start_soon(cluster.drain)
                with trio.fail_after(3):
                    assert [line async for line in lines if line] == []


@aether.slice(artifact="test.http:one:1.0.0")
class One:
    @aether.get("/clash/{a}")
    async def first(self, a: str) -> str:
        return a


@aether.slice(artifact="test.http:other:1.0.0")
class Other:
    @aether.get("/clash/{b}")
    async def second(self, b: str) -> str:
        return b


async def test_two_slices_that_claim_one_path_are_refused_naming_both(tmp_path):
    with pytest.raises(aether.ContractError, match=r"One\.first serves GET /clash/\{a\}, and Other\.second"):
        async with aether.Cluster.open(One, Other):
            pass
    with trio.fail_after(30):
        async with aether.Cluster.open(One, port=0) as cluster:
            with pytest.raises(aether.ContractError, match=r"test\.http:one\.first serves .* Other\.second"):
                async with aether.Cluster.open(Other, join=cluster.addresses.cluster_address):
                    pass
