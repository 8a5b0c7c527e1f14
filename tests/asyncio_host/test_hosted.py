"""A cluster inside an asyncio loop: values, errors and cancellation cross, and nothing is left behind."""

import asyncio
import contextvars
import gc
import threading
from collections.abc import AsyncIterator

import pytest
import trio

import aether
from aether.asyncio_host import CallTooSlow, open_cluster

LOUD = contextvars.ContextVar("loud", default="")


class Empty(aether.Fault):
    """Nothing is there."""

    status = 409
    name: str


@aether.slice(artifact="tests.hosted:worker:1.0.0")
class Worker:
    log: list[str] = aether.state(factory=list[str])

    async def add(self, a: int, b: int = 10) -> int:
        return a + b

    async def refuse(self, name: str) -> None:
        raise Empty(name=name)

    async def fail(self) -> None:
        raise ZeroDivisionError("by nobody")

    @aether.method(deadline_s=0.05)
    async def too_long(self) -> None:
        await trio.sleep_forever()

    async def work(self, name: str) -> None:
        self.log.append(f"{name} began")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.02)
            self.log.append(f"{name} ended")

    async def side_by_side(self) -> None:
        async with trio.open_nursery() as nursery:
            for name in "ab":
                nursery.start_soon(self.work, name)

    async def count(self, upto: int, fault: bool = False) -> AsyncIterator[int]:
        self.log.append("counting")
        try:
            for n in range(upto):
                if n == 5:
                    await trio.sleep(0.05)
                yield n
            if fault:
                raise Empty(name="end")
        finally:
            self.log.append("counted")

    async def total(self, numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    async def so_far(self) -> list[str]:
        return self.log

    @aether.lifespan
    async def lifespan(self):
        yield
        LOG.append("stopped")


LOG: list[str] = []


def run(body, *slices, **options):
    """`await body(hosted)` in an asyncio loop of its own, in debug mode; nothing may be left in it."""

    async def main():
        LOG.clear()
        async with asyncio.timeout(30):
            async with open_cluster(*(slices or (Worker,)), **options) as hosted:
                value = await body(hosted)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return value

    value = asyncio.run(main(), debug=True)
    gc.collect()  # a future that nobody read would warn here
    return value


def test_values_and_defaults_cross():
    async def body(hosted):
        worker = hosted.get(Worker)
        return await worker.add(1), await worker.add(1, b=2), await aether.call(worker.add, priority="high")(2, 3)

    assert run(body) == (11, 3, 5)
    assert LOG == ["stopped"]


def test_errors_are_those_of_a_call():
    async def body(hosted):
        worker = hosted.get(Worker)
        with pytest.raises(Empty) as empty:
            await worker.refuse("tea")
        with pytest.raises(aether.CallFailed) as failed:
            await worker.fail()
        with pytest.raises(TypeError):
            await worker.add()
        with pytest.raises(aether.BadInput, match="a: expected"):
            await worker.add("1")
        with pytest.raises(aether.NotInContract, match="did you mean 'add'"):
            worker.ad(1)
        return empty.value.name, failed.value.kind

    assert run(body) == ("tea", "ZeroDivisionError")


def test_a_call_that_is_too_slow_is_a_timeout_for_both_worlds():
    async def body(hosted):
        with pytest.raises(TimeoutError) as caught:
            await hosted.get(Worker).too_long()
        return caught.value

    slow = run(body)
    assert isinstance(slow, CallTooSlow)
    assert isinstance(slow, trio.TooSlowError)
    assert "Worker.too_long 0." in str(slow)
    assert "where the time went" in slow.__notes__[0]


@pytest.mark.parametrize("calls", ["direct", "wire"])
@pytest.mark.parametrize("method", ["work", "side_by_side"])
def test_a_time_out_here_cancels_the_call_there_and_waits_for_its_end(calls, method):
    async def body(hosted):
        worker = hosted.get(Worker)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await (worker.work("a") if method == "work" else worker.side_by_side())
        assert type(caught.value) is TimeoutError
        return await worker.so_far()

    expected = ["a began", "a ended"] if method == "work" else ["a began", "a ended", "b began", "b ended"]
    assert sorted(run(body, calls=calls)) == expected


def test_cancelling_a_task_cancels_its_call_alone():
    async def body(hosted):
        worker = hosted.get(Worker)
        tasks = [asyncio.create_task(worker.work(name)) for name in "ab"]
        while len(await worker.so_far()) < 2:
            await asyncio.sleep(0)
        tasks[0].cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        log = await worker.so_far()
        assert log[2:] == ["a ended"]
        assert not tasks[1].done()
        tasks[1].cancel()
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]

    run(body)


