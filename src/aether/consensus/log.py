"""The replicated log of one node since its last snapshot, with the cursors that move over it.

Knows: entries, their terms and sizes; which are committed, applied, handed to storage, durable.
Never: peers, roles, votes, messages.
Holds: snapshot <= applied <= applying <= committed <= last, and durable <= handed <= last; terms never fall along the
       log; a committed entry is never replaced. `check` asserts all of it.
Paper: Raft 5.3 (log matching), 5.4.1 (up-to-date), 7 (compaction).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Final

from aether.consensus.entry import Entry, EntryKind, encode_entry
from aether.consensus.leftovers import Leftovers
from aether.consensus.membership import Configurations
from aether.consensus.quorum import Configuration
from aether.consensus.values import SnapshotMeta
from aether.errors import EntriesLost
from aether.model.ids import LogIndex, Term

_term_of: Final = itemgetter(1)
_NOBODY: Final = Configuration(())


class RaftLog:
    """Entries `first_index .. last_index` in memory. Every index before `first_index` is committed and compacted.

    committed  known to be on a majority; applying  handed to the state machine; applied  done by it
    handed     given to storage in some write; durable  acknowledged by storage
    restoring  a snapshot from the leader is not with the state machine yet: nothing is handed out to be applied
    configurations  those whose entries stand in the log, and the one before
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None,
        committed: LogIndex,
        founding: Configuration = _NOBODY,
    ) -> None:
        """A log as storage held it: `entries` may begin before the end of the snapshot, and are all durable."""
        base = snapshot.index if snapshot else LogIndex(0)
        first = (snapshot.configuration_index, snapshot.configuration) if snapshot else (LogIndex(0), founding)
        self.configurations: Configurations = Configurations(*first)
        self.snapshot_index: LogIndex = base
        self._before = LogIndex(entries[0].index - 1) if entries else base
        # Unknown (None) when storage kept a tail behind the snapshot: then nobody can be probed there.
        self._before_term = (
            snapshot.term if snapshot and self._before == base else (Term(0) if not self._before else None)
        )
        self._entries: list[Entry] = []
        self._ends: list[int] = []  # running total of encoded bytes, so that a batch is found by bisection
        self._bytes_before = 0
        self._leftovers = Leftovers()
        self.append(entries)
        self.committed: LogIndex = LogIndex(max(base, committed))
        self.applying: LogIndex = base
        self.applied: LogIndex = base
        self.handed: LogIndex = self.last_index
        self.durable: LogIndex = self.last_index
        self.restoring: bool = False
        # Writes that storage has not acknowledged: [number, last index that was in it and is still in this log].
        # A truncation lowers the second, so that an acknowledgement of overwritten entries attests nothing (ABA).
        self._writes: deque[list[int]] = deque()

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def first_index(self) -> LogIndex:
        return LogIndex(self._before + 1)

    @property
    def last_index(self) -> LogIndex:
        return LogIndex(self._before + len(self._entries))

    @property
    def last_term(self) -> Term:
        return self._entries[-1].term if self._entries else self._before_term or Term(0)

    def term_at(self, index: LogIndex) -> Term | None:
        """The term of the entry at `index`; 0 at index 0; None when it is compacted or does not exist."""
        position = index - self._before - 1
        if 0 <= position < len(self._entries):
            return self._entries[position].term
        return self._before_term if position == -1 else None

    def matches(self, index: LogIndex, term: Term) -> bool:
        return self.term_at(index) == term

    def is_up_to_date(self, last_index: LogIndex, last_term: Term) -> bool:
        """Whether a log with this end is at least as complete as ours (Raft 5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def last_at_most(self, index: LogIndex, term: Term) -> tuple[LogIndex, Term]:
        """The last entry at or before `index` whose term is at most `term`: the next place where two logs may agree.

        (0, 0) or the compaction point when no entry in memory qualifies.
        """
        end = max(0, min(index, self.last_index) - self._before)
        position = bisect_right(self._entries, term, 0, end, key=_term_of)
        if position:
            return LogIndex(self._before + position), self._entries[position - 1].term
        return self._before, self._before_term or Term(0)

    def slice(self, start: LogIndex, bytes_max: int, stop: LogIndex | None = None) -> tuple[Entry, ...]:
        """Entries `start` .. `stop` (or the end), as many as fit into `bytes_max` encoded bytes, but at least one."""
        position = start - self._before - 1
        assert position >= 0, f"entry {start} is compacted; the log starts at {self.first_index}"
        end = len(self._entries) if stop is None else min(stop - self._before, len(self._entries))
        if position >= end:
            return ()
        begin = self._ends[position - 1] if position else self._bytes_before
        if self._ends[end - 1] - begin > bytes_max:
            end = max(position + 1, bisect_right(self._ends, begin + bytes_max, position, end))
        return tuple(self._entries[position:end])

    def tail_from(self, index: LogIndex, entries_max: int, bytes_max: int) -> LogIndex:
        """Where the longest tail within both limits begins that ends with `index`; `index + 1` for an empty one."""
        first = max(1, index - entries_max + 1)
        end = index - self._before
        if 0 < end <= len(self._ends):
            spared = self._ends[end - 1] - bytes_max
            if spared > self._bytes_before:
                first = max(first, self._before + bisect_left(self._ends, spared, 0, end) + 2)
        return LogIndex(first)

    def entries(self) -> Iterator[Entry]:
        return iter(self._entries)

    def bytes_after(self, index: LogIndex) -> int:
        """Encoded bytes of the entries behind `index`."""
        if not self._entries:
            return 0
        position = index - self._before
        begin = self._ends[position - 1] if position > 0 else self._bytes_before
        return self._ends[-1] - begin

    # --- growing ------------------------------------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow `last_index` without a gap."""
        if not entries:
            return
        assert entries[0].index == self.last_index + 1, f"entry {entries[0].index} after {self.last_index}"
        total = self._ends[-1] if self._ends else self._bytes_before
        ends: list[int] = []
        for entry in entries:
            total += len(entry.encoded or encode_entry(entry))
            ends.append(total)
            if entry.kind is EntryKind.CONFIGURATION:
                self.configurations.appended(entry.index, entry.payload)
        self._ends += ends
        self._entries += entries

    def merge(self, prev_index: LogIndex, prev_term: Term, entries: Sequence[Entry]) -> bool:
        """Append what a leader sent. False when the log does not hold (prev_index, prev_term).

        Only from the first entry that conflicts is anything cut: a late, shorter message removes nothing (Raft 5.3).
        """
        if not self.matches(prev_index, prev_term):
            return False
        if prev_index != self.last_index:
            known = 0
            for entry in entries:
                if self.term_at(entry.index) != entry.term:
                    break
                known += 1
            entries = entries[known:]
            if entries and entries[0].index <= self.last_index:
                self._truncate(entries[0].index)
        self.append(entries)
        return True

    def _truncate(self, start: LogIndex) -> None:
        """Remove `start` and everything behind it."""
        last = LogIndex(start - 1)
        if last < self.committed:  # no `assert`: what another node does wrong must not pass with `python -O` either
            raise AssertionError(f"the leader contradicts entry {start}, committed here up to {self.committed}")
        keep = last - self._before
        del self._entries[keep:], self._ends[keep:]
        self.configurations.truncated(last)
        self._forget_writes(last)

    def _forget_writes(self, last: LogIndex) -> None:
        self.handed, self.durable = min(self.handed, last), min(self.durable, last)
        for write in self._writes:
            write[1] = min(write[1], last)

    # --- storage ------------------------------------------------------------------------------------------------------

    def hand_to_storage(self, number: int) -> tuple[Entry, ...]:
        """The entries that no write holds yet, which belong to write `number` from now on."""
        position = self.handed - self._before
        entries = tuple(self._entries[position:]) if position < len(self._entries) else ()
        self.handed = self.last_index
        self._writes.append([number, self.handed])
        return entries

    @property
    def has_unwritten(self) -> bool:
        return self.handed < self.last_index

    def persisted(self, number: int) -> None:
        """Writes up to `number` are durable."""
        while self._writes and self._writes[0][0] <= number:
            self.durable = LogIndex(max(self.durable, self._writes.popleft()[1]))

    # --- committing and applying --------------------------------------------------------------------------------------

    def commit_to(self, index: LogIndex) -> bool:
        """Move the commit index forward; True when it moved. Raises EntriesLost."""
        if index <= self.committed:
            return False
        if index > self.last_index:
            raise EntriesLost(index, self.last_index)
        self.committed = index
        return True

    def hand_to_apply(self, bytes_max: int) -> tuple[Entry, ...]:
        """Committed and durable entries that the state machine was not given yet, about `bytes_max` bytes of them."""
        stop = min(self.committed, self.durable)
        if self.restoring or stop <= self.applying:
            return ()
        entries = self.slice(LogIndex(self.applying + 1), bytes_max, stop)
        self.applying = entries[-1].index
        return entries

    def applied_to(self, index: LogIndex) -> None:
        assert index <= self.applying, f"applied {index} was never handed out; that ends at {self.applying}"
        self.applied = LogIndex(max(self.applied, index))

    # --- snapshots ----------------------------------------------------------------------------------------------------

    def compact(self, snapshot_index: LogIndex, keep_from: LogIndex) -> None:
        """A local snapshot covers `snapshot_index`: drop what lies before both `keep_from` and its end."""
        assert snapshot_index <= self.applied, f"snapshot at {snapshot_index}, applied {self.applied}"
        self.snapshot_index = LogIndex(max(self.snapshot_index, snapshot_index))
        self.configurations.compacted(self.snapshot_index)
        count = min(keep_from - 1, snapshot_index) - self._before
        if count <= 0:
            return
        self._before_term = self._entries[count - 1].term
        self._bytes_before = self._ends[count - 1]
        self._before = LogIndex(self._before + count)
        self._drop(count)

    def _drop(self, count: int) -> None:
        self._entries = self._leftovers.without_front(self._entries, count)
        self._ends = self._leftovers.without_front(self._ends, count)

    def free(self) -> None:
        """Give back some of what was dropped; once in each tick."""
        self._leftovers.free()

    def restart_behind(self, meta: SnapshotMeta) -> None:
        """Forget all entries: a snapshot received from the leader replaces them."""
        assert meta.index > self.committed, f"snapshot {meta.index} would undo commits up to {self.committed}"
        self._forget_writes(self.committed)
        self._drop(len(self._entries))
        self._bytes_before = 0
        self._before, self._before_term = meta.index, meta.term
        self.configurations.restarted(meta.configuration_index, meta.configuration)
        self.snapshot_index = self.committed = self.handed = meta.index
        self.restoring = True

    def restored(self, index: LogIndex) -> None:
        """The state machine holds the snapshot at `index`; when a newer one replaced the log meanwhile, it is next."""
        self.applying = self.applied = index
        self.restoring = index != self.snapshot_index

    def check(self) -> None:
        """Assert the order of the cursors."""
        cursors = (
            f"snapshot {self.snapshot_index} applied {self.applied} applying {self.applying} committed {self.committed}"
        )
        storage = f"durable {self.durable} handed {self.handed} first {self.first_index} last {self.last_index}"
        assert self.applied <= self.applying <= self.committed <= self.last_index, cursors + " " + storage
        assert self.restoring or self._before <= self.snapshot_index <= self.applied, cursors + " " + storage
        assert self.durable <= self.handed <= self.last_index, cursors + " " + storage
        assert self.restoring or self.applying <= self.durable, cursors + " " + storage
        assert len(self._entries) == len(self._ends), "sizes and entries part"
