"""Concurrency and queue of one instance."""

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

    assert await slots.take() == FULL


async def test_waiting_calls_get_slots_in_the_order_of_their_arrival(autojump_clock):
    slots, order = Slots(1, 10), []
    slots.try_take()

    async def call(name):
        assert await slots.take() == ""
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

    assert answers == [DRAINING, DRAINING]
    assert slots.running == 1


@pytest.mark.parametrize("concurrency", [1, 3])
@given(holds=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=20))
def test_never_more_than_the_limit_run_and_every_slot_comes_back(concurrency, holds):
    """Whatever is cancelled, refused or served, no slot is lost: a lost one is a slow leak to a dead instance."""

    async def main():
        slots, most = Slots(concurrency, 3), [0]

        async def call(hold_s, patience_s):
            with trio.move_on_after(patience_s):
                if await slots.take() == "":
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
