"""Rows are decoded when they change, and never shown stale."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.consensus.entry import Entry, EntryKind
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.commands import Apply, Batch, Delete, Put, encode_command, plain_batch, stamped
from aether.kv.history import ChangeHistory
from aether.kv.store import Store
from aether.model.artifact import Artifact
from aether.model.rows import DesiredRow


class Log:
    """A store that is fed without consensus, read as the service lets it be read."""

    def __init__(self):
        self.store = Store()
        self.history = ChangeHistory()
        self.store.listen(lambda applied: self.history.applied(self.store.revision, applied.changed))
        self.reads = 0

    def apply(self, batch):
        command = encode_command(Apply(0, 0, 0, *plain_batch(batch)))
        self.store.apply([Entry(self.store.revision + 1, 1, EntryKind.COMMAND, stamped(command, 0))])

    def all(self):
        return tuple(keys.DESIRED.codec.decode(row.value) for _, row in self.store.scan(keys.DESIRED))

    @property
    def revision(self):
        return self.store.revision

    def page(self, prefix, after, limit):
        self.reads += 1
        return [(text, row.value, row.version) for text, row in self.store.page(prefix, after, limit)]

    def follow(self, prefix):
        pass

    def versioned(self, text, prefix):
        self.reads += 1
        row = self.store.get(text)
        return None if row is None else (row.version, prefix.codec.decode(row.value))

    def changed_after(self, revision, prefix):
        return self.history.after(revision, prefix)


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def kv(log):
    return log


A, B = Artifact.parse("shop:a:1.0.0"), Artifact.parse("shop:b:1.0.0")


def put(log, artifact, instances):
    row = DesiredRow(artifact=artifact, instances=instances, blueprint="app")
    log.apply(Batch((), (Put(keys.desired(artifact.base), row),)))
    return row


def test_a_look_shows_the_store_as_it_is(kv, log):
    """A stale row would be a stale decision."""
    rows = CachedRows(kv, keys.DESIRED)
    assert rows.look() == ()
    second, first = put(log, B, 2), put(log, A, 1)
    assert rows.look() == (first, second)

    changed = put(log, A, 7)
    log.apply(Batch((), (Delete(keys.desired(B.base)),)))

    assert rows.look() == (changed,)


def test_an_unchanged_row_is_the_same_object(kv, log):
    """Managers tell by `is` whether there is anything to do."""
    rows = CachedRows(kv, keys.DESIRED)
    put(log, A, 1)
    put(log, B, 1)
    before = rows.look()

    put(log, B, 2)
    after = rows.look()

    assert after[0] is before[0]
    assert after[1] is not before[1]


def test_a_row_that_was_deleted_and_written_anew_is_read_anew(kv, log):
    """Its version differs, though its key was seen before."""
    rows = CachedRows(kv, keys.DESIRED)
    put(log, A, 1)
    rows.look()
    log.apply(Batch((), (Delete(keys.desired(A.base)),)))

    new = put(log, A, 5)

    assert rows.look() == (new,)


def test_a_look_costs_what_changed_and_not_what_there_is(kv, log):
    """Ten thousand instances must not be walked through because one of them moved."""
    rows = CachedRows(kv, keys.DESIRED)
    for number in range(500):
        put(log, Artifact.parse(f"shop:s{number:03}:1.0.0"), 1)
    rows.look()
    log.reads = 0

    put(log, A, 1)
    assert len(rows.look()) == 501
    assert log.reads == 1
    assert rows.look() is rows.look(), "nothing changed"
    assert log.reads == 1


def test_much_that_changed_is_read_with_places_to_yield(kv, log):
    """A new leader reads everything for the first time, and user code shares its loop."""
    rows = CachedRows(kv, keys.DESIRED)
    for number in range(1_000):
        put(log, Artifact.parse(f"shop:s{number:03}:1.0.0"), 1)

    assert sum(1 for _ in rows.catch_up()) >= 9
    assert len(rows.look()) == 1_000


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(("put", "drop", "look", "step", "restore"))), max_size=80),
    st.integers(1, 20),
)
def test_whatever_happens_between_two_looks_the_second_shows_the_store(moves, kept):
    """Changes in the middle of a look, a history that is too short, a state that was replaced."""
    log = Log()
    log.history = ChangeHistory(keys_max=kept)
    rows, step = CachedRows(log, keys.DESIRED), iter(())
    for number, move in moves:
        base = Artifact.parse(f"shop:s{number:03}:1.0.0").base
        if move == "put":
            put(log, base.at(A.version), number)
        elif move == "drop":
            log.apply(Batch((), (Delete(keys.desired(base)),)))
        elif move == "look":
            assert rows.look() == log.all()
        elif move == "restore":
            log.history.restored(log.revision)
        else:
            step = iter(rows.catch_up()) if next(step, "over") == "over" else step

    assert rows.look() == log.all()
