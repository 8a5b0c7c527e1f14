"""Silence, counted in beats."""

import trio
from trio.testing import wait_all_tasks_blocked

from aether.transport.pulse import BEAT_S, BEATS_MAX, Listener, beat


async def test_silence_is_told_after_so_many_beats_without_a_word(autojump_clock):
    listener = Listener()
    began = trio.current_time()
    await listener.wait_silent()

    assert trio.current_time() - began == BEATS_MAX * BEAT_S


async def test_a_word_now_and_then_is_enough(autojump_clock, nursery):
    """Even one that comes irregularly."""
    listener = Listener()
    nursery.start_soon(beat, lambda: setattr(listener, "heard", True))
    with trio.move_on_after(50 * BEAT_S) as scope:
        await listener.wait_silent()

    assert scope.cancelled_caught


async def test_who_stood_still_takes_nobody_for_silent(mock_clock, nursery):
    """A minute in a debugger, or a laptop that slept: everybody else seems to have said nothing for as long."""
    listener = Listener()
    ended = trio.Event()

    async def listen():
        await listener.wait_silent()
        ended.set()

    nursery.start_soon(listen)
    await wait_all_tasks_blocked()
    mock_clock.jump(60 * BEAT_S)
    await wait_all_tasks_blocked()

    assert not ended.is_set()
    nursery.cancel_scope.cancel()
