"""What a log dropped is given back in small steps."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from aether.consensus.leftovers import FREED_MIN, Leftovers


@given(st.lists(st.integers(0, 20 * FREED_MIN), max_size=6), st.integers(0, 3))
def test_each_step_frees_a_bounded_part_until_nothing_is_left(lengths, steps_between):
    leftovers, dropped = Leftovers(), 0
    for length in lengths:
        values = list(range(length + 10))
        kept = leftovers.without_front(values, length)
        assert kept == list(range(length, length + 10))
        dropped += length if length > FREED_MIN else 0
        for _ in range(steps_between):
            before = len(leftovers)
            leftovers.free()
            assert before - len(leftovers) == min(before, max(FREED_MIN, before // 16))
    steps = 0
    while len(leftovers):
        leftovers.free()
        steps += 1
    assert steps <= dropped / FREED_MIN + 1


def test_many_values_are_freed_later_and_few_at_once():
    value, leftovers = object(), Leftovers()
    alone = sys.getrefcount(value)

    kept = leftovers.without_front([value] * (3 * FREED_MIN), 3 * FREED_MIN)
    assert (kept, sys.getrefcount(value)) == ([], alone + 3 * FREED_MIN)
    leftovers.free()
    assert sys.getrefcount(value) == alone + 2 * FREED_MIN
    leftovers.free()
    leftovers.free()
    assert sys.getrefcount(value) == alone

    assert leftovers.without_front([value] * 5, 4) == [value]
    assert sys.getrefcount(value) == alone
