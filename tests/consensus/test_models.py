"""The log and its configurations beside models that are too simple to be wrong, through any history."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aether.consensus.entry import EntryKind, new_entry
from aether.consensus.log import RaftLog
from aether.consensus.membership import Configurations, encode_configuration
from aether.consensus.quorum import Configuration
from aether.consensus.values import SnapshotMeta

NOBODY = Configuration(())


def size(entries):
    return sum(len(entry.encoded) for entry in entries)


class LogBesideLists(RuleBasedStateMachine):
    """The model keeps every entry from 1 on in one list, never compacted, and the disk's entries in another."""

    def __init__(self):
        super().__init__()
        self.log = RaftLog((), None, 0, NOBODY)
        self.all = []
        self.disk = []
        self.queue = []  # (number, first index, entries)
        self.number = 0
        self.term = 1
        self.committed = self.applied = 0
        self.applied_entries = []

    def _entries(self, start, count):
        payload = b"%d" % self.term
        return [new_entry(start + i, self.term, EntryKind.COMMAND, payload) for i in range(count)]

    @rule(count=st.integers(1, 4), newer=st.booleans())
    def lead(self, count, newer):
        """This node leads, perhaps a new term, and appends."""
        self.term += newer
        added = self._entries(len(self.all) + 1, count)
        self.log.append(added)
        self.all += added

    @rule(cut=st.integers(0, 6), count=st.integers(0, 4), behind=st.integers(0, 3), newer=st.booleans())
    def follow(self, cut, count, behind, newer):
        """A leader agrees with this log but for the last `cut` entries, and sends the rest of its own, perhaps late."""
        agreed = max(self.committed, len(self.all) - cut)
        self.term += newer and agreed + count > 0
        theirs = self.all[:agreed] + (self._entries(agreed + 1, count) if newer else self.all[agreed : agreed + count])
        prev = max(self.committed, agreed - behind)
        if prev < self.log.first_index - 1:
            return
        assert self.log.merge(prev, theirs[prev - 1].term if prev else 0, theirs[prev:])
        if newer and count:
            self.all = theirs

    @rule(ahead=st.integers(1, 3))
    def refuse_what_does_not_fit(self, ahead):
        """Behind a gap, or behind an entry of another term."""
        before = list(self.log.entries())
        assert not self.log.merge(len(self.all) + ahead, self.term, [])
        if len(self.all) >= self.log.first_index:
            assert not self.log.merge(len(self.all), self.term + 1, self._entries(len(self.all) + 1, 1))
        assert list(self.log.entries()) == before

    @precondition(lambda self: self.log.has_unwritten)
    @rule()
    def hand_to_storage(self):
        self.number += 1
        handed = self.log.hand_to_storage(self.number)
        assert list(handed) == self.all[handed[0].index - 1 :]
        self.queue.append((self.number, handed))

    @precondition(lambda self: self.queue)
    @rule(count=st.integers(1, 3))
    def become_durable(self, count):
        for number, entries in self.queue[:count]:
            self.disk[entries[0].index - 1 :] = entries
            newest = number
        del self.queue[:count]
        self.log.persisted(newest)

    @rule(step=st.integers(0, 4))
    def commit(self, step):
        index = min(self.committed + step, len(self.all))
        assert self.log.commit_to(index) is (index > self.committed)
        self.committed = index

    @rule(bytes_max=st.integers(1, 60), finish=st.booleans())
    def apply(self, bytes_max, finish):
        given = self.log.hand_to_apply(bytes_max)
        assert list(given) == self.all[len(self.applied_entries) : len(self.applied_entries) + len(given)]
        assert not given or size(given) <= bytes_max or len(given) == 1
        self.applied_entries += given
        if finish and self.applied_entries:
            self.applied = len(self.applied_entries)
            self.log.applied_to(self.applied)

    @precondition(lambda self: self.applied)
    @rule(back=st.integers(0, 5), kept=st.integers(0, 3))
    def compact(self, back, kept):
        index = max(1, self.applied - back)
        self.log.compact(index, index - kept + 1)

    @precondition(lambda self: not self.queue and not self.log.has_unwritten)
    @rule(ahead=st.integers(1, 5))
    def receive_a_snapshot(self, ahead):
        """It covers more than this log has; the entries under it are known to the model alone."""
        self.term += 1
        missing = self._entries(len(self.all) + 1, ahead)
        self.all += missing
        index = len(self.all)
        self.log.restart_behind(SnapshotMeta(index, self.term, NOBODY))
        assert self.log.hand_to_apply(10**9) == ()
        self.log.restored(index)
        self.disk = list(self.all)
        self.log.durable = self.log.handed  # as the write that held the snapshot makes it
        self.committed = self.applied = index
        self.applied_entries = list(self.all)

    @invariant()
    def the_same_entries(self):
        first = self.log.first_index
        assert list(self.log.entries()) == self.all[first - 1 :]
        assert (self.log.last_index, self.log.committed) == (len(self.all), self.committed)
        assert self.log.last_term == (self.all[-1].term if self.all else 0)
        for index in range(first - 1, len(self.all) + 2):
            expected = 0 if index == 0 else self.all[index - 1].term if index <= len(self.all) else None
            assert self.log.term_at(index) == expected, index
        assert self.log.bytes_after(self.committed) == size(self.all[self.committed :])

    @invariant()
    def hints_are_the_last_entry_of_at_most_that_term(self):
        for term in range(self.term + 2):
            for index in (len(self.all), len(self.all) + 3, self.log.first_index):
                wanted = [e for e in self.log.entries() if e.index <= index and e.term <= term]
                if wanted:
                    assert self.log.last_at_most(index, term) == (wanted[-1].index, wanted[-1].term)

    @invariant()
    def nothing_counts_as_durable_that_the_disk_has_not_got(self):
        same = 0
        while same < min(len(self.all), len(self.disk)) and self.disk[same] == self.all[same]:
            same += 1
        assert self.log.durable <= same
        if not self.queue and not self.log.has_unwritten:
            assert self.log.durable == len(self.all)
        self.log.check()


