"""How long rows have stood, by one clock."""

from hypothesis import given
from hypothesis import strategies as st

from aether.deployment.ages import Ages


def test_a_row_is_as_old_as_its_stamp_has_been_seen():
    """Its own time says nothing: it is another node's."""
    ages = Ages()
    ages.look([("r1", "held")], 100.0)
    ages.look([("r1", "held"), ("r2", "held")], 130.0)

    assert (ages.lasted_s("r1", 140.0), ages.lasted_s("r2", 140.0)) == (40.0, 10.0)


def test_a_new_stamp_begins_anew_and_what_is_gone_is_forgotten():
    """Else every update that ever was would be remembered."""
    ages = Ages()
    ages.look([("r1", "held"), ("r2", "held")], 100.0)
    ages.look([("r1", "moved")], 130.0)
    ages.look([("r1", "moved"), ("r2", "held")], 140.0)

    assert (ages.lasted_s("r1", 150.0), ages.lasted_s("r2", 150.0)) == (20.0, 10.0)
    assert ages.lasted_s("unknown", 150.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 10)), min_size=1))
def test_an_age_never_shrinks_while_the_stamp_stays(looks):
    ages, now, began, before = Ages(), 0.0, 0.0, None
    for stamp, pause_s in looks:
        now += pause_s
        began = now if stamp != before else began
        before = stamp
        ages.look([("r", stamp)], now)
        assert ages.lasted_s("r", now) == now - began
