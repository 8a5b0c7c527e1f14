"""Rows of the store for operators: what is shown, what may be written, how a watch goes on, who gets a backup."""

from __future__ import annotations

import contextlib
import itertools

import attrs
import msgpack
import pytest
import trio

from aether.consensus.entry import Entry, EntryKind
from aether.kv.commands import Apply, encode_command, stamped
from aether.kv.history import ChangeHistory
from aether.kv.store import Store
from aether.management.rows_service import list_changes

ENTRY = "maps/stock/apple"


def filled(world, **entries: object):
    for name, value in entries.items():
        world.stored.change(f"maps/stock/{name}", msgpack.packb(value))
    return world


async def test_rows_are_listed_in_pages(world):
    """A store of 200,000 rows is looked at a page at a time."""
    filled(world, c=3, a={"n": [1]}, b="two")
    first = (await world.ask("GET", "/kv?prefix=maps/&limit=2")).json
    assert [(row["key"], row["value"], row["version"]) for row in first["rows"]] == [
        ("maps/stock/a", {"n": [1]}, 44),
        ("maps/stock/b", "two", 45),
    ]
    rest = (await world.ask("GET", f"/kv?prefix=maps/&limit=2&after={first['next']}")).json
    assert [row["key"] for row in rest["rows"]] == ["maps/stock/c"]
    assert rest["next"] is None


async def test_a_page_is_bounded_in_bytes(world):
    """Values may have half a megabyte each: a thousand of them in one answer would take the node down."""
    for number in range(8):
        world.stored.change(f"maps/big/{number}", bytes(500_000))
    answer = (await world.ask("GET", "/kv?limit=1000")).json
    assert len(answer["rows"]) == 4
    assert answer["next"] == "maps/big/3"


async def test_one_row_is_shown_with_its_bytes(world):
    filled(world, apple=5)
    answer = (await world.ask("GET", f"/kv/row?key={ENTRY}")).json
    assert answer == {"key": ENTRY, "value": 5, "version": 43, "base64": "BQ==", "revision": 43}
    assert (await world.ask("GET", "/kv/row?key=maps/stock/pear")).status == 404
    assert (await world.ask("GET", "/kv/row?key=maps/stock")).status == 404  # a prefix of another key is no row
    assert (await world.ask("GET", "/kv/row?key=nonsense")).status == 400


async def test_an_entry_is_written_as_maps_store_it(world):
    """Whatever the CLI writes, a slice must be able to read."""
    answer = await world.ask("POST", "/kv/put", {"key": "maps/stock/größe 1", "value": {"n": [1, None]}})
    assert answer.json["key"] == "maps/stock/gr%C3%B6%C3%9Fe%201"
    assert msgpack.unpackb(world.stored.found[answer.json["key"]][0]) == {"n": [1, None]}
    await world.ask("POST", "/kv/put", {"key": ENTRY, "base64": "AAE="})
    assert world.stored.found[ENTRY][0] == b"\x00\x01"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"key": ENTRY}, "give one of them"),
        ({"key": ENTRY, "value": 1, "base64": "AA=="}, "give one of them"),
        ({"key": ENTRY, "base64": "?"}, "base64"),
        ({"key": ENTRY, "value": 2**64}, "value"),
        ({"key": ENTRY, "value": {"\ud800": 1}}, "value"),
        ({"key": ENTRY, "value": 1, "ifVersion": -1}, "ifVersion"),
        ({"key": "maps//x", "value": 1}, "no key"),
        ({"value": 1}, "key: missing"),
    ],
)
async def test_a_malformed_wish_says_what_is_wrong(world, body, says):
    answer = await world.ask("POST", "/kv/put", body)
    assert answer.status == 400
    assert says in answer.json["detail"]
    assert world.stored.found == {}


async def test_a_compare_that_differs_changes_nothing(world):
    """Two operators at once: the second one must look again."""
    filled(world, apple=5)
    assert (await world.ask("POST", "/kv/put", {"key": ENTRY, "value": 6, "ifVersion": 7})).status == 409
    assert (await world.ask("POST", "/kv/put", {"key": ENTRY, "value": 6, "ifVersion": 0})).status == 409
    assert (await world.ask("POST", "/kv/put", {"key": ENTRY, "value": 6, "ifVersion": 43})).status == 200
    assert (await world.ask("POST", "/kv/delete", {"key": ENTRY, "ifVersion": 43})).status == 409
    assert (await world.ask("POST", "/kv/delete", {"key": ENTRY})).json["status"] == "deleted"


CLUSTER_ROW = {"key": "cluster", "value": {"uuid": "u", "name": "n"}}


async def test_a_row_of_the_clusters_own_needs_force_and_the_token(world):
    """`--insecure` is for changes that slices survive; a wrong control row can stop every node."""
    assert (await world.ask("POST", "/kv/put", CLUSTER_ROW)).status == 403
    assert (await world.ask("POST", "/kv/put", CLUSTER_ROW | {"force": True}, token=None)).status == 401
    world.access = attrs.evolve(world.access, insecure=True)
    assert (await world.ask("POST", "/kv/put", {"key": ENTRY, "value": 1}, token=None)).status == 200
    assert (await world.ask("POST", "/kv/put", CLUSTER_ROW | {"force": True}, token=None)).status == 401
    assert "cluster" not in world.stored.found
    assert (await world.ask("POST", "/kv/put", CLUSTER_ROW | {"force": True})).status == 200


