"""Rows of figures kept in rings."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from aether.metrics.rings import RowRing, empty_row

SLOTS = 7
puts = st.lists(st.tuples(st.integers(0, 40), st.integers(-1000, 1000)), max_size=60)


@given(puts)
def test_a_ring_holds_the_last_value_of_each_of_the_newest_slots_and_no_other(history):
    """Whatever is skipped, comes late or comes twice: a plain dict says the same."""
    ring, model, newest = RowRing(2, SLOTS), {}, None
    for slot, value in history:
        kept = ring.put(slot, array("f", [value, -value]))
        assert kept == (newest is None or slot > newest - SLOTS)
        if kept:
            newest = slot if newest is None else max(newest, slot)
            model[slot] = float(value)
            model = {s: v for s, v in model.items() if s > newest - SLOTS}

    assert dict(ring.column(0, -1, 100)) == model
    assert dict(ring.column(1, -1, 100)) == {slot: -value for slot, value in model.items()}


def test_memory_is_taken_once():
    ring = RowRing(3, SLOTS)
    before = ring.size_bytes
    for slot in range(1000):
        ring.put(slot, empty_row(3))

    assert ring.size_bytes == before == 3 * SLOTS * 4


def test_a_slot_that_was_skipped_reads_as_nothing_told():
    """Not as what stood there one turn before."""
    ring = RowRing(1, 4)
    for slot in range(4):
        ring.put(slot, array("f", [float(slot)]))
    ring.put(6, array("f", [6.0]))

    assert list(ring.column(0, 0, 6)) == [(3, 3.0), (6, 6.0)]
    assert len(list(ring.rows(3, 6))) == 4
