"""Who observes rows sees each applied change once, in the order of the log, with the value before."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.consensus.entry import Entry, EntryKind
from aether.kv.commands import Apply, encode_command, stamped
from aether.kv.store import Store

TEXTS = st.sampled_from(["alerts/a/1", "alerts/a/2", "tokens/t", "maps/m/x", "other"])
APPLIES = st.builds(
    Apply,
    st.just(0),
    st.just(0),
    st.just(0),
    st.lists(st.tuples(TEXTS, st.integers(0, 6)), max_size=1).map(tuple),
    st.lists(st.tuples(TEXTS, st.none() | st.binary(max_size=2)), min_size=1, max_size=4).map(tuple),
)
LOGS = st.lists(st.tuples(APPLIES, st.integers(0, 5)), max_size=25)


def observing(prefixes):
    store, seen = Store(), []
    store.observe(prefixes)
    store.listen(lambda applied: seen.append(list(applied.observed)))
    return store, seen


def entries_of(log):
    payloads = [stamped(encode_command(command), stamp_ms) for command, stamp_ms in log]
    return [Entry(index, 1, EntryKind.COMMAND, payload) for index, payload in enumerate(payloads, 1)]


@settings(max_examples=80)
@given(LOGS, st.integers(1, 5))
def test_the_changes_tell_the_same_story_however_the_log_is_cut(log, cut):
    """Nodes apply in batches of different sizes; what they derive must not show it."""
    entries = entries_of(log)
    (one, seen), (other, parts) = observing(["alerts/", "tokens/"]), observing(["alerts/", "tokens/"])
    one.apply(entries)
    for start in range(0, len(entries), cut):
        other.apply(entries[start : start + cut])

    assert [change for part in seen for change in part] == [change for part in parts for change in part]


@settings(max_examples=80)
@given(LOGS)
def test_the_values_before_and_after_lead_from_nothing_to_the_rows(log):
    store, seen = observing(["alerts/"])
    store.apply(entries_of(log))
    rows = {}
    for change in seen[0]:
        assert rows.get(change.key) == change.old
        assert change.key.startswith("alerts/")
        assert (change.old, change.new) != (None, None)
        rows[change.key] = change.new
    revisions = [change.revision for change in seen[0]]
    assert revisions == sorted(revisions)
    assert {key: value for key, value in rows.items() if value is not None} == {
        key: row.value for key, row in store.scan("alerts/")
    }


def test_entries_of_maps_cannot_be_observed():
    """They are the hot path, and the data of users."""
    with pytest.raises(AssertionError, match="maps"):
        Store().observe(["maps/"])


async def test_the_service_tells_its_observer_in_order_and_of_a_restored_state(fake_cluster):
    class Observer:
        def __init__(self):
            self.told = []

        def changed(self, changes):
            self.told += [(change.key, change.old, change.new, change.at_ms) for change in changes]

        def restored(self):
            self.told.append("restored")

    cluster, observer = fake_cluster(), Observer()
    cluster.kv["b"].observe(["other"], observer)
    store = cluster.stores["b"]
    changes = (("other", b"1"), ("unobserved", b"x"), ("other", b"2"))
    store.apply(entries_of([(Apply(0, 0, 0, (), changes), 7)]))
    store.apply(entries_of([])[:0])
    store.restore(store.snapshot(), store.revision)

    assert observer.told == [("other", None, b"1", 7), ("other", b"1", b"2", 7), "restored"]
