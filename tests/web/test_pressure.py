"""How many requests begin while the loop is late."""

import math

import pytest
import trio
import trio.lowlevel
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from aether.web.pressure import CALM_TICKS, LAG_CLOSE_S, LAG_HIGH_S, LAG_LOW_S, TICK_S, WATCH_S, Pressure, own_lag_s
from aether.web.pressure_service import WAIT_S, PressureGate, relieve


def closed():
    pressure = Pressure()
    pressure.observe(LAG_CLOSE_S + 0.001, 0)
    return pressure


def test_a_loop_in_time_leaves_the_gate_open():
    pressure = Pressure()
    pressure.observe(LAG_CLOSE_S, 100)

    assert not pressure.closed
    assert pressure.look_s == WATCH_S


def test_a_late_loop_closes_it_and_is_looked_at_more_often():
    assert closed().closed
    assert closed().look_s == TICK_S


def test_what_may_begin_grows_while_the_loop_is_in_time_and_halves_while_it_is_late():
    pressure = closed()
    grown = [pressure.observe(LAG_LOW_S / 2, 50) for _ in range(10)]
    shrunk = [pressure.observe(LAG_HIGH_S * 2, 50) for _ in range(12)]

    assert grown == sorted(grown)
    assert grown[-1] > 5 * grown[0]
    assert shrunk[:2] == [grown[-1] // 2, grown[-1] // 4]
    assert shrunk[-1] == 1  # never none: it must learn that the loop is in time again


def test_it_opens_when_for_a_while_nobody_waited_and_the_loop_was_in_time():
    pressure = closed()
    for _ in range(CALM_TICKS - 1):
        pressure.observe(0.0, 0)
    assert pressure.closed
    pressure.observe(0.0, 1)
    for _ in range(CALM_TICKS):
        assert pressure.closed
        pressure.observe(0.0, 0)
    assert not pressure.closed


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 1_000)), max_size=300))
def test_something_always_may_begin(looks):
    pressure = Pressure()
    for lag_s, waiting in looks:
        share = pressure.observe(lag_s, waiting)
        assert share >= 1
        assert math.isfinite(share)


async def test_a_loop_that_is_late_because_others_have_the_processor_holds_nobody_up(autojump_clock):
    """Doing less would not help it, and would give what little it has away."""
    gate = PressureGate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(relieve, gate, lambda: 0.1 * trio.current_time())
        for _ in range(50):
            await trio.sleep(WATCH_S / 2)
            autojump_clock.jump(WATCH_S)
            await trio.testing.wait_all_tasks_blocked()
            assert not gate.closed
        nursery.cancel_scope.cancel()


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 20))
def test_a_loop_is_never_said_to_be_later_than_it_was(lag_s, waited_s, worked_s):
    assert 0.0 <= own_lag_s(lag_s, lag_s + waited_s, worked_s) <= lag_s


@pytest.mark.parametrize("load", [1.2, 1.5, 3.0])
def test_a_loop_that_is_asked_for_too_much_stays_busy_and_nearly_in_time(load):
    """A loop that can do 50 requests per tick: what is begun is its queue, and the look at it comes behind them."""
    pressure, waiting, begun, done, lags = closed(), 0.0, 0.0, 0.0, []
    for tick in range(400):
        waiting += load * 50
        lag_s = max(0.0, begun - 50) / 50 * TICK_S
        share = min(pressure.observe(lag_s, int(waiting)), waiting)
        waiting -= share
        finished = min(begun + share, 50)
        begun += share - finished
        waiting = min(waiting, 256)
        if tick >= 100:
            done += finished
            lags.append(lag_s)

    assert done >= 0.9 * 300 * 50
    assert max(lags) < 0.1


async def passing(gate, names, nursery, order):
    async def one(name):
        order.append((name, await gate.passed()))

    for name in names:
        nursery.start_soon(one, name)
        await trio.testing.wait_all_tasks_blocked()


async def test_the_newest_go_first_and_what_is_not_used_is_left_for_who_comes(autojump_clock):
    gate, order = PressureGate(), []
    gate.close()
    async with trio.open_nursery() as nursery:
        await passing(gate, "abc", nursery, order)
        gate.admit(2)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(order) == [("b", True), ("c", True)]
        gate.admit(2)
        await passing(gate, "d", nursery, order)
        assert sorted(order[2:]) == [("a", True), ("d", True)]
        await passing(gate, "e", nursery, order)
        assert gate.waiting == 1
        gate.open()


async def test_who_waited_too_long_is_sent_away(autojump_clock):
    """Its client is about to give up; what is done for it now would be in vain."""
    gate, order = PressureGate(), []
    gate.close()
    async with trio.open_nursery() as nursery:
        await passing(gate, "a", nursery, order)
        await trio.sleep(WAIT_S)
        gate.admit(0)

    assert order == [("a", False)]


async def test_a_cancelled_request_waits_no_more(autojump_clock):
    gate = PressureGate()
    gate.close()
    with trio.move_on_after(0.5):
        await gate.passed()

    assert gate.waiting == 0


async def test_nobody_is_accepted_while_nothing_more_may_begin(autojump_clock):
    gate = PressureGate()
    gate.close()
    with trio.move_on_after(1.0) as waited:
        await gate.may_accept()
    assert waited.cancelled_caught

    gate.admit(1)
    await gate.may_accept()


async def test_a_late_loop_closes_the_gate_and_a_calm_one_opens_it(autojump_clock):
    gate = PressureGate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(relieve, gate, trio.current_time)
        await trio.sleep(WATCH_S / 2)
        autojump_clock.jump(WATCH_S / 2 + 2 * LAG_CLOSE_S)  # a slice computed for so long
        await trio.testing.wait_all_tasks_blocked()
        assert gate.closed
        with trio.fail_after(2 * CALM_TICKS * TICK_S):
            while gate.closed:
                await trio.sleep(TICK_S)
        nursery.cancel_scope.cancel()
