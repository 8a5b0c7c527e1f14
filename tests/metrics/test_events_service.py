"""The events of one node: every change once, whoever reads sees all, nobody is buffered for."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from aether.kv import keys
from aether.kv.store import RowChange
from aether.management.event_queries import read_event_query
from aether.management.event_streams_service import EventStream
from aether.metrics.events import EventType, Place, Since
from aether.metrics.events_service import Events, FellBehind
from aether.model.artifact import Artifact
from aether.model.limits import EVENTS_KEPT_MAX, EVENTS_PENDING_MAX
from aether.model.rows import DesiredRow
from aether.model.setting import SettingRow

RAW = keys.setting("x").encode(SettingRow(value="1", by="ann"))
ORDERS = Artifact.parse("shop:orders:1.0.0")


class Store:
    """What Events asks of a KvService; the test tells it what was applied."""

    def __init__(self):
        self.revision, self.log_time_ms, self.rows = 0, 0, {}

    def observe(self, prefixes, observer):
        self.observer = observer

    def scan(self, prefix):
        return ((text, raw, 1) for text, raw in sorted(self.rows.items()) if text.startswith(prefix))

    def change(self, count=1):
        """So many changes of a setting, each of its own entry."""
        for _ in range(count):
            self.revision += 1
            self.observer.changed([RowChange(self.revision, 1000 * self.revision, keys.setting("x").text, RAW, RAW)])


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def events(store):
    return Events("n1", "i1", store, lambda: 5.0)


def test_whoever_reads_sees_everything_that_is_applied_though_no_task_ran(store, events):
    store.change(3)
    assert [event.id for event in events.after(Place(0, 0))] == ["1.0", "2.0", "3.0"]


def test_nothing_is_derived_while_it_is_applied_unless_very_much_waits(store, events):
    store.change(EVENTS_PENDING_MAX)
    assert events._events.newest == 0
    store.change(1)
    assert events._events.newest == EVENTS_PENDING_MAX + 1


async def test_a_follower_that_is_slower_than_events_are_forgotten_is_ended(store, events, autojump_clock):
    """Its place in the log is all that is kept for it."""
    following = events.follow()
    store.change(1)
    assert (await anext(following)).id == "1.0"
    store.change(EVENTS_KEPT_MAX + 1)
    with pytest.raises(FellBehind):
        await anext(following)


async def test_the_stream_of_such_a_client_ends_so_that_it_comes_back(store, events, autojump_clock):
    stream = EventStream(events, read_event_query({}))
    store.change(EVENTS_KEPT_MAX + 1)
    assert [event async for event in stream] == []
    again = EventStream(events, read_event_query({}, "0.0"))
    first = await anext(again)
    assert (first.name, first.data) == ("truncated", '{"truncated":true,"keptAfter":"1.0"}')
    assert (await anext(again)).id == "2.0"


async def test_a_restored_snapshot_begins_the_log_anew_and_ends_who_followed(store, events, autojump_clock):
    following = events.follow()
    store.change(1)
    store.rows[keys.desired(ORDERS.base).text] = keys.desired(ORDERS.base).encode(
        DesiredRow(artifact=ORDERS, instances=1, blueprint="b")
    )
    store.revision, store.log_time_ms = 50, 50_000
    store.observer.restored()
    store.change(1)

    assert [event.id for event in events.after(Place(0, 0))] == ["51.0"]
    assert events.log.is_forgotten(Since(place=Place(1, 0)))
    with pytest.raises(FellBehind):
        await anext(following)


async def test_who_waits_is_woken_soon_after_a_change(store, events, autojump_clock, nursery):
    await nursery.start(events.run)
    following, got = events.follow(), []

    async def listen():
        got.append(await anext(following))

    nursery.start_soon(listen)
    await trio.testing.wait_all_tasks_blocked()
    store.change(1)
    await trio.testing.wait_all_tasks_blocked()

    assert [event.id for event in got] == ["1.0"]


async def test_an_event_of_the_node_comes_behind_what_was_applied_before(store, events):
    store.change(1)
    events.local(EventType.DISK_FULL, "n1", "full")
    found = events.select(None, lambda _: True, 10).events

    assert [event.id for event in found] == ["1.0", "n1:i1:1"]


def test_a_rule_that_fails_costs_one_event_and_no_node(store, events, monkeypatch, caplog):
    """It runs as part of applying, when very much waits."""

    def broken(change):
        raise AttributeError("a bug")

    monkeypatch.setattr(events._derivation, "derive", broken)
    store.change(1)
    with caplog.at_level("ERROR"):
        (event,) = events.after(Place(0, 0))

    assert event.type is EventType.ROW_UNREADABLE
    assert "a bug" in caplog.text
