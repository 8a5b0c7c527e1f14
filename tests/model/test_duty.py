"""The table of duties."""

import itertools

import pytest

from aether.model.duty import NEXT_DUTY, Duty

D = Duty


@pytest.mark.parametrize(("current", "wanted"), list(itertools.product(Duty, Duty)))
def test_each_pair_of_duties_is_allowed_or_not_as_written(current, wanted):
    allowed = {
        (D.JOINING, D.ON_DUTY),
        (D.JOINING, D.DRAINING),
        (D.ON_DUTY, D.DRAINING),
        (D.DRAINING, D.ON_DUTY),
        (D.DRAINING, D.DECOMMISSIONED),
        (D.DECOMMISSIONED, D.ON_DUTY),
        (D.SHUTTING_DOWN, D.JOINING),
        *((each, D.SHUTTING_DOWN) for each in Duty if each is not D.SHUTTING_DOWN),
    }
    assert (wanted in NEXT_DUTY[current]) == ((current, wanted) in allowed)


def test_no_duty_is_a_dead_end():
    for start in Duty:
        seen, fresh = {start}, {start}
        while fresh:
            fresh = set().union(*(NEXT_DUTY[each] for each in fresh)) - seen
            seen |= fresh
        assert Duty.ON_DUTY in seen, start
