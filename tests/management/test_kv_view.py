"""The view over the real store: the rows that are asked for, as they are spelt there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio

from aether.consensus.entry import Entry, EntryKind
from aether.consensus.values import Role
from aether.kv import keys
from aether.kv.commands import Apply, encode_command, stamped
from aether.kv.keys import MapRow
from aether.kv.service import KvService
from aether.kv.store import Store
from aether.management.kv_view import KvClusterView
from aether.model.artifact import Artifact
from aether.model.rows import ApplyRow, BlueprintRow, DesiredRow

PRICING = Artifact.parse("shop:pricing:1.0.0")


class Written:
    """A store that a test writes into, and the view over it."""

    def __init__(self) -> None:
        self.store = Store()
        status = SimpleNamespace(role=Role.FOLLOWER, term=1, leader=None, voters=("a",), commit_index=0)
        consensus = SimpleNamespace(status=status)
        kv = KvService("a", "a.1", consensus, self.store, lambda peer, message: False, lambda: 0.0)
        self.view = KvClusterView(kv)

    def put(self, key, value) -> None:
        index = self.store.revision + 1
        command = Apply(0, 0, 0, (), ((key.text, key.encode(value)),))
        self.store.apply([Entry(index, 1, EntryKind.COMMAND, stamped(encode_command(command), index))])


@pytest.fixture
def written() -> Written:
    return Written()


def test_the_blueprints_in_force_are_those_of_their_current_number(written):
    """An earlier text must never be shown as the one in force."""
    for number, text in ((1, "old"), (2, "new")):
        written.put(keys.blueprint("demo", number), BlueprintRow(id="demo", number=number, text=text))
    written.put(keys.blueprint_current("demo"), 2)
    assert [row.text for row in written.view.blueprints()] == ["new"]
    assert written.view.blueprint("demo", None).text == "new"
    assert written.view.blueprint("demo", 1).text == "old"
    assert written.view.blueprint("demo", 3) is None
    assert written.view.blueprint("other", None) is None


def test_entries_of_a_map_come_with_key_value_and_revision(written):
    """Whatever bytes the keys have; another map whose name begins alike is another map."""
    for name, key in (("orders", b"a/b"), ("orders", b"\xff\x00"), ("orders2", b"c")):
        written.put(keys.map_entry(name, key), b"value")
    assert sorted(written.view.map_rows("orders")) == [(b"a/b", b"value", 1), (b"\xff\x00", b"value", 2)]


def test_a_map_that_was_only_defined_is_empty_and_an_unknown_one_is_none(written):
    """404 is for a name that nobody has used."""
    assert written.view.map_rows("orders") is None
    written.put(keys.map_definition("orders"), MapRow())
    assert list(written.view.map_rows("orders")) == []


async def test_the_watch_wakes_for_wishes_and_the_rows_are_read_again(written):
    """`?wait` stands on this."""
    async with written.view.watch_instances() as changes:
        written.put(keys.desired(PRICING.base), DesiredRow(artifact=PRICING, instances=2, blueprint="demo"))
        await changes.changed()
    assert [row.instances for row in written.view.desired()] == [2]
    assert written.view.revision == 1


async def test_who_waits_for_an_atomic_apply_hears_that_it_is_settled(written, autojump_clock):
    """Its row goes after the last instance is ACTIVE, and no row of an instance changes then."""
    async with written.view.watch_instances() as changes:
        row = ApplyRow(id="demo", number=1, previous=0, slices=(PRICING,), timeout_s=60.0)
        written.put(keys.atomic_apply("demo"), row)
        with trio.fail_after(1):
            await changes.changed()
