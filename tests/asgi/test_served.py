"""The routes of the cluster served by an ASGI server: hypercorn under trio, on a real socket."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import hypercorn.config
import hypercorn.trio
import pytest
import trio
from starlette.applications import Starlette
from starlette.routing import Mount

import aether
from aether.web.asgi_service import AsgiApplication

LOG = []


class Gone(aether.Fault):
    """It was there."""

    status = 410
    name: str


@aether.slice(artifact="tests.served:shop:1.0.0")
class Shop:
    @aether.get("/hello/{name}")
    async def hello(self, name: str) -> str:
        return f"Hello, {name}!"

    @aether.post("/sum")
    async def add(self, numbers: list[int]) -> int:
        return sum(numbers)

    @aether.get("/gone/{name}")
    async def gone(self, name: str) -> str:
        raise Gone(name=name)

    @aether.get("/ticks")
    async def ticks(self, upto: int) -> AsyncIterator[int]:
        for n in range(upto):
            yield n

    @aether.post("/upload")
    async def upload(self, content: aether.Body) -> int:
        return len(await content.read())

    @aether.get("/forever")
    async def forever(self) -> None:
        LOG.append("began")
        try:
            await trio.sleep_forever()
        finally:
            LOG.append("ended")

    @aether.websocket("/talk")
    async def talk(self, said: AsyncIterator[str]) -> AsyncIterator[str]:
        async for text in said:
            yield text


@asynccontextmanager
async def by_hypercorn(application):
    """A client of hypercorn that serves `application`."""
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = config.accesslog = None
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        serve = functools.partial(hypercorn.trio.serve, application, config, shutdown_trigger=stop.wait, mode="asgi")
        (url,) = await nursery.start(serve)
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
            yield client
        stop.set()


@pytest.fixture(autouse=True)
def _log():
    LOG.clear()


async def until_logged(*words):
    with trio.fail_after(10):
        while list(words) != LOG:
            await trio.sleep(0.01)


async def test_hypercorn_serves_what_the_port_would():
    async with aether.Cluster.open(Shop) as cluster, by_hypercorn(cluster.asgi()) as client:
        answer = await client.get("/hello/ann%20b", headers={"X-Request-Id": "mine"})
        assert (answer.status_code, answer.json()) == (200, "Hello, ann b!")
        assert answer.headers["X-Request-Id"] == "mine"
        assert answer.headers["Content-Length"] == "15"
        assert (await client.post("/sum", json={"numbers": [1, 2, 3]})).json() == 6
        assert (await client.get("/gone/tea")).json()["name"] == "tea"
        assert (await client.get("/gone/tea")).status_code == 410
        assert (await client.post("/sum", json={"numbers": "x"})).status_code == 422
        assert (await client.get("/nothing")).headers["Content-Type"] == "application/problem+json"
        assert (await client.delete("/sum")).headers["Allow"] == "OPTIONS, POST"
        assert (await client.head("/hello/ann")).content == b""
        assert (await client.get("/openapi.json")).json()["openapi"] == "3.1.0"


async def test_streams_pass_both_ways():
    async def pieces():
        for _ in range(300):
            yield b"x" * 10_000

    async with aether.Cluster.open(Shop) as cluster, by_hypercorn(cluster.asgi()) as client:
        answer = await client.get("/ticks?upto=5000", headers={"Accept": "text/event-stream"})
        assert answer.text.count("data: ") == 5000
        assert (await client.post("/upload", content=pieces())).json() == 3_000_000


async def test_a_body_over_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr("aether.web.asgi_service.HTTP_BODY_BYTES_MAX", 1_000)
    async with aether.Cluster.open(Shop) as cluster, by_hypercorn(cluster.asgi()) as client:
        assert (await client.post("/sum", json={"numbers": [1] * 1_000})).status_code == 413
        assert (await client.post("/sum", json={"numbers": [1] * 10})).status_code == 200


async def test_a_client_that_leaves_cancels_the_call():
    async with aether.Cluster.open(Shop) as cluster, by_hypercorn(cluster.asgi()) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, "/forever")
            await until_logged("began")
            nursery.cancel_scope.cancel()
        await until_logged("began", "ended")


async def test_a_websocket_is_refused_and_an_upgrade_too():
    async with aether.Cluster.open(Shop) as cluster:
        application = cluster.asgi()
        sent = []

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        await application({"type": "websocket", "path": "/talk"}, receive, send)
        assert sent == [{"type": "websocket.close", "code": 1003}]
        with pytest.raises(RuntimeError, match="'other' is not served"):
            await application({"type": "other"}, receive, send)


async def test_it_may_be_mounted_in_an_application_below_a_path():
    async with aether.Cluster.open(Shop) as cluster:
        application = Starlette(routes=[Mount("/api", app=cluster.asgi())])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://x") as client:
            assert (await client.get("/api/hello/ann")).json() == "Hello, ann!"


def test_outside_trio_it_says_what_to_use():
    async def call():
        await AsgiApplication(None, lambda *_: False)({"type": "http"}, None, None)

    with pytest.raises(RuntimeError, match="hypercorn's trio worker"):
        asyncio.run(call())
