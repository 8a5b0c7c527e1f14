"""Streams obey the same rules however their ends are connected: plain object, one node, by the codec, two nodes."""

import contextlib
from collections.abc import AsyncIterator

import attrs
import pytest
import trio
import trio.testing

import aether
from aether.model.limits import STREAM_AHEAD_ITEMS


class Empty(aether.Fault):
    status = 404
    sku: str


@attrs.frozen
class Tick:
    number: int
    labels: list[str]


@aether.slice(artifact="shop:ticker:1.0.0")
class Ticker:
    """`seen` tells the test what the generators did."""

    seen: list[object] = aether.state(factory=list[object])

    async def ticks(self, count: int, every_s: float = 0.0) -> AsyncIterator[int]:
        try:
            for number in range(count):
                if every_s:
                    await trio.sleep(every_s)
                self.seen.append(number)
                yield number
        except BaseException as error:
            self.seen.append(type(error).__name__)
            raise
        finally:
            self.seen.append("end")

    async def failing(self, after: int, how: str) -> AsyncIterator[int]:
        for number in range(after):
            yield number
        if how == "fault":
            raise Empty(sku="a")
        if how == "late":
            raise trio.TooSlowError
        if how == "group":
            async with trio.open_nursery():
                raise Empty(sku="g")
        raise ValueError(how)

    async def objects(self) -> AsyncIterator[Tick]:
        tick = Tick(1, ["a"])
        yield tick
        tick.labels.append("b")
        yield tick

    async def wrong(self) -> AsyncIterator[int]:
        yield 1
        yield "2"  # type: ignore[misc] - what the test is about

    async def nested(self) -> AsyncIterator[int]:
        """A generator with a nursery and a scope around its yields."""
        with trio.move_on_after(1_000):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                try:
                    for number in range(1_000_000):
                        yield number
                finally:
                    self.seen.append("nested end")

    async def total(self, numbers: AsyncIterator[int], start: int = 0) -> int:
        async for number in numbers:
            start += number
        return start

    async def first_of(self, numbers: AsyncIterator[int]) -> int:
        async with aether.stream(numbers) as items:
            async for number in items:
                return number
        return -1

    async def echo(self, numbers: AsyncIterator[int], times: int) -> AsyncIterator[int]:
        async for number in numbers:
            yield number * times

    async def seen_by(self) -> list[str]:
        return [str(one) for one in self.seen]


@aether.slice(artifact="shop:board:1.0.0")
class Board:
    """The middle: it hands streams on."""

    ticker: Ticker

    def watch(self, count: int) -> AsyncIterator[int]:
        return self.ticker.ticks(count)

    def refused(self, after: int, how: str) -> AsyncIterator[int]:
        return self.ticker.failing(after, how)

    def own(self, count: int) -> AsyncIterator[int]:
        return numbers(count)

    async def sum_of(self, count: int) -> int:
        return await self.ticker.total(self.ticker.ticks(count), start=1)

    async def sum_refused(self) -> int:
        return await self.ticker.total(self.ticker.failing(3, "fault"))

    async def first(self) -> int:
        return await self.ticker.first_of(self.ticker.ticks(1_000_000))


WAYS = ("plain", "here", "wire", "remote")


@pytest.fixture(params=WAYS)
def ticker_by(request, home_of):
    """`async with ticker_by() as ticker`: a Ticker, or a proxy of one."""

    @contextlib.asynccontextmanager
    async def opened():
        if request.param == "plain":
            yield Ticker()
            return
        async with home_of(wire=request.param == "wire") as home:
            await home.deploy(Ticker)
            yield home.get(Ticker, remote=request.param == "remote")

    opened.way = request.param
    return opened


async def seen(ticker):
    return await ticker.seen_by()


