"""Rows are decoded when they change, and never shown stale."""

import pytest

from aether.consensus.entry import Entry, EntryKind
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.commands import Apply, Batch, Delete, Put, encode_command, plain_batch, stamped
from aether.kv.store import Store
from aether.model.artifact import Artifact
from aether.model.rows import DesiredRow


class Log:
    """A store that is fed without consensus, read as the service lets it be read."""

    def __init__(self):
        self.store = Store()

    def apply(self, batch):
        command = encode_command(Apply(0, 0, 0, *plain_batch(batch)))
        self.store.apply([Entry(self.store.revision + 1, 1, EntryKind.COMMAND, stamped(command, 0))])

    def scan(self, prefix):
        return ((text, row.value, row.version) for text, row in self.store.scan(prefix))


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