async def test_a_row_of_another_shape_is_refused_even_by_force(world):
    """Whoever reads it would stop; and the leadership row is a fence."""
    assert (await world.ask("POST", "/kv/put", {"key": "cluster", "value": 3, "force": True})).status == 400
    fence = {"key": "leadership", "value": {"term": 1, "node": "a"}, "force": True}
    assert (await world.ask("POST", "/kv/put", fence)).status == 400
    assert (await world.ask("POST", "/kv/delete", {"key": "leadership", "force": True})).status == 400


async def test_an_anonymous_caller_reads_rows_and_writes_none(world):
    filled(world, apple=5)
    assert (await world.ask("GET", "/kv", token=None)).status == 200
    assert (await world.ask("POST", "/kv/put", {"key": ENTRY, "value": 1}, token=None)).status == 401


# --- watching ---------------------------------------------------------------------------------------------------------


async def test_a_watch_sees_changes_and_deletions_and_goes_on_where_it_stopped(world):
    begin = (await world.ask("GET", "/kv/changes")).json
    assert begin == {"changes": [], "revision": 42}
    filled(world, a=1, b=2)
    world.stored.change("maps/other/x", b"\x07")
    world.stored.change("maps/stock/a", None)
    answer = (await world.ask("GET", "/kv/changes?prefix=maps/stock/&since=42")).json
    assert answer == {
        "changes": [
            {"key": "maps/stock/b", "revision": 44, "deleted": False, "value": 2},
            {"key": "maps/stock/a", "revision": 46, "deleted": True},
        ],
        "revision": 46,
    }
    assert (await world.ask("GET", "/kv/changes?since=46")).json == {"changes": [], "revision": 46}


async def test_a_long_list_of_changes_is_cut_between_revisions(world):
    """Whoever goes on from the revision of an answer must not miss the rest of a batch."""
    for number in range(5):
        world.stored.change(f"maps/m/{number}", b"\x01")
    seen, since = [], 42
    while len(seen) < 5:
        answer = (await world.ask("GET", f"/kv/changes?since={since}&limit=2")).json
        seen += [change["key"] for change in answer["changes"]]
        since = answer["revision"]
    assert seen == [f"maps/m/{number}" for number in range(5)]
    assert since == 47


async def test_a_watch_waits_for_the_first_change(world, autojump_clock):
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def later() -> None:
            await trio.sleep(7)
            world.stored.change(ENTRY, b"\x01")

        answer = (await world.ask("GET", "/kv/changes?since=42&wait=30")).json
        assert [change["key"] for change in answer["changes"]] == [ENTRY]
        assert trio.current_time() < 20
    assert (await world.ask("GET", "/kv/changes?since=43&wait=5")).json == {"changes": [], "revision": 43}
    assert world.stored.watchers == []


async def test_a_watch_from_too_long_ago_is_told_so(world):
    """Silence would look like nothing having happened."""
    world.stored.history.restored(100)
    world.stored.revision = 100
    answer = await world.ask("GET", "/kv/changes?since=42")
    assert answer.status == 410
    assert answer.json["type"] == "urn:aether:compacted"
    assert answer.json["kept"] == 100
    assert (await world.ask("GET", "/kv/changes?since=101")).status == 400


# --- backups ----------------------------------------------------------------------------------------------------------


async def test_a_backup_needs_the_token_and_everything_acknowledged(world):
    """It is all the data of the cluster in one answer."""
    assert (await world.ask("GET", "/backup", token=None)).status == 401
    answer = await world.ask("GET", "/backup")
    assert b"".join(answer.response.parts) == b"abc"
    assert answer.response.headers["X-Aether-Revision"] == "42"
    assert world.rows.barriers == 1
    await world.ask("GET", "/backup?consistent=false")
    assert world.rows.barriers == 1


async def test_a_backup_without_a_majority_is_refused_unless_asked_for(world, autojump_clock):
    """A stale one must be a decision, not an accident."""
    world.rows.barrier_s = 100
    assert (await world.ask("GET", "/backup")).status == 503
    assert world.backups.opened == 0
    assert (await world.ask("GET", "/backup?consistent=false")).status == 200


class Applied:
    """The rows of one node, which applies entries in groups of its own."""

    def __init__(self, entries, groups):
        self.store, self.history = Store(), ChangeHistory()
        self.store.listen(lambda a: self.history.applied(self.store.revision, a.changed, a.deleted))
        for start, end in itertools.pairwise([0, *groups, len(entries)]):
            self.store.apply(entries[start:end])

    @property
    def revision(self):
        return self.store.revision

    def page(self, prefix, after, limit):
        return [(key, row.value, row.version) for key, row in self.store.page(prefix, after, limit)]

    def changed_after(self, revision, prefix):
        return self.history.after(revision, prefix)

    def watch(self, prefix):
        return contextlib.nullcontext()


async def test_a_watcher_that_goes_on_at_another_node_misses_no_deletion():
    """Its page ended within what one node had applied at once, and the other had not."""
    changes = [("a", b"1"), ("b", b"1"), ("a", None), ("b", b"2"), ("c", b"1")]
    commands = [encode_command(Apply(0, 0, 0, (), ((f"maps/m/{key}", value),))) for key, value in changes]
    entries = [Entry(index, 1, EntryKind.COMMAND, stamped(command, 0)) for index, command in enumerate(commands, 1)]
    one, other = Applied(entries, [2]), Applied(entries, [2, 3, 4])

    first = await list_changes(one, {"since": 2, "limit": 1})
    rest = await list_changes(other, {"since": first["revision"], "limit": 9})
    seen = [(change["key"], change["revision"], change["deleted"]) for change in first["changes"] + rest["changes"]]
    assert seen == [("maps/m/a", 3, True), ("maps/m/b", 4, False), ("maps/m/c", 5, False)]
