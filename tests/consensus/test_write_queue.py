"""The queue between consensus and the disk."""

from __future__ import annotations

from aether.consensus.entry import EntryKind, new_entry
from aether.consensus.values import HardState, StorageWrite
from aether.consensus.write_queue import WriteQueue


def entry_write(number: int, state: HardState | None = None) -> StorageWrite:
    return StorageWrite(number, state, (new_entry(number, 1, EntryKind.COMMAND, b"x"),))


def commit_write(number: int, commit: int) -> StorageWrite:
    return StorageWrite(number, HardState(1, "a", commit))


def fresh() -> WriteQueue:
    return WriteQueue(HardState(1, "a", 0))


def numbers(batch: list[StorageWrite]) -> list[int]:
    return [write.number for write in batch]


def test_what_queues_during_a_write_shares_the_next_one():
    """Group commit, without a timer."""
    queue = fresh()
    assert queue.put(entry_write(1))
    first = queue.take(0.0)
    assert not queue.put(entry_write(2))
    assert not queue.put(entry_write(3))
    assert queue.acknowledged == 0
    queue.done(first)
    assert queue.acknowledged == 1
    assert queue.has_work
    assert numbers(queue.take(1.0)) == [2, 3]


def test_a_commit_index_alone_costs_no_write():
    """At rest, and between commands, the disk stays still and the core is told at once."""
    queue = fresh()
    assert not queue.put(commit_write(1, 5))
    assert queue.acknowledged == 1
    assert not queue.has_work


def test_a_commit_index_is_written_with_the_next_entries():
    """A restart should not have to learn what was known."""
    queue = fresh()
    queue.put(commit_write(1, 5))
    queue.put(commit_write(2, 6))
    assert queue.put(entry_write(3))
    assert numbers(queue.take(0.0)) == [2, 3]


def test_a_commit_index_behind_a_write_is_not_acknowledged_before_it():
    """An acknowledgement covers all earlier numbers."""
    queue = fresh()
    queue.put(entry_write(1))
    batch = queue.take(0.0)
    queue.put(commit_write(2, 1))
    assert queue.acknowledged == 0
    queue.done(batch)
    assert queue.acknowledged == 2
    assert not queue.has_work


def test_a_vote_or_a_term_needs_the_disk():
    """A promise is durable before it is made."""
    queue = fresh()
    assert queue.put(StorageWrite(1, HardState(2, None, 0)))
    queue.done(queue.take(0.0))
    assert queue.put(StorageWrite(2, HardState(2, "b", 0)))
    queue.done(queue.take(0.0))
    assert not queue.put(StorageWrite(3, HardState(2, "b", 7)))


def test_a_refused_batch_comes_first_again():
    """A full disk wrote nothing: order and content stay."""
    queue = fresh()
    queue.put(entry_write(1))
    batch = queue.take(0.0)
    queue.put(entry_write(2))
    queue.put_back(batch)
    assert queue.is_stalled(0.0, 1.0)
    assert numbers(queue.take(1.0)) == [1, 2]
    assert queue.acknowledged == 0


def test_a_batch_that_takes_longer_than_the_limit_is_a_stall():
    """The service of a leader asks this at every tick."""
    queue = fresh()
    assert not queue.is_stalled(100.0, 1.0)
    queue.put(entry_write(1))
    batch = queue.take(100.0)
    assert not queue.is_stalled(101.0, 1.0)
    assert queue.is_stalled(101.1, 1.0)
    queue.done(batch)
    assert not queue.is_stalled(200.0, 1.0)
