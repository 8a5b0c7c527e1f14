"""News of the commit index that wait for a better carrier: none may be lost that nothing else tells."""

from aether.consensus.messages import AppendEntries, Heartbeat
from aether.consensus.notices import CommitNotices
from aether.model.ids import LogIndex, NodeId, Term

B, C = NodeId("b"), NodeId("c")
LAST = LogIndex(9)


def commit(index: int, number: int = 0) -> Heartbeat:
    return Heartbeat(term=Term(1), commit_index=LogIndex(index), round=number)


def append(commit_index: int) -> AppendEntries:
    one = LogIndex(1)
    return AppendEntries(term=Term(1), prev_index=one, prev_term=Term(1), commit_index=LogIndex(commit_index))


def test_only_what_tells_nothing_but_the_commit_index_is_held_back() -> None:
    """A heartbeat that wants an answer proves that the leader lives, and must not wait."""
    notices = CommitNotices()
    assert not notices.holds_back(B, commit(5, number=1), LAST)
    assert not notices.holds_back(B, append(5), LAST)
    assert not notices
    assert notices.holds_back(B, commit(5), LAST)
    assert notices


def test_the_newest_notice_of_each_follower_is_given_once() -> None:
    """An older one says nothing more."""
    notices = CommitNotices()
    for to, index in ((B, 5), (C, 5), (B, 7)):
        assert notices.holds_back(to, commit(index), LAST)
    assert notices.take() == [(B, commit(7)), (C, commit(5))]
    assert notices.take() == []


def test_entries_take_the_place_of_the_notice_to_the_same_follower_alone() -> None:
    """They carry the commit index as well; the other follower has not heard it."""
    notices = CommitNotices()
    for to in (B, C):
        assert notices.holds_back(to, commit(5), LAST)
    assert not notices.holds_back(B, append(6), LAST)
    assert notices.take() == [(C, commit(5))]


def test_whoever_waits_for_an_entry_hears_of_every_commit_until_it_has_all() -> None:
    """On the follower a caller sleeps until its node knows; a later message would find it asleep."""
    notices = CommitNotices()
    notices.awaited_by(B)
    assert not notices.holds_back(B, commit(5), LAST)
    assert notices.holds_back(C, commit(5), LAST)
    assert not notices.holds_back(B, commit(9), LAST)
    assert notices.holds_back(B, commit(10), LogIndex(10))


def test_what_is_told_at_once_leaves_nothing_older_behind() -> None:
    """It would be sent after it, and say less."""
    notices = CommitNotices()
    assert notices.holds_back(B, commit(5), LAST)
    notices.awaited_by(B)
    assert not notices.holds_back(B, commit(6), LAST)
    assert not notices


def test_a_node_that_leads_no_more_remembers_nobody() -> None:
    """Nodes come and go for years, and their ids never come back."""
    notices = CommitNotices()
    notices.awaited_by(B)
    notices.await_nothing()
    assert notices.holds_back(B, commit(5), LAST)