@pytest.fixture(params=WAYS)
def board_by(request, home_of):
    """`async with board_by() as (board, ticker, running)`: `running()` counts what the board's instance does now."""

    @contextlib.asynccontextmanager
    async def opened():
        if request.param == "plain":
            ticker = Ticker()
            yield Board(ticker=ticker), ticker, lambda: 0
            return
        async with home_of(wire=request.param == "wire") as home:
            await home.deploy(Ticker)
            name = await home.deploy(Board)
            remote = request.param == "remote"
            board, ticker = home.get(Board, remote=remote), home.get(Ticker, remote=remote)
            yield board, ticker, lambda: home.hosting.find(name).running

    opened.way = request.param
    return opened


async def read(source, items):
    """Append every item to `items`."""
    async with aether.stream(source) as stream:
        async for item in stream:
            items.append(item)


class Refusing(list):
    def append(self, item):
        raise KeyError(item)


async def settle():
    """Virtual time for messages to arrive."""
    await trio.sleep(0.01)
    await trio.testing.wait_all_tasks_blocked()


async def test_items_arrive_in_order_and_the_iteration_ends(autojump_clock, ticker_by):
    async with ticker_by() as ticker, aether.stream(ticker.ticks(5_000)) as ticks:
        assert [tick async for tick in ticks] == list(range(5_000))
        assert [tick async for tick in ticks] == []


async def test_items_are_values_of_the_declared_type_that_share_nothing(autojump_clock, ticker_by):
    async with ticker_by() as ticker, aether.stream(ticker.objects(), ahead=1) as ticks:
        first = await anext(ticks)
        first.labels.append("mine")
        second = await anext(ticks)
        assert type(second) is Tick
        if ticker_by.way != "plain":
            assert (first.labels, second.labels) == (["a", "mine"], ["a", "b"])


@pytest.mark.parametrize(
    ("how", "error"), [("fault", Empty), ("group", Empty), ("late", trio.TooSlowError), ("odd", aether.CallFailed)]
)
async def test_an_error_of_the_generator_arrives_typed_after_the_items_before_it(autojump_clock, ticker_by, how, error):
    items = []
    async with ticker_by() as ticker:
        if ticker_by.way == "plain" and how == "odd":
            error = ValueError
        with pytest.raises(error) as raised:
            await read(ticker.failing(3, how), items)
    assert items == [0, 1, 2]
    if error is aether.CallFailed:
        assert (raised.value.kind, raised.value.method) == ("ValueError", "failing")


async def test_leaving_the_block_cancels_the_generator_promptly(autojump_clock, ticker_by):
    async with ticker_by() as ticker:
        async with aether.stream(ticker.ticks(1_000_000, every_s=1.0)) as ticks:
            assert await anext(ticks) == 0
        await settle()
        assert (await seen(ticker))[-2:] == ["Cancelled", "end"]


async def test_a_generator_that_waits_for_its_reader_is_cancelled_at_its_yield(autojump_clock, ticker_by):
    async with ticker_by() as ticker:
        async with aether.stream(ticker.ticks(1_000_000)) as ticks:
            assert await anext(ticks) == 0
            await settle()
            far_ahead = len(await seen(ticker))
        await settle()
        assert (await seen(ticker))[-2:] == ["Cancelled", "end"]
        assert far_ahead <= STREAM_AHEAD_ITEMS + 2


async def test_scopes_and_nurseries_around_a_yield_are_left_in_order(autojump_clock, ticker_by):
    async with ticker_by() as ticker:
        async with aether.stream(ticker.nested()) as ticks:
            assert [await anext(ticks), await anext(ticks)] == [0, 1]
        await settle()
        assert await seen(ticker) == ["nested end"]


async def test_the_reader_says_how_far_the_generator_may_be_ahead(autojump_clock, ticker_by):
    async with ticker_by() as ticker, aether.stream(ticker.ticks(100), ahead=3) as ticks:
        await settle()
        assert len(await seen(ticker)) <= 4
        assert await anext(ticks) == 0
        await settle()
        assert 2 <= len(await seen(ticker)) <= 5


