"""What `aether.stream` opens, and what is said of everything else."""

import warnings
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

import aether
from aether.slice_api.contract import contract_of
from aether.slice_api.proxy import make_proxy
from aether.slice_api.streams import Unopened


class Ticker(Protocol):
    def ticks(self, name: str) -> AsyncIterator[int]: ...
    async def last(self, name: str) -> int: ...


@pytest.fixture
def ticker():
    async def carry_out(*_):
        return 1

    return make_proxy(contract_of(Ticker), carry_out, lambda spec, arguments: Unopened(spec.where, lambda ahead: None))


async def test_a_stream_of_a_slice_that_is_not_opened_says_how_it_is(ticker):
    unopened = ticker.ticks("tea")
    how = r"async with aether\.stream\(\.\.\.\.ticks"
    with pytest.raises(TypeError, match=how):
        await unopened
    with pytest.raises(TypeError, match=how):
        async with unopened:
            pass
    with pytest.raises(TypeError, match=how):
        async for _ in unopened:
            pass


def test_a_call_is_no_stream(ticker):
    with warnings.catch_warnings(record=True) as seen:
        with pytest.raises(TypeError, match="that is a call and no stream: await it"):
            aether.stream(ticker.last("tea"))
    assert seen == []


@pytest.mark.parametrize(
    ("source", "fix"),
    [(lambda ticker: ticker.ticks, r"did you forget `\(\)`"), (lambda _: [1, 2], "annotated AsyncIterator")],
)
def test_what_is_no_stream_is_shown_with_what_to_do(ticker, source, fix):
    with pytest.raises(TypeError, match=fix):
        aether.stream(source(ticker))
