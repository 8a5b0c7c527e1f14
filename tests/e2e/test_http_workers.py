"""Raw requests, uploads and streams of a slice that lives in a worker process."""

import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

import aether


class Forbidden(aether.Fault):
    """You may not."""

    status = 403


@aether.slice(artifact="test.http:apart:1.0.0", host="process")
class Apart:
    @aether.post("/raw")
    async def raw(self, request: aether.Request) -> aether.Response:
        return aether.Response(request.body[::-1], status=202, headers={"X-Client": request.client})

    @aether.post("/upload")
    async def upload(self, body: aether.Body) -> int:
        return len(await body.read())

    @aether.get("/ticks")
    async def ticks(self) -> AsyncIterator[int]:
        for number in range(3):
            yield number

    @aether.post("/sum")
    async def sum(self, numbers: list[int]) -> int:
        return sum(numbers)


@pytest.mark.process
@pytest.mark.timeout(120)
async def test_a_worker_process_answers_like_its_node():
    seen = []

    @contextlib.asynccontextmanager
    async def watching(call: aether.ServedCall):
        seen.append(call.method)
        if call.headers.get("x-bad"):
            raise Forbidden
        yield

    async with aether.Cluster.open(Apart, http=0, middleware=[watching]) as cluster:
        async with httpx.AsyncClient(base_url=cluster.http_url, trust_env=False, timeout=20) as client:
            with trio.fail_after(60):
                raw = await client.post("/raw", content=b"abc")
                assert (raw.status_code, raw.content, raw.headers["x-client"]) == (202, b"cba", "127.0.0.1")
                assert raw.headers["x-aether-version"] == "1.0.0"
                assert (await client.post("/upload", content=b"x" * 300_000)).json() == 300_000
                events = await client.get("/ticks", headers={"accept": "text/event-stream"})
                assert events.text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
                assert (await client.post("/sum", json=[1, 2])).json()["errors"][0]["pointer"] == "#"
                assert (await client.post("/sum", json={"numbers": [1, 2]})).json() == 3
                assert (await client.post("/sum", json={}, headers={"x-bad": "1"})).status_code == 403
    assert seen == ["raw", "upload", "ticks", "sum", "sum", "sum"]
