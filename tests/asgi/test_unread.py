"""Answers of an application that nobody takes: it is told, so that it waits for no one."""

import pytest
import trio

from aether.slice_api.asgi_exchange_service import Exchange
from aether.slice_api.exchange import Body, Request


@pytest.mark.parametrize(
    "start",
    [
        {"status": 200, "headers": [(b"x-said", b"a\r\nb: c")]},
        {"status": 99},
        {"status": 200, "headers": [(b"set-cookie", b"a=b")] * 100},
    ],
)
async def test_an_answer_that_cannot_begin_ends_its_application(start, autojump_clock):
    ended = []

    async def application(scope, receive, send):
        try:
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": b"for nobody"})
            await trio.sleep_forever()
        finally:
            ended.append(True)

    async with trio.open_nursery() as nursery:
        exchange = Exchange(Request(verb="GET", path="/"), Body(), "", {})
        with pytest.raises(ValueError, match=r"cookies|status|line break"):
            await exchange.answer(application, nursery, 30.0)
        with trio.fail_after(1):
            while not ended:
                await trio.sleep(0.01)