def test_a_task_group_that_fails_takes_its_calls_along():
    async def body(hosted):
        worker = hosted.get(Worker)
        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
            async with asyncio.TaskGroup() as group:
                group.create_task(worker.work("a"))
                group.create_task(worker.refuse("tea"))
        assert caught.group_contains(Empty)
        return await worker.so_far()

    assert run(body) in (["a began", "a ended"], [])


@pytest.mark.parametrize("calls", ["direct", "wire"])
def test_a_stream_is_read_by_asyncio_and_ends_with_its_block(calls):
    async def body(hosted):
        worker = hosted.get(Worker)
        async with aether.stream(worker.count(4)) as numbers:
            assert [n async for n in numbers] == [0, 1, 2, 3]
        async with aether.stream(worker.count(10**9)) as numbers:
            assert [await anext(numbers) for _ in range(3)] == [0, 1, 2]
        while await worker.so_far() != ["counting", "counted"] * 2:
            await asyncio.sleep(0)  # a callee behind the wire is told, and not waited for
        with pytest.raises(Empty):  # noqa: PT012
            async with aether.stream(worker.count(2, fault=True)) as numbers:
                assert [await anext(numbers), await anext(numbers)] == [0, 1]
                await anext(numbers)

    run(body, calls=calls)


def test_a_time_out_around_one_item_loses_none():
    async def body(hosted):
        found = []
        async with aether.stream(hosted.get(Worker).count(8)) as numbers:
            while True:
                try:
                    async with asyncio.timeout(0.01):
                        found.append(await anext(numbers))
                except TimeoutError:
                    found.append("late")
                except StopAsyncIteration:
                    return found

    found = run(body)
    assert [n for n in found if n != "late"] == list(range(8))
    assert "late" in found


def test_a_stream_to_the_callee_cannot_be_fed_from_asyncio_and_says_so():
    async def numbers():
        yield 1

    async def body(hosted):
        with pytest.raises(aether.NotInContract, match="cannot feed"):
            await hosted.get(Worker).total(numbers())

    run(body)


def test_a_reader_of_a_stream_hears_that_the_cluster_was_closed():
    async def main():
        read = asyncio.Event()

        async def reader(hosted):
            async with aether.stream(hosted.get(Worker).count(6)) as numbers:
                for _ in range(5):
                    await anext(numbers)
                read.set()
                while True:
                    await anext(numbers)

        with pytest.raises(KeyError, match="mine"):  # noqa: PT012
            async with open_cluster(Worker) as hosted:
                task = asyncio.create_task(reader(hosted))
                await read.wait()
                await asyncio.sleep(0)
                raise KeyError("mine")
        with pytest.raises((aether.OutcomeUnknown, StopAsyncIteration, RuntimeError)):
            await task

    asyncio.run(main())


def test_a_result_and_a_cancellation_at_the_same_time_do_not_hang():
    async def body(hosted):
        for _ in range(50):
            task = asyncio.create_task(hosted.get(Worker).add(1))
            while not task.done():
                await asyncio.sleep(0)
                task.cancel()
            assert task.cancelled()

    run(body)


def test_many_tasks_call_at_once():
    async def body(hosted):
        worker = hosted.get(Worker)
        return await asyncio.gather(*(worker.add(n, n) for n in range(300)))

    assert run(body) == [2 * n for n in range(300)]


