"""What a sequence of writes amounts to: the fold that both storages read back.

Knows: truncation by a conflicting write, restart behind a received snapshot, dropping behind a local one.
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


class Replay:
    """Applies steps in order; then `hard_state`, `snapshot` and `entries` are the state of the store."""

    def __init__(self) -> None:
        self.hard_state: HardState = HardState()
        self.snapshot: Position = NO_SNAPSHOT
        self.entries: list[Entry] = []

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
