"""When a driver of the core may stop asking for more: too early, and something waits until the next mail."""

import pytest

from aether.consensus.entry import EntryKind, new_entries
from aether.consensus.values import Ready
from aether.model.ids import LogIndex, Term

ENTRIES = tuple(new_entries(LogIndex(4), Term(1), EntryKind.COMMAND, [b"x", b"y"]))


def test_messages_and_writes_alone_are_final() -> None:
    """Their consequences come as mail: an answer, an acknowledged write."""
    assert Ready().is_final(LogIndex(9))


def test_committed_entries_are_final_up_to_the_commit_index() -> None:
    """The core hands out so many bytes at once; the rest comes with the next look."""
    assert Ready(committed=ENTRIES).is_final(LogIndex(5))
    assert not Ready(committed=ENTRIES).is_final(LogIndex(6))


@pytest.mark.parametrize("ready", [Ready(reads=((1, LogIndex(5)),)), Ready(reads_refused=(1,))])
def test_answered_reads_are_not_final(ready: Ready) -> None:
    """Who asked meanwhile is put to the core when the answers are taken."""
    assert not ready.is_final(LogIndex(5))
