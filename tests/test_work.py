"""The seam to threads: what is handed to it ends, and says how."""

import threading

import outcome
import pytest
import trio

from aether.work import BareThreadWork, ThreadWork

KINDS = [BareThreadWork, ThreadWork]


@pytest.fixture(params=KINDS)
def work(request):
    return request.param(2)


async def test_the_result_comes_from_another_thread(work):
    """On the loop's own thread it would block every other task."""
    own = threading.get_ident()
    assert await work.run(lambda a, b: (a + b, threading.get_ident() == own), 1, 2) == (3, False)


async def test_an_error_reaches_the_caller_as_itself(work):
    """StorageFailed must not arrive as something else, or not at all."""

    def fail():
        raise ZeroDivisionError("as it was")

    with pytest.raises(ZeroDivisionError, match="as it was"):
        await work.run(fail)


async def test_cancellation_waits_for_the_function_to_end(work):
    """A write that goes on behind the back of its owner would meet the next one in the file."""
    begun, go_on = threading.Event(), threading.Event()
    ended = []

    def write():
        begun.set()
        go_on.wait(10)
        ended.append("write")

    async def cancel(scope):
        await trio.to_thread.run_sync(begun.wait, 10)
        scope.cancel()
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        assert ended == []
        go_on.set()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel, scope)
            await work.run(write)
            assert ended == ["write"]
            await trio.lowlevel.checkpoint()
            raise AssertionError("the cancellation was lost")


async def test_nothing_begins_for_a_caller_that_is_cancelled_already(work):
    """Shutting down must not start new writes."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await work.run(lambda: pytest.fail("it ran"))
    assert scope.cancelled_caught


async def test_no_more_threads_run_than_allowed(work):
    """Everything that waits has a bound, threads too."""
    lock, running, most = threading.Lock(), [0], [0]
    gate = threading.Barrier(2)

    def count():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        gate.wait(10)
        with lock:
            running[0] -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(work.run, count)
    assert most == [2]


async def test_an_outcome_comes_back_to_the_loop_without_a_task():
    """The write path begins its writes within a turn, and takes a turn when they end."""
    work, own, ends = BareThreadWork(1), threading.get_ident(), []
    done = trio.Event()

    def take(result):
        ends.append((threading.get_ident() == own, result))
        if len(ends) == 2:
            done.set()

    work.run_then(lambda: threading.get_ident() != own, take)
    work.run_then(lambda: 1 // 0, take)
    await done.wait()
    assert all(on_loop for on_loop, _ in ends)
    values = [result.value for _, result in ends if isinstance(result, outcome.Value)]
    errors = [result.error for _, result in ends if isinstance(result, outcome.Error)]
    assert values == [True]
    assert [type(error) for error in errors] == [ZeroDivisionError]
