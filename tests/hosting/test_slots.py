"""Concurrency and queue of one instance."""

from random import Random

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from aether.hosting.slots import Slots
from aether.invocation.reply import DRAINING, FULL


async def test_an_uncontended_slot_needs_no_turn_of_the_loop():
    """A co-located call must not cost a task switch."""
    slots = Slots(2, 0)

    assert slots.try_take()
    assert slots.try_take()
    assert not slots.try_take()
    slots.give_back()
    assert slots.try_take()


async def test_a_full_queue_refuses_at_once():
    slots = Slots(1, 0)
    slots.try_take()
    refused = await slots.take()

    assert (refused.reason, refused.limit) == (FULL, 1)


async def test_waiting_calls_get_slots_in_the_order_of_their_arrival(autojump_clock):
    slots, order = Slots(1, 10), []
    slots.try_take()

    async def call(name):
        assert await slots.take() is None
        order.append(name)
        slots.give_back()

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(call, name)
            await trio.testing.wait_all_tasks_blocked()
        slots.give_back()

    assert order == ["a", "b", "c"]
    assert slots.running == 0


async def test_a_cancelled_call_leaves_the_queue(autojump_clock):
    """A queue of the dead would refuse the living."""
    slots = Slots(1, 1)
    slots.try_take()
    with trio.move_on_after(1.0):
        await slots.take()

    assert slots.waiting == 0
    slots.give_back()
    assert slots.running == 0


async def test_draining_sends_every_waiting_call_away(autojump_clock):
    slots, answers = Slots(1, 5), []
    slots.try_take()

    async def call():
        answers.append(await slots.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        slots.refuse_waiting(DRAINING)

    assert [answer.reason for answer in answers] == [DRAINING, DRAINING]
    assert slots.running == 1


async def test_under_overload_most_calls_are_refused_at_once_and_the_others_are_quick(autojump_clock):
    """Three times what 16 slots of 20 ms can do, for ten virtual seconds, nobody waiting for anybody."""
    slots, took, refused = Slots(16, 256), [], [0]

    async def call():
        came = trio.current_time()
        with trio.move_on_after(1.0):
            if await slots.take("normal", "work") is not None:
                refused[0] += 1
                return
            began = trio.current_time()
            await trio.sleep(0.02)
            slots.give_back("work", trio.current_time() - began)
            took.append(trio.current_time() - came)

    rng = Random(1)
    async with trio.open_nursery() as nursery:
        while trio.current_time() < 10.0:
            nursery.start_soon(call)
            await trio.sleep(rng.expovariate(2_400))

    took.sort()
    assert len(took) >= 0.95 * 8_000
    assert took[int(len(took) * 0.99)] <= 2 * 0.02
    assert refused[0] > 14_000


async def test_a_waiting_call_that_is_pushed_out_by_an_urgent_one_is_told_to_come_again(autojump_clock):
    slots, answers = Slots(1, 1), {}
    slots.try_take()

    async def call(priority):
        answers[priority] = await slots.take(priority)

    async with trio.open_nursery() as nursery:
        for priority in ("low", "high"):
            nursery.start_soon(call, priority)
            await trio.testing.wait_all_tasks_blocked()
        assert answers["low"].reason == FULL
        assert answers["low"].retry_after_s > 0
        slots.give_back()

    assert answers["high"] is None


@pytest.mark.parametrize("concurrency", [1, 3])
@given(holds=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=20))
def test_never_more_than_the_limit_run_and_every_slot_comes_back(concurrency, holds):
    """Whatever is cancelled, refused or served, no slot is lost: a lost one is a slow leak to a dead instance."""

    async def main():
        slots, most = Slots(concurrency, 3), [0]

        async def call(hold_s, patience_s):
            with trio.move_on_after(patience_s):
                if await slots.take() is None:
                    try:
                        most[0] = max(most[0], slots.running)
                        await trio.sleep(hold_s)
                    finally:
                        slots.give_back()

        async with trio.open_nursery() as nursery:
            for hold in holds:
                nursery.start_soon(call, *hold)
        assert most[0] <= concurrency
        assert (slots.running, slots.waiting) == (0, 0)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
