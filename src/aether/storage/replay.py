"""What a sequence of writes amounts to: the fold that both storages read back.

Knows: truncation by a conflicting write, restart behind a received snapshot, dropping behind a local one; which steps
       no correct node can have taken.
Never: bytes, files.
Holds: entries are consecutive; a gap is an error, never filled.
"""

from __future__ import annotations

import bisect
from typing import Final

from aether.consensus.entry import Entry
from aether.consensus.values import HardState
from aether.model.ids import LogIndex
from aether.storage.bodies import Position, Step

NO_SNAPSHOT: Final[Position] = (0, 0)


class LogGap(Exception):
    """A step's entries do not connect to the log before them."""


class Impossible(Exception):
    """A step that no correct node takes: two votes in one term, a term that falls, a snapshot ahead of the log."""


class Replay:
    """Applies steps in order; then `hard_state`, `snapshot` and `entries` are the state of the store."""

    def __init__(self) -> None:
        self.hard_state: HardState = HardState()
        self.snapshot: Position = NO_SNAPSHOT
        self.entries: list[Entry] = []

    def check(self, step: Step) -> None:
        """Raise Impossible when `step` contradicts those before it. For what a disk gave back."""
        if step.hard_state is not None:
            self._check_promise(step.hard_state)
        if step.saved is not None:
            self._check_saved(step.saved)
        term = step.restart[1] if step.restart is not None else self._term_before(step)
        for entry in step.entries:
            if entry.term < term:
                raise Impossible(f"entry {entry.index} has term {entry.term} after one of term {term}")
            term = entry.term

    def _check_promise(self, state: HardState) -> None:
        known = self.hard_state
        if state.term < known.term:
            raise Impossible(f"the term falls from {known.term} to {state.term}")
        if state.term == known.term and known.vote is not None and state.vote != known.vote:
            raise Impossible(f"two votes in term {state.term}: for {known.vote} and for {state.vote or 'nobody'}")

    def _check_saved(self, saved: Position) -> None:
        if not self.entries or saved <= self.snapshot:
            return
        if saved[0] > self.last_index:
            raise Impossible(f"a snapshot of entry {saved[0]}, but the log before it ends at {self.last_index}")
        term = self.term_at(saved[0])
        if term is not None and term != saved[1]:
            raise Impossible(f"a snapshot of entry {saved[0]} of term {saved[1]}, but that entry has term {term}")

    def _term_before(self, step: Step) -> int:
        """Of the entry that the step's first one follows; 0 when that is not known here."""
        return (self.term_at(step.entries[0].index - 1) or 0) if step.entries else 0

    def term_at(self, index: int) -> int | None:
        """The term of entry `index`; None when the log does not hold it."""
        offset = index - self.entries[0].index if self.entries else -1
        return self.entries[offset].term if 0 <= offset < len(self.entries) else None

    def covers(self, older: Position) -> bool:
        """Whether the entries lead from a snapshot at `older` to the one in force, so that either may be loaded."""
        if not self.entries or self.entries[0].index > older[0] + 1 or self.last_index < self.snapshot[0]:
            return False
        return self.term_at(older[0]) in (None, older[1]) and self.term_at(self.snapshot[0]) == self.snapshot[1]

    def apply(self, step: Step) -> None:
        """Raises LogGap."""
        if step.hard_state is not None:
            self.hard_state = step.hard_state
        if step.restart is not None:
            self.snapshot = step.restart
            self.entries.clear()
        if step.saved is not None:
            self.snapshot = max(self.snapshot, step.saved)
        if step.entries:
            self._append(step.entries)

    def _append(self, entries: tuple[Entry, ...]) -> None:
        first, last = entries[0].index, self.last_index
        if [entry.index for entry in entries] != list(range(first, first + len(entries))):
            raise LogGap(f"the entries from {first} are not consecutive")
        if self.entries and first <= last:
            del self.entries[max(0, first - self.entries[0].index) :]
        elif self.entries and first > last + 1:  # without entries, `tail` compares with the snapshot that comes later
            raise LogGap(f"entry {first} follows entry {last}")
        self.entries.extend(entries)

    @property
    def last_index(self) -> LogIndex:
        return self.entries[-1].index if self.entries else LogIndex(self.snapshot[0])

    def drop_before(self, index: LogIndex) -> None:
        """Forget entries before `index`."""
        del self.entries[: bisect.bisect_left(self.entries, index, key=lambda entry: entry.index)]

    def tail(self) -> tuple[Entry, ...]:
        """The entries behind the snapshot. Raises LogGap when the first of them does not follow it."""
        behind = bisect.bisect_right(self.entries, self.snapshot[0], key=lambda entry: entry.index)
        if behind < len(self.entries) and self.entries[behind].index != self.snapshot[0] + 1:
            raise LogGap(f"entry {self.entries[behind].index} follows the snapshot at {self.snapshot[0]}")
        return tuple(self.entries[behind:])
