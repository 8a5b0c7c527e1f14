"""A watch only wakes; it may wake too often, never too rarely."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from aether.errors import Overloaded
from aether.kv.commands import Apply, encode_command
from aether.kv.watch import WATCHERS_MAX, Watcher, WatcherSet
from aether.kv.watch_service import Watch

KEYS = st.text("ab/", min_size=1, max_size=4)


@given(
    st.lists(st.tuples(KEYS, KEYS), min_size=1, max_size=5),
    st.lists(st.tuples(st.lists(KEYS, max_size=3), st.sets(st.integers(0, 4))), max_size=12),
)
def test_a_watcher_is_marked_exactly_when_one_of_its_prefixes_changed(prefixes, steps):
    """Compared with looking at everything each time; wakes once per mark, however many changes."""
    watchers, wakes = WatcherSet(), [0] * len(prefixes)

    def waker(number):
        def wake():
            wakes[number] += 1

        return wake

    all_of_them = [Watcher(pair, waker(number)) for number, pair in enumerate(prefixes)]
    for watcher in all_of_them:
        watchers.add(watcher)
    expected, marks = [False] * len(prefixes), [0] * len(prefixes)
    for changed, cleared in steps:
        watchers.mark(changed)
        for number, pair in enumerate(prefixes):
            if not expected[number] and any(key.startswith(pair) for key in changed):
                expected[number] = True
                marks[number] += 1
        assert [watcher.marked for watcher in all_of_them] == expected
        assert wakes == marks
        for number in cleared & set(range(len(prefixes))):
            watchers.clear(all_of_them[number])
            expected[number] = False


def test_watchers_are_bounded():
    """A leak of watches is an error that names it, not a slow store."""
    watchers = WatcherSet()
    for _ in range(WATCHERS_MAX):
        watchers.add(Watcher(("a",), lambda: None))

    with pytest.raises(Overloaded, match="watches"):
        watchers.add(Watcher(("a",), lambda: None))


async def test_a_watch_wakes_for_its_prefix_alone(cluster, autojump_clock):
    """Other rows change all the time."""
    kv = cluster.kv["b"]
    async with kv.watch("maps/m/", "desired/") as watch:
        await _put(cluster, "maps/other/k")
        with trio.move_on_after(1) as scope:
            await watch.changed()
        assert scope.cancelled_caught

        await _put(cluster, "desired/a:b")
        with trio.fail_after(1):
            await watch.changed()


async def test_many_changes_are_one_wake(cluster, autojump_clock):
    """The reader reads everything anyway."""
    async with cluster.kv["a"].watch("k") as watch:
        for _ in range(5):
            await _put(cluster, "k")
        await watch.changed()
        with trio.move_on_after(1) as scope:
            await watch.changed()

    assert scope.cancelled_caught


async def test_a_reader_always_ends_at_the_last_level(cluster, autojump_clock):
    """However slow the reader and however fast the writer: what it sees in the end is the end."""
    kv, seen = cluster.kv["c"], []

    async def read():
        async with kv.watch("k") as watch:
            while True:
                seen.append(cluster.stores["c"].version("k"))
                await trio.sleep(0.003)
                await watch.changed()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for turn in range(40):
            await _put(cluster, "k")
            await trio.sleep(0.0007 * (turn % 7))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    assert seen[-1] == cluster.stores["c"].version("k")
    assert len(seen) < 42


async def test_a_change_between_two_waits_is_not_lost(cluster, autojump_clock):
    """The mark stands until it is taken."""
    async with cluster.kv["a"].watch("k") as watch:
        await _put(cluster, "k")
        await trio.sleep(1)
        with trio.fail_after(0.1):
            await watch.changed()


async def test_a_cancelled_wait_leaves_the_mark(autojump_clock):
    """Cancelled in the moment of a change, the next wait returns at once."""
    watchers = WatcherSet()
    async with Watch(watchers, ("k",)) as watch:
        watchers.mark(["k"])
        with trio.CancelScope() as scope:
            scope.cancel()
            await watch.changed()
        with trio.fail_after(1):
            await watch.changed()


async def test_a_restored_snapshot_wakes_every_watch(cluster, autojump_clock):
    """Nobody can say what changed."""
    async with cluster.kv["b"].watch("k") as watch:
        await wait_all_tasks_blocked()
        cluster.stores["b"].restore(cluster.stores["a"].snapshot(), cluster.stores["a"].revision)
        with trio.fail_after(1):
            await watch.changed()


async def test_a_left_watch_is_forgotten(cluster, autojump_clock):
    """Whoever leaves costs nothing any more."""
    watchers = cluster.kv["a"]._watchers
    async with cluster.kv["a"].watch("k"):
        assert len(watchers) == 1

    assert len(watchers) == 0
    await _put(cluster, "k")


async def test_a_watch_belongs_to_one_task(autojump_clock):
    """A second waiter would steal the first one's wake."""
    async with Watch(WatcherSet(), ("k",)) as watch, trio.open_nursery() as nursery:
        nursery.start_soon(watch.changed)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await watch.changed()
        nursery.cancel_scope.cancel()


async def _put(cluster, text):
    """A row at any text, without a session."""
    cluster.kv[cluster.leader]._proposer.propose_own(encode_command(Apply(0, 0, 0, (), ((text, b""),))))
    await trio.sleep(0.01)
