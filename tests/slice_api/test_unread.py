"""The stream of a Response is closed whenever its reader leaves, also one that has seen the head alone."""

import aether
from aether.slice_api.contract import contract_of
from aether.slice_api.http import HttpInput
from aether.slice_api.http_exchange import exchange

CLOSED = []


class Pieces:
    def __aiter__(self):
        return self

    async def __anext__(self):
        return b"piece"

    async def aclose(self):
        CLOSED.append(True)


@aether.slice(artifact="test.unread:report:1.0.0")
class Report:
    @aether.get("/report")
    async def report(self) -> aether.Response:
        return aether.Response(b"head", stream=Pieces())


async def test_a_reader_that_leaves_at_the_head_closes_what_follows():
    spec = contract_of(Report).methods["report"]
    for taken in range(1, 4):
        CLOSED.clear()
        items = exchange(spec, Report().report, HttpInput("GET", "/report"), {}, {}, "1.0.0")
        for _ in range(taken):
            await anext(items)
        await items.aclose()
        assert CLOSED == [True]
