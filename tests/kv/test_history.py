"""Which keys changed lately: all of them, or a clear no."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.consensus.entry import Entry, EntryKind
from aether.kv.commands import Apply, encode_command, stamped
from aether.kv.history import ChangeHistory, Compacted
from aether.kv.store import Store


def test_keys_are_named_once_with_their_last_change():
    history = ChangeHistory()
    history.applied(3, ["a", "b"])
    history.applied(5, [])
    history.applied(7, ["a"])
    assert history.after(0, "") == {"a": 7, "b": 3}
    assert history.after(3, "") == {"a": 7}
    assert history.after(7, "") == {}
    assert history.after(0, "b") == {"b": 3}


def test_what_is_forgotten_is_said():
    """A watcher that misses a change without knowing is worse than one that starts anew."""
    history = ChangeHistory(keys_max=3)
    for revision in range(1, 6):
        history.applied(revision, [f"k{revision}"])
    assert history.after(2, "") == {"k3": 3, "k4": 4, "k5": 5}
    with pytest.raises(Compacted, match="list the rows again"):
        history.after(1, "")


def test_a_replaced_state_forgets_everything():
    history = ChangeHistory()
    history.applied(3, ["a"])
    history.restored(9)
    assert history.after(9, "") == {}
    with pytest.raises(Compacted):
        history.after(8, "")


@given(
    batches=st.lists(st.lists(st.sampled_from("abcdef"), max_size=4), max_size=20),
    keys_max=st.integers(1, 12),
    since=st.integers(0, 20),
)
def test_nothing_that_changed_is_left_out(batches, keys_max, since):
    history = ChangeHistory(keys_max)
    for revision, changed in enumerate(batches, 1):
        history.applied(revision, changed)
    wanted = {key for changed in batches[since:] for key in changed}
    if since < history._kept_after:
        with pytest.raises(Compacted):
            history.after(since, "")
    else:
        assert history.after(since, "").keys() == wanted
    assert history._keys <= keys_max
    assert history._kept_after == 0 or sum(map(len, batches)) > keys_max


@given(
    batches=st.lists(st.lists(st.sampled_from(["a/1", "a/2", "b/1", "b/2/3", "bc/1", "c"]), max_size=4), max_size=20),
    keys_max=st.integers(1, 12),
    looks=st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["a/", "a/2", "b/", "b/2/", "bc", "c", "d/", ""]))),
)
def test_who_asks_in_between_hears_of_all_that_changed_under_its_prefix(batches, keys_max, looks):
    history, asked = ChangeHistory(keys_max), iter(looks)
    for revision, changed in enumerate(batches, 1):
        history.applied(revision, changed)
        since, prefix = next(asked, (0, "a/"))
        if since >= history._kept_after:
            later = [key for batch in batches[since:revision] for key in batch]
            assert history.after(since, prefix).keys() == {key for key in later if key.startswith(prefix)}


def test_a_page_holds_the_rows_after_a_key():
    """Listing a large store costs a page, not the store."""
    from aether.kv.store import Store

    store = Store()
    for key in ("a/1", "a/2", "a/3", "b/1"):
        store._values[key], store._versions[key] = b"v", 1
        store._keys.add(key)
    assert [key for key, _ in store.page("a/", "", 2)] == ["a/1", "a/2"]
    assert [key for key, _ in store.page("a/", "a/2", 9)] == ["a/3"]
    assert [key for key, _ in store.page("", "a/3", 9)] == ["b/1"]
    assert [key for key, _ in store.page("b", "a/9", 9)] == ["b/1"]
    assert store.page("a/", "a/3", 9) == []


CHANGES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, b"v"])), min_size=1, max_size=12)


@given(CHANGES, st.sets(st.integers(1, 11)), st.integers(0, 12))
def test_a_deletion_has_its_own_revision_however_entries_were_applied_together(changes, cuts, after):
    """Else one node says that it came later than another does, and a watcher that changes nodes loses it."""
    payloads = [encode_command(Apply(0, 0, 0, (), (change,))) for change in changes]
    entries = [Entry(index, 1, EntryKind.COMMAND, stamped(payload, 0)) for index, payload in enumerate(payloads, 1)]
    store, history = Store(), ChangeHistory()
    store.listen(lambda applied: history.applied(store.revision, applied.changed, applied.deleted))
    for start, end in pairwise(sorted({0, *cuts, len(entries)})):
        store.apply(entries[start:end])

    gone, rows = {}, set()
    for revision, (key, value) in enumerate(changes, 1):
        if value is not None:
            rows.add(key)
        elif key in rows:
            rows.remove(key)
            gone[key] = revision
    expected = {key: at for key, at in gone.items() if key not in rows and at > after}
    assert {key: at for key, at in history.after(after, "").items() if store.get(key) is None} == expected
