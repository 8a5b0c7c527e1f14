"""Holding requests up while the process cannot keep up: over memory streams and real sockets."""

from __future__ import annotations

import httpx
import pytest
import trio
import trio.testing

from aether.web.config import WebConfig
from aether.web.request import Request, Response, text_response
from aether.web.service import WebServer

GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_closed_gate_begins_no_request_and_lets_running_ones_end(connect, autojump_clock):
    """Work that was begun is worth most when it ends; more of it helps nobody now."""
    begun: list[str] = []

    async def handler(request: Request) -> Response:
        begun.append(request.path)
        await trio.sleep(5)
        return text_response("done")

    async with connect(handler) as peer:
        await peer.send(GET.replace("/ ", "/a ") + GET.replace("/ ", "/b "))
        await trio.sleep(1)
        peer.server.gate.close()
        assert (await peer.reply()).body == b"done"
        await trio.sleep(400)
        assert begun == ["/a"]
        peer.server.gate.open()
        assert (await peer.reply()).body == b"done"
        assert begun == ["/a", "/b"]


async def test_connections_wait_in_the_backlog_while_the_gate_is_closed(monkeypatch):
    """A client that cannot be served yet costs nothing here."""

    async def nobody(gate: object) -> None:  # on a busy machine, who watches the loop would open the gate in between
        return

    monkeypatch.setattr("aether.web.service.relieve", nobody)

    async def handler(request: Request) -> Response:
        return text_response("hello")

    server = WebServer(handler, WebConfig())
    async with trio.open_nursery() as nursery:
        address = await nursery.start(server.run)
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
            server.gate.close()
            with trio.move_on_after(0.2) as waited:
                await client.get("/", timeout=None)
            assert waited.cancelled_caught
            assert len(server._connections) <= 1  # the accept that was waiting already
            server.gate.open()
            assert (await client.get("/")).text == "hello"
        nursery.cancel_scope.cancel()


async def test_a_cut_reaches_a_request_that_waits_at_the_gate(connect, autojump_clock):
    """A drain ends at its limit whatever holds it up."""
    async with connect() as peer:
        peer.server.gate.close()
        await peer.send(GET)
        await trio.sleep(1)
        began = trio.current_time()
        await peer.server.drain(10.0)
        assert trio.current_time() - began == pytest.approx(10.0)
        assert await peer.is_closed()