async def test_iterating_without_opening_raises_and_names_the_fix(autojump_clock, ticker_by):
    async with ticker_by() as ticker:
        if ticker_by.way != "plain":
            with pytest.raises(TypeError, match=r"Ticker\.ticks.*async with aether\.stream\("):
                aiter(ticker.ticks(1))
            with pytest.raises(TypeError, match=r"aether\.stream"):
                await anext(ticker.ticks(1))


async def test_a_stream_is_closed_with_its_block(autojump_clock, ticker_by):
    async with ticker_by() as ticker:
        async with aether.stream(ticker.ticks(3)) as ticks:
            pass
        with pytest.raises(trio.ClosedResourceError, match="inside"):
            await anext(ticks)


async def test_an_error_of_the_block_leaves_it_unwrapped_and_ends_the_generator(autojump_clock, ticker_by):
    async with ticker_by() as ticker:
        with pytest.raises(KeyError):
            await read(ticker.ticks(1_000, every_s=1.0), Refusing())
        await settle()
        assert (await seen(ticker))[-1] == "end"


async def test_the_callers_deadline_ends_the_stream_at_both_ends(autojump_clock, ticker_by):
    got = []
    async with ticker_by() as ticker:
        with trio.move_on_after(3.5) as scope:
            await read(ticker.ticks(1_000, every_s=1.0), got)
        assert scope.cancelled_caught
        await settle()
        assert (got, (await seen(ticker))[-2:]) == ([0, 1, 2], ["Cancelled", "end"])


async def test_a_stream_may_last_longer_than_the_default_deadline(autojump_clock, ticker_by):
    async with ticker_by() as ticker, aether.stream(ticker.ticks(5, every_s=20.0)) as ticks:
        assert [tick async for tick in ticks] == [0, 1, 2, 3, 4]


async def test_a_wrong_item_is_the_generators_mistake(autojump_clock, ticker_by):
    async with ticker_by() as ticker:
        if ticker_by.way == "plain":
            return
        with pytest.raises(aether.CallFailed, match="must return int"):
            await read(ticker.wrong(), [])


async def test_wrong_arguments_are_refused_before_anything_is_opened(autojump_clock, ticker_by):
    async with ticker_by() as ticker:
        with pytest.raises(TypeError):
            ticker.ticks(1, 2, 3)
        if ticker_by.way != "plain":
            with pytest.raises(aether.BadInput, match="count"):
                ticker.ticks("many")


# --- streams that the caller sends ------------------------------------------------------------------------------------


async def numbers(count, after=None, ended=None):
    try:
        for number in range(count):
            yield number
        if after is not None:
            raise after
    finally:
        if ended is not None:
            ended.append("end")


async def test_a_method_reads_the_stream_of_its_caller(autojump_clock, ticker_by):
    async with ticker_by() as ticker:
        assert await ticker.total(numbers(3_000), start=1) == sum(range(3_000)) + 1
        assert await ticker.total(numbers(0)) == 0


async def test_a_method_that_reads_no_further_ends_the_callers_generator(autojump_clock, ticker_by):
    ended = []
    async with ticker_by() as ticker:
        assert await ticker.first_of(numbers(1_000_000, ended=ended)) == 0
        await settle()
        assert ended == ["end"]


async def test_an_error_of_the_callers_generator_is_the_callers(autojump_clock, ticker_by):
    async with ticker_by() as ticker:
        with pytest.raises(KeyError, match="mine"):
            await ticker.total(numbers(10, after=KeyError("mine")))


async def test_streams_in_both_directions(autojump_clock, ticker_by):
    async with ticker_by() as ticker, aether.stream(ticker.echo(numbers(3_000), 2)) as doubled:
        assert [number async for number in doubled] == [2 * number for number in range(3_000)]


async def test_items_of_a_caller_are_checked(autojump_clock, ticker_by):
    async def wrong():
        yield 1
        yield "2"

    async with ticker_by() as ticker:
        if ticker_by.way != "plain":
            with pytest.raises(aether.BadInput, match=r"numbers\[\]: expected"):
                await ticker.total(wrong())


