"""What rides with the batches of a change: its audit, its condition, the order to stop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.history import ChangeHistory, Compacted
from aether.management.change_escort import ChangeEscort, Outdated, Rehearsed, shown_rehearsal
from aether.model.access import ApiTokenRow, AuditRow, Role
from aether.model.ids import Revision

AUDIT = AuditRow(id="1-m", at=0.0, actor="a", role=Role.ADMIN, verb="POST", path="/x", request_id="r", node="n")
NAMES = ("a", "b", "c")


def key(name):
    return keys.map_entry("m", name.encode())


class Rows:
    """Rows of one map with their versions; `forget` loses the history."""

    def __init__(self, changes, keys_max=1_000):
        self.revision = Revision(0)
        self.history = ChangeHistory(keys_max)
        self.versions = {}
        for name, deletes in changes:
            self.revision = Revision(self.revision + 1)
            if deletes:
                self.versions.pop(key(name).text, None)
            else:
                self.versions[key(name).text] = self.revision
            self.history.applied(self.revision, [key(name).text])

    def page(self, prefix, after, limit):
        return [(text, b"", at) for text, at in sorted(self.versions.items()) if text.startswith(prefix)][:limit]

    def changed_after(self, revision, prefix):
        return self.history.after(revision, prefix)


changes = st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=12)
names = st.sets(st.sampled_from(NAMES))


@given(changes, st.integers(0, 12), names, names)
def test_a_condition_holds_exactly_while_nothing_that_the_batch_names_has_changed(made, since, compared, written):
    """Rows that were made and deleted since have changed too, though they look as before."""
    rows = Rows(made)
    batch = Batch(
        tuple(Compare(key(n), rows.versions.get(key(n).text, Revision(0))) for n in sorted(compared)),
        tuple(Put(key(n), b"x") for n in sorted(written)),
    )
    touched = {name for name, _ in made[since:]} & (compared | written)
    escort = ChangeEscort(rows=rows, since=Revision(since))
    if touched:
        with pytest.raises(Outdated) as refused:
            escort(batch)
        assert set(refused.value.changed) == {key(name).text for name in touched}
        return
    sent = escort(batch)
    assert {c.key.text for c in sent.compares} == {key(n).text for n in compared | written}
    assert all(c.version == rows.versions.get(c.key.text, 0) for c in sent.compares)
    assert sent.changes == batch.changes


def test_of_an_absent_row_that_the_history_forgot_nothing_is_known():
    """Refusing is safe: whoever is refused reads again."""
    rows = Rows([("a", False), ("a", True), ("b", False), ("c", False)], keys_max=1)
    with pytest.raises(Compacted):
        rows.changed_after(Revision(1), "")

    with pytest.raises(Outdated):
        ChangeEscort(rows=rows, since=Revision(1))(Batch((), (Put(key("a"), b"x"),)))
    ChangeEscort(rows=rows, since=Revision(3))(Batch((), (Put(key("b"), b"x"),)))


@given(names)
def test_the_audit_rides_in_every_batch_that_changes_something(written):
    rows = Rows([])
    batch = Batch((), tuple(Put(key(n), b"x") for n in sorted(written)))

    sent = ChangeEscort(rows=rows, audit=AUDIT)(batch)

    assert sent.changes[: len(batch.changes)] == batch.changes
    assert [c.key.text for c in sent.changes[len(batch.changes) :]] == (["audit/1-m"] if written else [])


def test_a_rehearsal_stops_at_its_first_batch_and_shows_it():
    batch = Batch((Compare(key("b"), Revision(3)),), (Put(key("a"), b"\x07"), Delete(key("c"))))
    with pytest.raises(Rehearsed) as stopped:
        ChangeEscort(rows=Rows([]), rehearses=True)(batch)

    shown = shown_rehearsal(stopped.value.batch, Revision(9))
    assert shown["writes"] == [
        {"key": "maps/m/a", "action": "put", "value": 7},
        {"key": "maps/m/c", "action": "delete"},
    ]
    assert (shown["dependsOn"], shown["revision"]) == (["maps/m/b"], 9)


def test_a_rehearsal_shows_no_digest():
    row = ApiTokenRow(id="ci", digest=b"canary", role=Role.ADMIN)

    shown = shown_rehearsal(Batch((), (Put(keys.token("ci"), row),)), Revision(1))

    assert "canary" not in str(shown)
    assert shown["writes"][0]["value"] is None


def test_a_rehearsal_with_a_condition_says_first_that_it_does_not_hold():
    rows = Rows([("a", False), ("a", False)])

    with pytest.raises(Outdated):
        ChangeEscort(rows=rows, since=Revision(1), rehearses=True)(Batch((), (Put(key("a"), b"x"),)))
