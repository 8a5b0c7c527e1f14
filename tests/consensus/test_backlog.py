"""Committed entries that wait for the disk: in order, and not for ever."""

from aether.consensus.backlog import APPLY_WAITS_S, Backlog
from aether.consensus.entry import Entry, EntryKind, new_entries
from aether.model.ids import LogIndex, Term


def entries(start: int, count: int) -> list[Entry]:
    return new_entries(LogIndex(start), Term(1), EntryKind.COMMAND, [b"x"] * count)


def test_entries_come_out_once_and_in_order() -> None:
    """A state machine that gets one twice or too early stops the node."""
    backlog = Backlog()
    backlog.add(entries(1, 2), 0.0)
    backlog.add(entries(3, 1), 0.0)
    assert backlog
    taken = [[entry.index for entry in backlog.take(0.0, writes_first=False)] for _ in range(3)]
    assert taken == [[1, 2], [3], []]
    assert not backlog


def test_they_wait_for_a_write_but_not_for_a_disk_that_hangs() -> None:
    """A reader on this node would wait as long as the disk does."""
    backlog = Backlog()
    backlog.add(entries(1, 1), 5.0)
    backlog.add(entries(2, 1), 5.0 + APPLY_WAITS_S / 2)
    assert not backlog.take(5.0 + APPLY_WAITS_S / 2, writes_first=True)
    assert backlog.take(5.0 + APPLY_WAITS_S, writes_first=True)
    assert backlog.take(5.0 + APPLY_WAITS_S, writes_first=True)
    backlog.add(entries(3, 1), 6.0)
    assert not backlog.take(6.0, writes_first=True)


def test_a_snapshot_takes_the_place_of_what_waits() -> None:
    """It covers them, and the state machine would refuse to go back."""
    backlog = Backlog()
    backlog.add(entries(1, 3), 0.0)
    backlog.clear()
    assert not backlog.take(1.0, writes_first=False)
