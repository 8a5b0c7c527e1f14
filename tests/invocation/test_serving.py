"""Tasks that serve calls are kept for the next one; no call may notice."""

from contextvars import ContextVar

import pytest
import trio

from aether.invocation import serving_service

SEEN: ContextVar[str] = ContextVar("seen", default="nothing")


@pytest.fixture
def tasks():
    return []


async def test_what_a_method_sets_in_its_context_is_not_there_for_the_next_call(network_of, tasks, autojump_clock):
    """A tenant or a trace id that leaks from one caller's call into another's is a breach."""

    async def tell(method, payload):
        tasks.append(trio.lowlevel.current_task())
        before = SEEN.get()
        SEEN.set(payload)
        await trio.sleep(0.01)
        assert SEEN.get() == payload
        return before

    async with network_of("a", "b") as (network, a, b):
        network.host(b, tell)
        for payload in ("first", "second", "third"):
            assert (await a.call(payload=payload)).payload == "nothing"
        assert len(set(tasks)) == 1  # else this test looks at nothing


async def test_a_cancelled_call_leaves_a_task_that_serves_the_next(network_of, tasks, autojump_clock):
    """Cancellation belongs to the call, not to the task."""

    async def linger(method, payload):
        tasks.append(trio.lowlevel.current_task())
        await trio.sleep(payload)
        return "done"

    async with network_of("a", "b") as (network, a, b):
        instance = network.host(b, linger)
        with trio.move_on_after(0.5):
            await a.call(payload=10)
        await trio.sleep(1)
        assert instance.cancelled == 1
        assert (await a.call(payload=1)).payload == "done"
        assert len(set(tasks)) == 1


async def test_a_burst_leaves_a_bounded_number_of_idle_tasks(network_of, autojump_clock):
    """A burst of ten thousand calls must not keep ten thousand tasks for ever."""

    async def linger(method, payload):
        await trio.sleep(1)

    async with network_of("a", "b") as (network, a, b):
        network.host(b, linger)
        before = trio.lowlevel.current_statistics().tasks_living
        async with trio.open_nursery() as nursery:
            for _ in range(3 * serving_service.IDLE_TASKS_MAX):
                nursery.start_soon(a.call)
        await trio.sleep(1)
        # the network keeps a task for each direction
        assert trio.lowlevel.current_statistics().tasks_living <= before + serving_service.IDLE_TASKS_MAX + 2