class ConfigurationsBesideTheLog(RuleBasedStateMachine):
    """The model looks through all entries that the log has ever kept, each time anew."""

    def __init__(self):
        super().__init__()
        self.known = Configurations(0, Configuration(("a",)))
        self.entries = {0: Configuration(("a",))}
        self.last = self.compacted = 0

    def _newest(self, index):
        return max(at for at in self.entries if at <= index)

    @rule(gap=st.integers(1, 3), names=st.sets(st.sampled_from("abcde"), min_size=1))
    def append(self, gap, names):
        self.last += gap
        self.entries[self.last] = Configuration(tuple(sorted(names)))
        self.known.appended(self.last, encode_configuration(self.entries[self.last]))

    @rule(count=st.integers(1, 8))
    def cut(self, count):
        self.last = max(self.compacted, self.last - count)
        self.known.truncated(self.last)
        self.entries = {at: c for at, c in self.entries.items() if at <= self.last}

    @rule(step=st.integers(0, 6))
    def compact(self, step):
        self.compacted = min(self.last, self.compacted + step)
        self.known.compacted(self.compacted)

    @rule(ahead=st.integers(1, 5), back=st.integers(0, 4), names=st.sets(st.sampled_from("abcde"), min_size=1))
    def receive_a_snapshot(self, ahead, back, names):
        self.last += ahead
        self.compacted = self.last
        at = max(0, self.last - back)
        self.entries = {at: Configuration(tuple(sorted(names)))}
        self.known.restarted(at, self.entries[at])

    @rule()
    def see_an_old_entry_again(self):
        """A log may reach back behind its snapshot: what that covers changes nothing."""
        self.known.appended(self.known.index, encode_configuration(Configuration(("z",))))

    @invariant()
    def the_same_configuration_everywhere(self):
        newest = self._newest(self.last)
        assert (self.known.index, self.known.current) == (newest, self.entries[newest])
        for index in range(max(self.compacted, min(self.entries)), self.last + 2):
            at = self._newest(index)
            assert self.known.at(index) == (at, self.entries[at])


_bounds = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestLog = LogBesideLists.TestCase
TestLog.settings = _bounds
TestConfigurations = ConfigurationsBesideTheLog.TestCase
TestConfigurations.settings = _bounds
