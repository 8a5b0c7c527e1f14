"""What the core has handed to storage: numbered writes, how far they are durable, which promises they hold.

Knows: the hard state and the entries that no write holds yet; how long storage has said nothing.
Never: when to write, what waits for a write (outbox).
Holds: numbers rise by one; a term or a vote that is not in the newest write makes a new one.
"""

from __future__ import annotations

from aether.consensus.following import Following
from aether.consensus.log import RaftLog
from aether.consensus.values import HardState, StorageWrite
from aether.model.ids import NodeId, Term


class WriteLedger:
    """number  of the newest write; durable  of the newest that storage has acknowledged.

    waited  ticks since storage acknowledged anything, while a write is under way
    """

    def __init__(self, written: HardState) -> None:
        self.number: int = 0
        self.durable: int = 0
        self.waited: int = 0
        self._written = written

    def tick(self) -> None:
        """One unit of time has passed."""
        self.waited = self.waited + 1 if self.durable < self.number else 0

    def next(self, term: Term, vote: NodeId | None, log: RaftLog, following: Following) -> StorageWrite | None:
        """The write that the log and this hard state need now; None when the newest one holds them."""
        written = self._written
        promised = written.term == term and written.vote == vote
        if promised and not log.has_unwritten and not following.has_unwritten:
            return None
        hard = self._written = HardState(term, vote, log.committed)
        self.number += 1
        entries = log.hand_to_storage(self.number)
        snapshot, parts = following.hand_to_storage(self.number)
        return StorageWrite(self.number, hard if hard != written else None, entries, snapshot, parts)

    def acknowledged(self, number: int) -> bool:
        """All writes up to `number` are durable. False when that is old news."""
        assert number <= self.number, f"write {number} was never handed out; the newest is {self.number}"
        news = number > self.durable
        if news:
            self.waited = 0
        self.durable = max(self.durable, number)
        return news
