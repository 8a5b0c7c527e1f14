"""Streams and WebSockets of protected routes end with the right to them, on whole nodes in virtual time."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import attrs
import pytest
import trio
import trio.testing

import aether
from aether.model.access import Role
from aether.model.limits import RIGHT_LOOK_S, RIGHT_VERIFY_S
from aether.web.request import Request, Response
from aether.web.right_service import LOOKS_LOST_MAX, Right, lasting
from aether.web.send_service import Cut

TEXT = """
[[slices]]
artifact = "shop:ticker:1.0.0"
instances = 1

[security]
"* /ticker/*" = "role:reader"
"""
WITHIN_S = RIGHT_LOOK_S + 1


@aether.slice(artifact="shop:ticker:1.0.0")
class Ticker:
    @aether.get("/ticker/events")
    async def events(self) -> AsyncIterator[aether.Event[int]]:
        while True:
            yield aether.Event(1)
            await trio.sleep(0.5)

    @aether.get("/ticker/silent")
    async def silent(self) -> AsyncIterator[bytes]:
        yield b"first"
        await trio.sleep_forever()

    @aether.websocket("/ticker/socket")
    async def socket(self) -> AsyncIterator[str]:
        yield "first"
        await trio.sleep_forever()


def request_for(path: str, token: str = "") -> Request:
    fields = [("host", "shop.example"), ("authorization", f"Bearer {token}")]
    if path.endswith("socket"):
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        fields += [("connection", "Upgrade"), ("upgrade", "websocket")]
        fields += [("sec-websocket-version", "13"), ("sec-websocket-key", key)]
    return Request(verb="GET", path=path, headers=tuple(fields), request_id="r", client="198.51.100.7", body=b"")


async def until_end(response: Response) -> None:
    """Take all that comes, as the connection would."""
    try:
        await _taken(response)
    finally:
        if response.stream is not None:
            await response.stream.aclose()


async def _taken(response: Response) -> None:
    if response.upgrade is not None:
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            seen = bytearray()

            async def read() -> None:
                while data := await ours.receive_some():
                    seen.extend(data)

            nursery.start_soon(read)
            await response.upgrade(theirs, b"")
            await theirs.aclose()
        assert (1008).to_bytes(2, "big") + b"the right to this has ended" in seen
    else:
        try:
            async for _ in response.stream:
                pass
        except Cut:
            assert response.content_type != "text/event-stream"


async def opened(aether_cluster, text=TEXT):
    cluster = await aether_cluster(Ticker, nodes=1)
    node = cluster.nodes[0]._node
    await node.operator.apply(text)
    await trio.sleep(2)
    return node, node.slice_handler()


PATHS = ["/ticker/events", "/ticker/silent", "/ticker/socket"]


@pytest.mark.parametrize("path", PATHS)
async def test_an_open_answer_ends_with_its_token(aether_cluster, path):
    """A revoked token read on for as long as its client stayed."""
    node, handler = await opened(aether_cluster)
    tokens = node.operations.access.tokens
    text = (await tokens.create(Role.NOBODY, name="ann", roles=("reader",))).text
    response = await handler(request_for(path, text))
    assert response.status in (101, 200)
    with trio.move_on_after(15) as lasts:  # nobody answers the pings of the WebSocket, which ends it after 20
        await until_end(response)
    assert lasts.cancelled_caught, "as long as the token holds"

    response = await handler(request_for(path, text))
    await tokens.revoke("ann")
    with trio.fail_after(WITHIN_S):
        await until_end(response)


@pytest.mark.parametrize("path", PATHS)
async def test_an_open_answer_ends_when_its_token_expires(aether_cluster, path):
    node, handler = await opened(aether_cluster)
    made = await node.operations.access.tokens.create(Role.NOBODY, name="ann", roles=("reader",), life_s=10.0)
    response = await handler(request_for(path, made.text))
    began = trio.current_time()
    with trio.fail_after(10 + WITHIN_S):
        await until_end(response)
    assert trio.current_time() - began > 7


async def test_an_open_answer_follows_the_rule_of_its_route(aether_cluster):
    """Also one that was public when it began."""
    node, handler = await opened(aether_cluster, TEXT.replace("role:reader", "public"))
    response = await handler(request_for("/ticker/events"))
    assert response.status == 200
    await node.operator.apply(TEXT)
    with trio.fail_after(WITHIN_S):
        await until_end(response)


async def test_the_verifier_of_the_application_is_asked_again(aether_cluster):
    node, handler = await opened(aether_cluster)
    known = {"ann"}

    async def verify(credentials):
        found = credentials.bearer in known
        return aether.Principal(name="ann", roles=("reader",)) if found else None

    handler._gate._protect._verify = verify
    response = await handler(request_for("/ticker/silent", "ann"))
    known.clear()
    with trio.fail_after(RIGHT_VERIFY_S + WITHIN_S):
        await until_end(response)
    del node


async def test_a_look_that_fails_is_repeated_and_not_for_ever(autojump_clock, caplog):
    """An identity provider that stumbles cuts nobody off; one that is gone keeps nobody in."""
    answers = iter([OSError("away"), 1.0, OSError("away"), OSError("away"), OSError("away")])

    async def look() -> float | None:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    right = Right(look)
    held = 0
    while await right.holds():
        held += 1
        await trio.sleep_until(right.due_at)
    assert held == 5
    assert LOOKS_LOST_MAX == 3
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 4


async def test_a_whole_answer_is_left_alone():
    async def look() -> float | None:
        return None

    whole = Response(200, b"x", "text/plain")
    assert lasting(whole, look, silent=True) is whole
    assert attrs.evolve(whole) == whole
