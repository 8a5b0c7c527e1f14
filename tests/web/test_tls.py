"""Ports for HTTP speak TLS: every verdict on a client's certificate reaches the client, or ends its connection."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import trio
import trustme

from aether.errors import BadInput
from aether.web.config import WebConfig
from aether.web.request import Request, Response, text_response
from aether.web.service import WebServer
from aether.web.tls_service import Tls


class Port:
    """A server under TLS, and clients of it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.ca = trustme.CA()
        self.revoked = False
        self._nursery = nursery
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        self.ca.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        self.server = WebServer(self.answer, WebConfig(), tls=Tls(lambda: context, self.identify))
        self.address = ""
        self.streams: list[trio.SocketStream] = []

    async def answer(self, request: Request) -> Response:
        if request.path == "/stream":
            return Response(200, stream=self.parts())
        return text_response(f"hello {request.identity or 'nobody'}")

    async def parts(self):
        yield b"one "
        yield b"two"

    def identify(self, described: Any) -> str:
        if self.revoked:
            raise BadInput("the certificate is revoked")
        return "somebody" if described else ""

    async def open(self) -> None:
        self.address = await self._nursery.start(self.server.run)

    async def connect(self, *, certificate: bool = False) -> trio.SSLStream[trio.SocketStream]:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if certificate:
            self.ca.issue_cert("somebody@example.com").configure_cert(context)
        host, _, port = self.address.rpartition(":")
        plain = await trio.open_tcp_stream(host, int(port))
        self.streams.append(plain)
        return trio.SSLStream(plain, context, server_hostname="localhost", https_compatible=True)


@pytest.fixture
async def port():
    async with trio.open_nursery() as nursery:
        port = Port(nursery)
        await port.open()
        yield port
        for stream in port.streams:
            await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


async def ask(stream: trio.abc.Stream, path: str = "/", *, version: str = "1.1") -> bytes:
    await stream.send_all(f"GET {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
    got = b""
    with trio.fail_after(5):
        while b"hello" not in got and b"403" not in got:
            more = bytes(await stream.receive_some())
            if not more:
                break
            got += more
    return got


async def test_a_client_without_a_certificate_is_served_as_nobody(port):
    assert b"hello nobody" in await ask(await port.connect())


async def test_a_request_says_whose_certificate_its_connection_showed(port):
    assert b"hello somebody" in await ask(await port.connect(certificate=True))


async def test_a_client_whose_certificate_is_not_accepted_reads_why(port):
    port.revoked = True

    got = await ask(await port.connect(certificate=True))

    assert got.startswith(b"HTTP/1.1 403")
    assert b"the certificate is revoked" in got


async def test_a_live_connection_ends_when_its_certificate_is_not_accepted_any_more(port):
    stream = await port.connect(certificate=True)
    assert b"hello somebody" in await ask(stream)
    port.revoked = True

    port.server.recheck()

    with trio.fail_after(5):
        with pytest.raises((trio.BrokenResourceError, AssertionError)):
            assert await stream.receive_some()


async def test_a_connection_without_a_certificate_survives_a_revocation(port):
    stream = await port.connect()
    assert b"hello nobody" in await ask(stream)
    port.revoked = True

    port.server.recheck()

    assert b"hello nobody" in await ask(stream)


async def test_an_answer_without_a_length_ends_with_a_goodbye(port):
    plain = (await port.connect()).transport_stream
    context = ssl.create_default_context()
    port.ca.configure_trust(context)
    careful = trio.SSLStream(plain, context, server_hostname="localhost")  # raises at an end without a goodbye
    await careful.send_all(b"GET /stream HTTP/1.0\r\nHost: localhost\r\n\r\n")
    got = b""
    with trio.fail_after(5):
        while more := bytes(await careful.receive_some()):
            got += more

    assert got.endswith(b"one two")


async def test_a_plain_client_at_a_tls_port_costs_one_connection_and_nothing_else(port):
    host, _, number = port.address.rpartition(":")
    plain = await trio.open_tcp_stream(host, int(number))
    await plain.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with trio.fail_after(5):
        while await plain.receive_some():
            pass
    await plain.aclose()

    assert b"hello nobody" in await ask(await port.connect())


async def test_half_open_handshakes_of_one_host_leave_room_for_others(monkeypatch, port):
    """Whoever connects and says nothing has no more than its place, and that only while nobody else wants it."""
    monkeypatch.setattr(port.server._room, "_handshakes_max", 3)
    host, _, number = port.address.rpartition(":")
    silent = [await trio.open_tcp_stream(host, int(number)) for _ in range(3)]
    port.streams.extend(silent)
    with trio.fail_after(5):
        while port.server._room.handshakes < 3:
            await trio.lowlevel.checkpoint()
    same = await trio.open_tcp_stream(host, int(number))
    port.streams.append(same)
    with trio.fail_after(2):
        assert await ended(same), "the host that holds all gets no more"

    context = ssl.create_default_context()
    port.ca.configure_trust(context)
    other = await trio.open_tcp_stream(host, int(number), local_address="127.0.0.2")
    port.streams.append(other)
    secured = trio.SSLStream(other, context, server_hostname="localhost", https_compatible=True)
    assert b"hello nobody" in await ask(secured)
    with trio.fail_after(2):
        assert await ended(silent[0]), "the oldest made way"


async def ended(stream) -> bool:
    try:
        return not await stream.receive_some()
    except trio.BrokenResourceError:
        return True
