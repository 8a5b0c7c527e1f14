"""The life of an instance: the table, whole."""

import itertools

import pytest

from aether.model.lifecycle import DOWNWARD, NEXT, TIMEOUTS_S, UPWARD, IllegalTransition, SliceState, advance, advanced

S = SliceState
ALLOWED = [(a, b) for a in S for b in NEXT[a]]
FORBIDDEN = [(a, b) for a, b in itertools.product(S, S) if b not in NEXT[a]]

HAPPY = [
    S.LOAD,
    S.LOADING,
    S.LOADED,
    S.ACTIVATE,
    S.ACTIVATING,
    S.ACTIVE,
    S.DEACTIVATE,
    S.DEACTIVATING,
    S.LOADED,
    S.UNLOAD,
]


def test_the_happy_life_is_allowed():
    """In the order that the reference gives."""
    for current, wanted in itertools.pairwise([*HAPPY, S.UNLOADING]):
        assert advance(current, wanted) is wanted


@pytest.mark.parametrize(("current", "wanted"), FORBIDDEN)
def test_every_move_that_is_absent_from_the_table_raises(current, wanted):
    """The original had a table and did not enforce it: ACTIVE instances were unloaded while they served."""
    with pytest.raises(IllegalTransition, match=f"an instance is {current} and cannot become {wanted}; allowed: "):
        advance(current, wanted)


def test_a_way_over_several_states_is_one_only_where_each_step_is_allowed():
    """From an order up to ACTIVE, or down to LOADED, and nowhere else: never back, never round."""
    ways = {(a, b) for a, b in itertools.product(S, S) if _leads(a, b)}

    assert ways == set(ALLOWED) | {way for ways in (UPWARD, DOWNWARD) for way in itertools.combinations(ways, 2)}


def _leads(current, wanted):
    try:
        return advanced(current, wanted) is wanted
    except IllegalTransition:
        return False


def test_forbidden_and_allowed_are_all_pairs():
    """A new edge in the table is a decision, not an accident."""
    assert len(ALLOWED) + len(FORBIDDEN) == len(S) ** 2
    assert len(ALLOWED) == 20


def test_an_active_instance_is_never_unloaded_without_being_stopped():
    """Calls in flight would be cut off."""
    assert S.UNLOAD not in NEXT[S.ACTIVE]


def test_every_state_can_fail_while_somebody_acts_on_it():
    """A state without a way to FAILED would hide what went wrong in it."""
    acting = set(S) - {S.LOADED, S.FAILED}

    assert {state for state in S if S.FAILED in NEXT[state]} == acting


def test_from_every_state_the_end_can_be_reached():
    """No state is a trap."""
    for start in S:
        seen, todo = {start}, [start]
        while todo:
            for after in NEXT[todo.pop()] - seen:
                seen.add(after)
                todo.append(after)
        assert S.UNLOADING in seen


def test_every_state_in_which_a_node_works_has_a_time_out():
    """Nothing waits without a bound."""
    assert set(TIMEOUTS_S) == {S.LOADING, S.ACTIVATING, S.DEACTIVATING, S.UNLOADING}
    assert all(seconds > 0 for seconds in TIMEOUTS_S.values())


@pytest.mark.parametrize("state", list(S))
def test_a_state_is_read_from_its_own_text(state):
    """The original could not read FAILED back."""
    assert S(str(state)) is state
