"""User maps fill up by themselves, never the control rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.kv import keys
from aether.kv.keys import MapRow
from aether.kv.outcome import Refused, RefusedBy
from aether.kv.quotas import Usage
from aether.kv.store import Store
from aether.model.limits import MAP_ENTRIES_MAX_DEFAULT


def limits(**fields):
    return ("maps/m", keys.MAP_DEFINITION.encode(MapRow(**fields)))


def entry(number, value=b"v", name="m"):
    return (keys.map_entry(name, b"%d" % number).text, value)


@pytest.fixture
def session(write):
    return write.session()


def test_a_map_is_full_at_its_limit_of_entries(write, session):
    """The last one fits, the next does not, and the refusal carries the facts."""
    write.apply(session, 1, limits(entries_max=2), entry(1), entry(2))

    refused = write.apply(session, 2, entry(3))

    assert refused == Refused(RefusedBy.QUOTA, "map 'm'", 2, "entries")
    assert write.store.get(entry(3)[0]) is None
    assert write.apply(session, 3, entry(2, b"changed")).applied
    assert write.apply(session, 4, entry(1, None), entry(3)).applied


def test_a_map_is_full_at_its_limit_of_bytes(write, session):
    """Keys count, values count."""
    key = entry(1)[0]
    write.apply(session, 1, limits(bytes_max=len(key) + 10))

    assert write.apply(session, 2, (key, bytes(10))).applied
    assert write.apply(session, 3, (key, bytes(11))) == Refused(RefusedBy.QUOTA, "map 'm'", len(key) + 10, "bytes")
    assert write.store.map_usage("m") == Usage(1, len(key) + 10)


def test_a_refused_batch_changes_nothing_elsewhere(write, session):
    """Control rows beside the entry stay as they were, too."""
    write.apply(session, 1, limits(entries_max=0))

    assert isinstance(write.apply(session, 2, ("desired/a:b", b"v"), entry(1), limits(entries_max=0)), Refused)
    assert write.store.get("desired/a:b") is None


def test_limits_in_the_same_batch_count_at_once(write, session):
    """Whoever declares a map may fill it in the same step."""
    write.apply(session, 1, limits(entries_max=1))

    assert write.apply(session, 2, entry(1), entry(2), limits(entries_max=2)).applied


def test_a_limit_below_what_is_there_only_stops_growth(write, session):
    """Lowering a limit never deletes, and shrinking is always allowed."""
    write.apply(session, 1, entry(1, bytes(9)), entry(2, bytes(9)), entry(3, bytes(9)))
    write.apply(session, 2, limits(entries_max=1, bytes_max=1))

    assert isinstance(write.apply(session, 3, entry(4)), Refused)
    assert isinstance(write.apply(session, 4, entry(1, bytes(10))), Refused)
    assert write.apply(session, 5, entry(1, bytes(9))).applied
    assert write.apply(session, 6, entry(1, None)).applied


def test_without_a_definition_the_defaults_hold(write, session):
    """Also after a definition is deleted."""
    write.apply(session, 1, limits(entries_max=0))
    assert isinstance(write.apply(session, 2, entry(1)), Refused)
    assert write.apply(session, 3, ("maps/m", None), entry(1)).applied
    for sequence in range(4, 14):
        write.apply(session, sequence, *[entry(sequence * 1000 + n) for n in range(1000 - (sequence == 13))])

    refused = write.apply(session, 14, entry(999_999))

    assert refused.limit == MAP_ENTRIES_MAX_DEFAULT


def test_all_maps_together_have_a_limit_that_control_rows_never_feel(writer):
    """A thousand small maps must not take the memory of the cluster's own rows."""
    write = writer(Store(maps_bytes_max=100))
    session = write.session()
    write.apply(session, 1, entry(1, bytes(40), "m"), entry(1, bytes(40), "n"))

    refused = write.apply(session, 2, entry(1, bytes(40), "o"))

    assert refused == Refused(RefusedBy.QUOTA, "the user maps together", 100, "bytes")
    assert write.apply(session, 3, ("members/x", bytes(1000))).applied
    assert write.apply(session, 4, entry(1, None, "m"), entry(1, bytes(40), "o")).applied


def test_a_restored_store_knows_how_full_its_maps_are(write, session, writer):
    """Usage is not in the snapshot: it is counted again, limits included."""
    write.apply(session, 1, limits(entries_max=2), entry(1), entry(2))
    restored = writer(Store())
    restored.apply(0, 0, entry(7))
    restored.store.restore(write.store.snapshot(), write.store.revision)

    assert restored.store.map_usage("m") == write.store.map_usage("m")
    assert restored.apply(session, 2, entry(3)) == Refused(RefusedBy.QUOTA, "map 'm'", 2, "entries")


def test_a_malformed_definition_is_refused(write, session):
    """It came past the typed keys, from a peer: every node refuses it alike."""
    assert write.apply(session, 1, ("maps/m", b"\xc1")).by is RefusedBy.MALFORMED


@settings(max_examples=50)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["m", "n"]), st.none() | st.integers(0, 30)), max_size=5),
        max_size=12,
    )
)
def test_usage_is_always_what_the_rows_say(writer, batches):
    """Incremental counting equals counting, and stays within every limit."""
    write = writer(Store(maps_bytes_max=120))
    session = write.session()
    write.apply(session, 1, limits(entries_max=2, bytes_max=60))
    for sequence, batch in enumerate(batches, 2):
        write.apply(
            session, sequence, *[entry(n, None if size is None else bytes(size), name) for n, name, size in batch]
        )
        total = 0
        for name in "mn":
            rows = list(write.store.scan(f"maps/{name}/"))
            usage = Usage(len(rows), sum(len(key) + len(row.value) for key, row in rows))
            assert write.store.map_usage(name) == usage
            total += usage.bytes
        assert write.store.map_usage("m").entries <= 2
        assert write.store.map_usage("m").bytes <= 60
        assert total <= 120


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 40)), max_size=20))
def test_a_change_alone_is_judged_as_beside_others(writer, changes):
    """A batch of one entry takes a shorter way, and two nodes of two versions must still agree."""
    alone, beside = writer(Store(maps_bytes_max=100)), writer(Store(maps_bytes_max=100))
    for write in (alone, beside):
        write.apply(write.session(), 1, limits(entries_max=2, bytes_max=80))
    for sequence, (number, size) in enumerate(changes, 2):
        change = entry(number, None if size is None else bytes(size))
        one = alone.apply(1, sequence, change)
        two = beside.apply(1, sequence, change, ("desired/a:b", b"v"))
        assert one == two
        assert alone.store.map_usage("m") == beside.store.map_usage("m")
