"""Waiting for what tells nobody, in virtual time."""

import pytest
import trio

from aether.forge.polling import until


async def test_the_first_true_answer_comes_back(autojump_clock):
    answers = iter([None, [], 0, "seven"])
    began = trio.current_time()
    assert await until(lambda: next(answers), 10.0, every_s=0.5) == "seven"
    assert trio.current_time() - began == 1.5


async def test_what_holds_already_is_not_waited_for(autojump_clock):
    async def holds():
        return True

    began = trio.current_time()
    assert await until(holds, 0.0)
    assert trio.current_time() == began


async def test_the_error_says_what_was_missing_and_what_was_seen_last(autojump_clock):
    began = trio.current_time()
    with pytest.raises(trio.TooSlowError, match=r"not within 3 s: three voters; the last answer was \[\]"):
        await until(list, 3.0, "three voters")
    assert trio.current_time() - began == 3.0


async def test_a_condition_that_never_answers_is_left_too(autojump_clock):
    with pytest.raises(trio.TooSlowError, match="not within 2 s: sleep_forever; the last answer was 'nothing'"):
        await until(trio.sleep_forever, 2.0)


async def test_what_a_condition_raises_is_raised(autojump_clock):
    with pytest.raises(ZeroDivisionError):
        await until(lambda: 1 // 0, 2.0)
