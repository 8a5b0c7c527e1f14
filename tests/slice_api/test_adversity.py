"""Readers that leave at the worst moment, and what a client may say of itself."""

import pytest

import aether
from aether.slice_api.asgi_exchange_service import Exchange
from aether.slice_api.contract import contract_of
from aether.slice_api.exchange import Body, Request
from aether.slice_api.http import HttpInput
from aether.slice_api.http_exchange import exchange


class Pieces:
    """A stream that knows whether it was closed."""

    def __init__(self):
        self.is_closed = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        return b"piece"

    async def aclose(self):
        self.is_closed = True


@aether.slice(artifact="shop:reports:1.0.0")
class Reports:
    pieces: Pieces = aether.state(factory=Pieces)

    @aether.get("/report")
    async def report(self) -> aether.Response:
        return aether.Response(b"title", stream=self.pieces)


@pytest.mark.parametrize("taken", [1, 2, 3])
async def test_the_stream_of_a_response_is_closed_wherever_its_reader_leaves(taken):
    """Also before the first piece of it: whatever makes the pieces would wait for that for ever."""
    reports = Reports()
    spec = contract_of(Reports).methods["report"]
    request = HttpInput(verb="GET", template="/report", path={}, query={})
    parts = exchange(spec, reports.report, request, {}, {}, "1.0.0")
    for _ in range(taken):
        await anext(parts)
    await parts.aclose()

    assert reports.pieces.is_closed


@pytest.mark.parametrize("host", ["shop.example:\u00b2", "shop.example:", ":", "[::1]:80", "shop.example"])
def test_whatever_a_client_calls_its_host_an_application_gets_its_request(host):
    request = Request(verb="GET", path="/", headers={"host": host})

    assert Exchange(request, Body(), "", {})._asgi_scope()["server"][0] in (host, host.rpartition(":")[0])