def test_any_trio_function_can_be_awaited_with_the_context_of_the_task():
    async def shout(word, *, times):
        await trio.lowlevel.checkpoint()
        return f"{LOUD.get()}{word}" * times, threading.current_thread()

    async def body(hosted):
        LOUD.set("!")
        assert await hosted.run(hosted.cluster.scale, Worker, 2) > 0
        return await hosted.run(shout, "hey", times=2)

    said, thread = run(body)
    assert said == "!hey!hey"
    assert thread is threading.current_thread()


def test_http_is_served_beside_the_application():
    async def body(hosted):
        reader, writer = await asyncio.open_connection(*hosted.addresses.http_address.split(":"))
        writer.write(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert hosted.http_url == f"http://{hosted.addresses.http_address}"
        return answer

    assert run(body, http=0).startswith(b"HTTP/1.1 404 ")


# --- ends -------------------------------------------------------------------------------------------------------------


def test_calls_under_way_end_before_the_cluster_does():
    async def body(hosted):
        began, event = asyncio.Event(), trio.Event()

        async def wait():
            began.set()
            await event.wait()
            return "done"

        task = asyncio.create_task(hosted.run(wait))
        await began.wait()
        asyncio.get_running_loop().call_later(0.05, event.set)
        return task

    async def main():
        async with open_cluster(Worker) as hosted:
            task = await body(hosted)
        return await task

    assert asyncio.run(main()) == "done"


def test_an_error_of_the_block_leaves_it_unwrapped_and_ends_calls_as_unknown():
    seen = []

    async def call(hosted):
        try:
            await hosted.get(Worker).work("a")
        except aether.OutcomeUnknown as error:
            seen.append(str(error))

    async def main():
        async with open_cluster(Worker) as hosted:
            task = asyncio.create_task(call(hosted))
            while not await hosted.get(Worker).so_far():
                await asyncio.sleep(0)
            raise KeyError("mine")
        return task

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(main())
    assert "was closed while the call ran" in seen[0]


def test_a_closed_cluster_takes_no_calls():
    async def body(hosted):
        return hosted.get(Worker)

    async def late():
        async with open_cluster(Worker) as hosted:
            worker = hosted.get(Worker)
        with pytest.raises(aether.Draining):
            await worker.add(1)

    asyncio.run(late())


@pytest.mark.parametrize("at_s", [0.0, 0.001, 0.05])
def test_cancelled_while_it_opens_or_runs_it_ends_before_its_task_does(at_s):
    async def main():
        async def host():
            async with open_cluster(Worker):
                await asyncio.sleep(30)

        task = asyncio.create_task(host())
        await asyncio.sleep(at_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with open_cluster(Worker) as hosted:  # the thread is free for another guest
            return await hosted.get(Worker).add(1)

    assert asyncio.run(main()) == 11


def test_what_opening_refuses_is_raised_by_the_block():
    @aether.slice(artifact="tests.hosted:broken:1.0.0")
    class Broken:
        token: str = aether.config("nobody.sets.this")

    async def main():
        async with open_cluster(Broken):
            pass

    with pytest.raises(aether.NoInstance, match=r"nobody\.sets\.this"):
        asyncio.run(main())
    with pytest.raises(aether.BadInput, match="calls="):
        run(None, calls="loud")


def test_a_second_cluster_in_one_loop_is_refused_and_the_first_lives():
    async def body(hosted):
        with pytest.raises(aether.BadInput, match="one hosted cluster per event loop"):
            async with open_cluster(Worker):
                pass
        return await hosted.get(Worker).add(1)

    assert run(body) == 11


def test_a_node_that_fails_cancels_the_block_and_leaves_it():
    """A block that went on would serve an application whose every call fails."""
    failure = aether.StateDiverged("node-1", 7)

    async def main():
        async with open_cluster(Worker) as hosted:
            node = hosted.cluster._node
            node._failure = failure
            node._failed.set()
            await asyncio.sleep(30)

    async def outer():
        with pytest.raises(ExceptionGroup) as caught:
            await main()
        assert asyncio.current_task().cancelling() == 0
        await asyncio.sleep(0)  # no cancellation is left behind
        return caught

    caught = asyncio.run(outer())
    assert caught.group_contains(aether.StateDiverged)
