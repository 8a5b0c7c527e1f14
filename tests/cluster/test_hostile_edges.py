"""Requests that a browser or a proxy can be made to send, through real sockets."""

from collections.abc import AsyncIterator

import httpx
import pytest
import trio

import aether

OPENING = (
    b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@aether.slice(artifact="test.edges:edge:1.0.0")
class Edge:
    @aether.post("/names")
    async def add(self, name: str) -> str:
        return name

    @aether.websocket("/echo")
    async def echo(self, messages: AsyncIterator[str]) -> AsyncIterator[str]:
        async for message in messages:
            yield message


async def test_a_page_of_another_origin_cannot_send_json_without_being_asked_about():
    async with aether.Cluster.open(Edge, http=0) as cluster, httpx.AsyncClient(base_url=cluster.http_url) as client:
        body = b'{"name":"a"}'
        assert (await client.post("/names", content=body)).json() == "a"
        for kind in ({}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
            forged = await client.post("/names", content=body, headers={"origin": "https://evil.example", **kind})
            assert forged.status_code == 415


@pytest.mark.parametrize(
    ("opening", "status"),
    [
        (b"GET /echo HTTP/1.0\r\n" + OPENING, b"426"),
        (b"GET /echo HTTP/1.1\r\nContent-Length: 10\r\n" + OPENING, b"400"),
        (b"GET /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + OPENING, b"400"),
        (b"GET /echo HTTP/1.1\r\nContent-Length: 0\r\n" + OPENING, b"101"),
    ],
)
async def test_what_no_proxy_reads_as_an_upgrade_opens_no_websocket(opening, status):
    async with aether.Cluster.open(Edge, http=0) as cluster:
        url = httpx.URL(cluster.http_url)
        with trio.fail_after(20):
            async with await trio.open_tcp_stream(url.host, url.port) as stream:
                await stream.send_all(opening + b"\r\n")
                raw = await stream.receive_some()
        assert raw.split(b" ")[1] == status
