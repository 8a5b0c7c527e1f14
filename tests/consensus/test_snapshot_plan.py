"""When the state is saved."""

from __future__ import annotations

from aether.consensus.entry import Entry, EntryKind, new_entry
from aether.consensus.quorum import Configuration
from aether.consensus.snapshot_plan import SnapshotPlan
from aether.consensus.values import SnapshotMeta, StoredSnapshot
from aether.model.limits import LOG_BYTES_BETWEEN_SNAPSHOTS, LOG_BYTES_BETWEEN_SNAPSHOTS_MAX


def commands(first: int, last: int, size: int = 10) -> list[Entry]:
    return [new_entry(index, 3, EntryKind.COMMAND, bytes(size)) for index in range(first, last + 1)]


def snapshot(index: int, size: int = 10) -> StoredSnapshot:
    return StoredSnapshot(SnapshotMeta(index, 3, Configuration(("a",))), size, 0)


def test_a_snapshot_is_due_after_enough_entries():
    """The log of a small state is short, and so is its replay."""
    plan = SnapshotPlan(100)
    plan.applied(commands(1, 99))
    assert not plan.is_due()
    plan.applied(commands(100, 100))
    assert plan.is_due()
    assert plan.applied_index == 100
    plan.begun()
    assert not plan.is_due()


def test_a_large_state_is_saved_less_often():
    """Otherwise a busy node with a large state would do little else than save it."""
    plan = SnapshotPlan(100)
    plan.applied(commands(1, 100))
    plan.begun()
    plan.weighed(snapshot(100, size=5_000))
    plan.applied(commands(101, 400))
    assert not plan.is_due()
    plan.applied(commands(401, 600))
    assert plan.is_due()


def test_a_huge_state_is_saved_before_the_log_is_huge_too():
    """The log is held in memory."""
    plan = SnapshotPlan(1)
    plan.applied(commands(1, 100))
    plan.begun()
    plan.weighed(snapshot(100, size=2 * LOG_BYTES_BETWEEN_SNAPSHOTS_MAX))
    plan.applied(commands(101, 164, size=LOG_BYTES_BETWEEN_SNAPSHOTS_MAX // 64))
    assert plan.is_due()


def test_a_restored_snapshot_counts_as_taken():
    """A node that was just given its state need not save it."""
    plan = SnapshotPlan(100)
    plan.restored(snapshot(5_000))
    plan.applied(commands(5_001, 5_050))
    assert not plan.is_due()


def test_few_but_long_entries_are_saved_too():
    """The log is held in memory, whatever the number of its entries."""
    plan = SnapshotPlan(100)
    plan.applied(commands(1, 7, size=LOG_BYTES_BETWEEN_SNAPSHOTS // 8))
    assert not plan.is_due()
    plan.applied(commands(8, 8, size=LOG_BYTES_BETWEEN_SNAPSHOTS // 8))
    assert plan.is_due()
