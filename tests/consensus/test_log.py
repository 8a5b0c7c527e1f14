"""The log: matching, truncation, cursors, and what storage has really acknowledged."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether.consensus.entry import EntryKind, new_entry
from aether.consensus.leftovers import FREED_MIN
from aether.consensus.log import RaftLog
from aether.consensus.quorum import Configuration
from aether.consensus.values import SnapshotMeta
from aether.errors import EntriesLost

EMPTY = ()


def entries_of(*terms, start=1):
    return [new_entry(start + i, t, EntryKind.COMMAND, f"{start + i}t{t}".encode()) for i, t in enumerate(terms)]


def log_of(*terms, committed=0):
    return RaftLog(entries_of(*terms), None, committed)


def terms_of(log):
    return [entry.term for entry in log.entries()]


def test_b05_a_late_shorter_append_removes_nothing():
    """Networks reorder: cutting a matching suffix would lose acknowledged entries."""
    log = log_of(1, 1, 1, 2)
    assert log.merge(1, 1, entries_of(1, start=2))
    assert terms_of(log) == [1, 1, 1, 2]


def test_only_from_the_first_conflict_is_anything_cut():
    """Raft 5.3: delete the existing entry that conflicts and all that follow it."""
    log = log_of(1, 1, 1, 1)
    assert log.merge(1, 1, entries_of(1, 3, start=2))
    assert terms_of(log) == [1, 1, 3]
    log.check()


def test_entries_behind_a_gap_or_another_term_are_refused():
    """The consistency check of AppendEntries."""
    log = log_of(1, 1)
    assert not log.merge(3, 1, entries_of(1, start=4))
    assert not log.merge(2, 2, entries_of(2, start=3))
    assert terms_of(log) == [1, 1]


def test_a_committed_entry_is_never_replaced():
    """If a leader contradicts a commit, the cluster is broken: stop, do not obey."""
    log = log_of(1, 1, committed=2)
    with pytest.raises(AssertionError, match="contradicts entry 2"):
        log.merge(1, 1, entries_of(2, start=2))


def test_a_commit_beyond_the_end_is_refused():
    """This node acknowledged entries that it lost."""
    with pytest.raises(EntriesLost, match="commit index 2 lies beyond the log, which ends at 1"):
        log_of(1).commit_to(2)


def test_the_commit_index_never_falls():
    """Old messages carry old commit indexes."""
    log = log_of(1, 1, committed=2)
    assert not log.commit_to(1)
    assert log.committed == 2


def test_b18_an_acknowledgement_of_overwritten_entries_attests_nothing():
    """ABA: write 1 held entry 2 of term 1; by the time it is durable, entry 2 is another one."""
    log = log_of(1)
    log.append(entries_of(1, 1, start=2))
    log.hand_to_storage(1)
    assert log.merge(1, 1, entries_of(2, 2, start=2))
    log.hand_to_storage(2)
    log.persisted(1)
    assert log.durable == 1
    log.persisted(2)
    assert log.durable == 3


def test_writes_are_acknowledged_together():
    """Group commit: one sync answers several writes."""
    log = log_of()
    for number in (1, 2, 3):
        log.append(entries_of(1, start=number))
        assert [e.index for e in log.hand_to_storage(number)] == [number]
    log.persisted(3)
    assert log.durable == 3


def test_only_durable_committed_entries_are_handed_to_the_machine_once():
    """An applied entry that is not on this disk could be lost by a crash while its effect was seen."""
    log = log_of()
    log.append(entries_of(1, 1, 1))
    log.hand_to_storage(1)
    log.commit_to(2)
    assert log.hand_to_apply(2**30) == EMPTY
    log.persisted(1)
    assert [e.index for e in log.hand_to_apply(2**30)] == [1, 2]
    assert log.hand_to_apply(2**30) == EMPTY


def test_applying_comes_in_portions():
    """After a restart a long log must not be one huge batch."""
    log = RaftLog(entries_of(*[1] * 10), None, 10)
    portions = []
    while entries := log.hand_to_apply(len(entries_of(1)[0].encoded) * 4):
        portions.append(len(entries))
    assert portions == [4, 4, 2]


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [((1, 1, 2), (3, 2), True), ((1, 1, 2), (2, 3), True), ((1, 1, 2), (9, 1), False), ((1, 1, 2), (2, 2), False)],
)
def test_the_later_term_wins_then_the_longer_log(ours, theirs, expected):
    """Raft 5.4.1 defines up-to-date by the last entry alone."""
    assert log_of(*ours).is_up_to_date(*theirs) is expected


def test_a_hint_skips_a_whole_term():
    """Conflict back-tracking asks once per term, not once per entry."""
    log = log_of(1, 1, 1, 4, 4, 4)
    assert log.last_at_most(6, 3) == (3, 1)
    assert log.last_at_most(6, 4) == (6, 4)
    assert log.last_at_most(2, 9) == (2, 1)
    assert log.last_at_most(6, 0) == (0, 0)


def test_compaction_keeps_a_tail_and_the_term_before_it():
    """A follower that lags a little must not need the whole snapshot."""
    log = RaftLog(entries_of(1, 1, 2, 2, 3), None, 5)
    log.hand_to_apply(2**30)
    log.applied_to(5)
    log.compact(4, 3)
    assert (log.first_index, log.snapshot_index, log.term_at(2), log.term_at(1)) == (3, 4, 1, None)
    assert [e.index for e in log.slice(3, 2**30)] == [3, 4, 5]
    log.check()


def test_a_received_snapshot_replaces_the_log_and_waits_for_its_disk():
    """Entries behind the snapshot are not applied before the snapshot is with the machine."""
    log = log_of(1, 1, committed=1)
    log.restart_behind(SnapshotMeta(10, 3, Configuration(("a",))))
    log.append(entries_of(3, start=11))
    log.hand_to_storage(1)
    log.commit_to(11)
    assert (log.first_index, log.term_at(10)) == (11, 3)
    log.check()
    log.persisted(1)
    assert log.hand_to_apply(2**30) == EMPTY
    log.restored(10)
    assert [e.index for e in log.hand_to_apply(2**30)] == [11]
    log.check()


def test_a_snapshot_that_would_undo_commits_is_refused():
    """Installing the past would apply entries twice."""
    log = log_of(1, 1, 1, committed=3)
    with pytest.raises(AssertionError, match="would undo"):
        log.restart_behind(SnapshotMeta(2, 1, Configuration(("a",))))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.integers(1, 200), st.data())
@settings(max_examples=100)
def test_a_slice_takes_as_much_as_fits_and_at_least_one(sizes, bytes_max, data):
    """One AppendEntries never exceeds its bytes, and one large entry still gets through."""
    entries = [new_entry(i + 1, 1, EntryKind.COMMAND, b"x" * size) for i, size in enumerate(sizes)]
    log = RaftLog(entries, None, 0)
    start = data.draw(st.integers(1, len(sizes)))
    got = log.slice(start, bytes_max)
    assert got == tuple(entries[start - 1 : start - 1 + len(got)])
    assert got
    total = sum(len(e.encoded) for e in got)
    assert total <= bytes_max or len(got) == 1
    following = entries[start - 1 + len(got) :]
    assert not following or total + len(following[0].encoded) > bytes_max


@given(st.lists(st.integers(1, 4), max_size=12), st.lists(st.integers(1, 4), max_size=12))
@settings(max_examples=150)
def test_merging_a_leaders_log_step_by_step_gives_the_leaders_log(ours, theirs):
    """Whatever two logs look like, probing with hints ends, and ends equal (log matching)."""
    follower, leader = log_of(*sorted(ours)), log_of(*sorted(theirs))
    # Two entries of one index and term are the same only if what precedes them is: make it so, as Raft does.
    common = 0
    while common < min(len(ours), len(theirs)) and follower.term_at(common + 1) == leader.term_at(common + 1):
        common += 1
    follower = log_of(*sorted(ours)[:common], *[t + 10 for t in sorted(ours)[common:]])
    leader = log_of(*sorted(theirs)[:common], *[t + 20 for t in sorted(theirs)[common:]])
    prev, probes = leader.last_index, 0
    while not follower.merge(prev, leader.term_at(prev), leader.slice(prev + 1, 2**30)):
        hint, term = follower.last_at_most(prev, leader.term_at(prev))
        prev = min(leader.last_at_most(hint, term)[0], hint)
        probes += 1
    assert probes <= len(set(terms_of(leader))) + 1
    assert terms_of(follower)[: leader.last_index] == terms_of(leader)
    follower.check()


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=20),
    st.integers(0, 30),
    st.integers(0, 600),
    st.integers(0, 19),
    st.data(),
)
def test_a_tail_keeps_as_much_as_its_two_limits_allow(sizes, entries_max, bytes_max, compacted, data):
    """Followers that lag are served from it; it is held in memory."""
    entries = [new_entry(at, 1, EntryKind.COMMAND, bytes(size)) for at, size in enumerate(sizes, 1)]
    log = RaftLog(entries, None, len(entries))
    log.hand_to_apply(10**9)
    log.applied_to(len(entries))
    index = data.draw(st.integers(1, len(entries)))
    log.compact(index, min(compacted, index) + 1)

    start = log.tail_from(index, entries_max, bytes_max)

    def fits(first):
        tail = entries[first - 1 : index]
        return len(tail) <= entries_max and sum(len(entry.encoded) for entry in tail) <= bytes_max

    held_from = max(log.first_index, start)
    assert 1 <= start <= max(index + 1, 1)
    assert fits(held_from) or held_from > index
    assert start <= log.first_index or not fits(start - 1)


def test_a_long_compacted_part_is_given_back_little_by_little():
    """A hundred thousand entries at once held the loop for 40 ms; what is kept is the same either way."""
    count = 3 * FREED_MIN
    log = log_of(*[1] * (count + 5), committed=count + 5)
    log.commit_to(count + 5)
    log.hand_to_apply(2**40)
    log.applied_to(count + 5)
    dropped = next(iter(log.entries()))
    held = sys.getrefcount(dropped)

    log.compact(count, count + 1)

    assert [entry.index for entry in log.entries()] == list(range(count + 1, count + 6))
    assert sys.getrefcount(dropped) == held
    for _ in range(6):
        log.free()
    assert sys.getrefcount(dropped) == held - 1
    log.check()