# --- streams handed on ------------------------------------------------------------------------------------------------


async def test_a_stream_that_is_handed_on_is_read_from_its_source_and_the_middle_is_done(autojump_clock, board_by):
    async with board_by() as (board, ticker, running):
        async with aether.stream(board.watch(3_000)) as ticks:
            assert await anext(ticks) == 0
            await settle()
            assert running() == 0
            assert [tick async for tick in ticks] == list(range(1, 3_000))
        async with aether.stream(board.watch(1_000_000)) as ticks:
            await anext(ticks)
        await settle()
        assert (await seen(ticker))[-2:] == ["Cancelled", "end"]


async def test_a_method_may_return_any_iterator(autojump_clock, board_by):
    async with board_by() as (board, _, _), aether.stream(board.own(200)) as items:
        assert [item async for item in items] == list(range(200))


async def test_errors_of_a_stream_that_was_handed_on_are_typed(autojump_clock, board_by):
    items = []
    async with board_by() as (board, _, _):
        with pytest.raises(Empty):
            await read(board.refused(3, "fault"), items)
    assert items == [0, 1, 2]


async def test_a_stream_passed_as_an_argument_is_read_by_the_callee_itself(autojump_clock, board_by):
    async with board_by() as (board, ticker, _):
        assert await board.sum_of(3_000) == sum(range(3_000)) + 1
        assert await board.first() == 0
        await settle()
        assert (await seen(ticker))[-2:] == ["Cancelled", "end"]


async def test_a_fault_of_a_stream_that_was_passed_on_is_one_in_the_method_that_reads_it(autojump_clock, board_by):
    async with board_by() as (board, _, _):
        with pytest.raises(Empty):
            await board.sum_refused()


# --- an instance that stops -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remote", [False, True])
async def test_a_drain_lets_streams_end_in_its_time_and_cuts_off_the_rest(autojump_clock, home_of, remote):
    async with home_of(drain_s=5.0) as home:
        name = await home.deploy(Ticker)
        ticker = home.get(Ticker, remote=remote)
        short, long = [], []
        async with trio.open_nursery() as nursery:

            async def read_broken():
                with pytest.raises(aether.StreamBroken, match="stopped before"):
                    await read(ticker.ticks(100, every_s=1.0), long)

            nursery.start_soon(read, ticker.ticks(4, every_s=1.0), short)
            nursery.start_soon(read_broken)
            await settle()
            await home.stop(Ticker, name)
        assert (short, long) == ([0, 1, 2, 3], [0, 1, 2, 3, 4])


async def test_a_stopping_instance_opens_no_stream(autojump_clock, home_of):
    async with home_of(drain_s=1.0) as home:
        name = await home.deploy(Ticker)
        await home.stop(Ticker, name)
        with pytest.raises(aether.NoInstance):
            await read(home.get(Ticker).ticks(1), [])


async def test_streams_take_no_slot_but_methods_that_read_one_do(autojump_clock, home_of):
    @aether.slice(artifact="shop:narrow:1.0.0", concurrency=1, queue=0)
    class Narrow:
        async def ticks(self) -> AsyncIterator[int]:
            yield 1
            await trio.sleep_forever()

        async def total(self, numbers: AsyncIterator[int]) -> int:
            return sum([number async for number in numbers])

        async def one(self) -> int:
            return 1

    async def slow():
        await trio.sleep(5.0)
        yield 7

    async with home_of() as home:
        await home.deploy(Narrow)
        narrow = home.get(Narrow)
        async with aether.stream(narrow.ticks()) as first, aether.stream(narrow.ticks()) as second:
            assert (await anext(first), await anext(second), await narrow.one()) == (1, 1, 1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(narrow.total, slow())
                await settle()
                with pytest.raises(aether.Overloaded):
                    await narrow.one()
