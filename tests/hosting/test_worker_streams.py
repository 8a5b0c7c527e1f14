"""Streams into worker processes and out of them: the rules are those of streams between nodes."""

import contextlib
import os
import signal

import pytest
import trio
from worker_slices import OutOfStock, Reader, Ticker

import aether
from aether.errors import NoInstance, StreamBroken

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

SOON_S = 20.0


@pytest.fixture(params=["node", "process", "far process", "tree"])
def ticker_of(request, home_of):
    """A Ticker in its node, in a worker process, in one of another node, and from a tree that is not imported."""

    @contextlib.asynccontextmanager
    async def opened():
        with trio.fail_after(60.0):
            async with home_of() as home:
                host = request.param.removeprefix("far ")
                instance = await home.deploy(Ticker, host=host)
                yield home, home.get(Ticker, remote=request.param.startswith("far")), instance

    return opened


async def left(ticker):
    return await ticker.who_left()


async def until_left(ticker, name):
    with trio.fail_after(SOON_S):
        while name not in await ticker.who_left():
            await trio.sleep(0.01)


async def test_items_arrive_in_order_and_end(ticker_of):
    async with ticker_of() as (_, ticker, _instance):
        async with aether.stream(ticker.ticks(5_000)) as ticks:
            assert [n async for n in ticks] == list(range(5_000))
        await until_left(ticker, "ticks")


async def test_a_reader_that_leaves_ends_the_generator(ticker_of):
    async with ticker_of() as (_, ticker, _instance):
        async with aether.stream(ticker.endless()) as stream:
            for _ in range(10):
                assert len(await anext(stream)) == 10_000
        await until_left(ticker, "endless")


async def test_a_slow_reader_holds_the_generator_up(ticker_of):
    """What waits between the two is bounded by the windows, not by how fast a generator is."""
    async with ticker_of() as (home, ticker, instance):
        async with aether.stream(ticker.endless()) as stream:
            await anext(stream)
            await trio.sleep(0.2)
            link = getattr(home.hosting.find(instance), "_link", None)
            assert link is None or link.queued_bytes < 2**20
            assert len(await anext(stream)) == 10_000


async def test_the_fault_of_a_generator_comes_after_its_items(ticker_of):
    async with ticker_of() as (_, ticker, _instance):
        got = []

        async def read():
            async with aether.stream(ticker.failing(3)) as stream:
                async for n in stream:
                    got.append(n)

        with pytest.raises(OutOfStock, match="after 3"):
            await read()
        assert got == [0, 1, 2]


async def numbers(count):
    for n in range(count):
        yield n


async def test_a_method_reads_the_stream_of_its_caller(ticker_of):
    async with ticker_of() as (_, ticker, _instance):
        assert await ticker.total(numbers(1_000)) == sum(range(1_000))


async def test_both_directions_at_once(ticker_of):
    async with ticker_of() as (_, ticker, _instance):
        async with aether.stream(ticker.doubled(numbers(500))) as stream:
            assert [n async for n in stream] == [2 * n for n in range(500)]


async def test_the_deadline_of_the_caller_ends_a_stream(ticker_of):
    async with ticker_of() as (_, ticker, _instance):
        with trio.move_on_after(0.3) as scope:
            async with aether.stream(ticker.endless()) as stream:
                async for _ in stream:
                    await trio.sleep(0.01)
        assert scope.cancelled_caught
        await until_left(ticker, "endless")


async def test_a_stream_of_a_killed_worker_is_broken_and_says_so(home_of):
    with trio.fail_after(60.0):
        async with home_of() as home:
            instance = await home.deploy(Ticker, host="process")

            async def read():
                async with aether.stream(home.get(Ticker).endless()) as stream:
                    await anext(stream)
                    os.kill(home.hosting.find(instance).pid, signal.SIGKILL)
                    async for _ in stream:
                        pass

            with pytest.raises(StreamBroken):
                await read()


# --- out of a worker --------------------------------------------------------------------------------------------------


@pytest.fixture
def reader_of(home_of):
    """A Reader in a worker process, of a Ticker in the node."""

    @contextlib.asynccontextmanager
    async def opened():
        with trio.fail_after(60.0):
            async with home_of() as home:
                await home.deploy(Ticker)
                await home.deploy(Reader, host="process")
                yield home, home.get(Reader), home.get(Ticker)

    return opened


async def test_a_worker_reads_streams_of_its_dependencies(reader_of):
    async with reader_of() as (_, reader, ticker):
        assert await reader.sum_of(2_000) == sum(range(2_000))
        assert await reader.first_of_endless() == 10_000
        await until_left(ticker, "endless")
        assert await reader.failing() == "after 2"


async def test_a_worker_feeds_streams_to_its_dependencies(reader_of):
    async with reader_of() as (_, reader, _ticker):
        assert await reader.fed(1_000) == sum(range(1_000))


async def test_a_stream_that_a_worker_hands_on_reaches_its_reader(reader_of):
    async with reader_of() as (_, reader, ticker):
        async with aether.stream(reader.handed(300)) as stream:
            assert [n async for n in stream] == list(range(300))
        await until_left(ticker, "ticks")


async def test_a_stream_that_is_handed_to_a_worker_is_read_there(home_of):
    with trio.fail_after(60.0):
        async with home_of() as home:
            await home.deploy(Ticker, host="process")
            ticker = home.get(Ticker)
            assert await ticker.total(ticker.ticks(300)) == sum(range(300))


async def test_a_stream_that_cannot_be_opened_raises_in_the_worker_what_it_raises_in_the_node(home_of):
    with trio.fail_after(60.0):
        async with home_of() as home:
            ticker = await home.deploy(Ticker)
            await home.deploy(Reader, host="process")
            await home.stop(Ticker, ticker)
            with pytest.raises(aether.OutcomeUnknown, match=NoInstance.__name__):
                await home.get(Reader).brief()
