"""The way to the disk and back without a task: what a callback may not lose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import outcome
import pytest
import trio
import trio.testing

from aether.consensus.entry import EntryKind, new_entry
from aether.consensus.values import HardState, StorageWrite
from aether.consensus.writer_service import FULL_RETRY_S, DiskWriter
from aether.errors import StorageFailed, StorageFull
from aether.storage.memory import MemoryStorage


class HeldWork:
    """Work that ends when the test says so."""

    def __init__(self) -> None:
        self.held: list[tuple[Callable[[], Any], Callable[[outcome.Outcome[Any]], None]]] = []

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def run_then(self, function: Callable[[], Any], then: Callable[[outcome.Outcome[Any]], None]) -> None:
        self.held.append((function, then))

    def end_one(self) -> None:
        function, then = self.held.pop(0)
        then(outcome.capture(function))


class Disk(MemoryStorage):
    """Keeps the numbers of each group commit; `problem` is raised instead of the next."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[list[int]] = []
        self.problem: Exception | None = None

    def write(self, writes: Any) -> None:
        problem, self.problem = self.problem, None
        if problem is not None:
            raise problem
        self.commits.append([write.number for write in writes])
        super().write(writes)


class Rig:
    def __init__(self, work: Any = None) -> None:
        self.work, self.disk, self.news = work or HeldWork(), Disk(), 0
        self.disk.load()
        self.writer = DiskWriter("a", self.disk, self.work, self._attend)
        self.writer.begin(HardState())

    def _attend(self) -> None:
        self.news += 1

    def put(self, number: int) -> None:
        entry = new_entry(number, 1, EntryKind.COMMAND, b"x")
        self.writer.put(StorageWrite(number, HardState(1, "a", 0), (entry,)))


@pytest.fixture
def rig():
    return Rig()


async def test_a_write_begins_where_it_is_asked_for_and_the_next_where_it_ends(rig, nursery):
    """No task is woken in between; what came meanwhile is one group commit."""
    nursery.start_soon(rig.writer.run)
    await trio.testing.wait_all_tasks_blocked()
    rig.put(1)
    assert len(rig.work.held) == 1
    rig.put(2)
    rig.put(3)
    assert len(rig.work.held) == 1
    rig.work.end_one()
    assert (rig.writer.acknowledged, rig.news, len(rig.work.held)) == (1, 1, 1)
    rig.work.end_one()
    assert (rig.writer.acknowledged, rig.news) == (3, 2)
    assert rig.disk.commits == [[1], [2, 3]]


async def test_what_was_put_before_it_ran_is_written_when_it_runs(rig, nursery):
    """The core may want a write in its first turn."""
    rig.put(1)
    assert not rig.work.held
    nursery.start_soon(rig.writer.run)
    await trio.testing.wait_all_tasks_blocked()
    rig.work.end_one()
    assert rig.disk.commits == [[1]]


async def test_a_node_that_stops_waits_for_the_write_under_way(rig, nursery):
    """Its store is closed right behind it."""
    ended = trio.Event()

    async def run(task_status=trio.TASK_STATUS_IGNORED):
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await rig.writer.run()
        ended.set()

    scope = await nursery.start(run)
    await trio.testing.wait_all_tasks_blocked()
    rig.put(1)
    scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert not ended.is_set()
    rig.put(2)
    rig.work.end_one()
    await trio.testing.wait_all_tasks_blocked()
    assert ended.is_set()
    assert rig.disk.commits == [[1]]
    assert not rig.work.held


async def test_after_a_failure_nothing_is_written_any_more(rig, nursery):
    """The kernel may have dropped what it had not written."""
    nursery.start_soon(rig.writer.run)
    await trio.testing.wait_all_tasks_blocked()
    failure = rig.disk.problem = StorageFailed("disk", "input/output error")
    rig.put(1)
    rig.put(2)
    rig.work.end_one()
    rig.put(3)
    assert rig.writer.failure is failure
    assert (rig.news, rig.work.held, rig.writer.acknowledged) == (1, [], 0)


async def test_a_write_that_found_no_space_comes_again_with_all_that_waited(rig, nursery, autojump_clock):
    """Nothing of it was written."""
    nursery.start_soon(rig.writer.run)
    await trio.testing.wait_all_tasks_blocked()
    rig.disk.problem = StorageFull("disk", 1)
    rig.put(1)
    rig.work.end_one()
    rig.put(2)
    assert (rig.writer.is_full, rig.work.held) == (True, [])
    await trio.sleep(1.1 * FULL_RETRY_S)
    rig.work.end_one()
    assert (rig.writer.is_full, rig.writer.acknowledged, rig.disk.commits) == (False, 2, [[1, 2]])


async def test_a_defect_of_the_storage_is_raised_by_the_task(rig):
    """Where it shows nothing can be raised, and it must not be lost."""

    async def meet_it():
        await trio.testing.wait_all_tasks_blocked()
        rig.disk.problem = ZeroDivisionError()
        rig.put(1)
        rig.work.end_one()

    async def serve():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(meet_it)
            await rig.writer.run()

    with pytest.raises(BaseExceptionGroup) as raised:
        await serve()
    assert raised.group_contains(ZeroDivisionError)


async def test_a_thread_that_cannot_be_had_ends_the_node_and_is_not_waited_for(rig, nursery):
    """The operating system has no more of them."""

    def none_left(function, then):
        raise RuntimeError("can't start new thread")

    rig.work.run_then = none_left
    nursery.start_soon(rig.writer.run)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(RuntimeError, match="can't start"):
        rig.put(1)
    nursery.cancel_scope.cancel()


async def test_a_defect_that_shows_in_the_last_write_of_a_node_that_stops_is_raised(rig, nursery):
    """Nobody else would tell of it."""
    told = []

    async def run():
        try:
            await rig.writer.run()
        except ZeroDivisionError as error:
            told.append(error)

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as running:
            running.start_soon(run)
            await trio.testing.wait_all_tasks_blocked()
            rig.put(1)
            rig.disk.problem = ZeroDivisionError()
            nursery.start_soon(_end_when_blocked, rig)
            scope.cancel()
    assert told


async def _end_when_blocked(rig):
    await trio.testing.wait_all_tasks_blocked()
    rig.work.end_one()


class TaskWork:
    """Work that a task has to wait for."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*args)


async def test_a_turn_that_comes_while_it_is_being_stopped_begins_nothing(nursery):
    """The core takes its last turn beside it."""
    rig = Rig(TaskWork())
    async with trio.open_nursery() as running:
        running.start_soon(rig.writer.run)
        await trio.testing.wait_all_tasks_blocked()

        async def take_turns():
            for number in range(1, 20):
                rig.put(number)
                await trio.lowlevel.cancel_shielded_checkpoint()

        nursery.start_soon(take_turns)
        running.cancel_scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert rig.writer.failure is None
