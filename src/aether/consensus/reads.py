"""Linearizable reads without the log: who asked, which round of heartbeats proves that this node still leads.

Knows: contexts of reads, rounds, the commit index that a read was given.
Never: heartbeats and quorums (leadership), what is read.
Holds: a read joins only a round that begins after it arrived, so no earlier heartbeat can vouch for it; each read is
       answered once or refused; at most `limit` wait.
       A follower that asks vouches itself: it sent the question after its read began, and followed this leader then.
Paper: dissertation 6.4 (processing read-only queries more efficiently).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import frozen

from aether.consensus.messages import ReadReply, ReadRequest
from aether.consensus.outbox import Outbox
from aether.errors import Overloaded
from aether.model.ids import LogIndex, NodeId, Term

REFUSED: Final = LogIndex(0)
"""In place of an index: nobody confirmed it. No confirmed read has it, since a leader's own entry comes first."""


@frozen
class Read:
    """context  the asker's own name of it, never used twice."""

    asker: NodeId
    context: int


Asked = Callable[[Read, Term], LogIndex | None]
"""A follower of that term asks: the index when that confirms it at once, None when it waits. Raises Overloaded."""


@frozen
class _Round:
    number: int
    index: LogIndex
    reads: tuple[Read, ...]


class ReadRounds:
    """Reads that a leader has not confirmed yet: those that gather, and those whose round is under way."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._gathered: list[Read] = []
        self._rounds: deque[_Round] = deque()

    def gather(self, read: Read) -> None:
        """It goes with the next round. Raises Overloaded."""
        if self._count >= self._limit:
            raise Overloaded("the leader's reads", self._limit)
        self._count += 1
        self._gathered.append(read)

    @property
    def wants_round(self) -> bool:
        """Whether a round should begin now. One carries reads at a time: what arrives meanwhile shares the next."""
        return bool(self._gathered) and not self._rounds

    def begun(self, number: int, index: LogIndex) -> None:
        """Round `number` begins; `index` is committed. What has gathered belongs to it."""
        if self._gathered:
            self._rounds.append(_Round(number, index, tuple(self._gathered)))
            self._gathered = []

    def confirm(self, is_confirmed: Callable[[int], bool]) -> list[tuple[Read, LogIndex]]:
        """The reads of the rounds that a quorum has answered: a later round vouches for those before it."""
        confirmed: list[tuple[Read, LogIndex]] = []
        while self._rounds and is_confirmed(self._rounds[0].number):
            done = self._rounds.popleft()
            confirmed += ((read, done.index) for read in done.reads)
        self._count -= len(confirmed)
        return confirmed

    def give_up(self) -> list[Read]:
        """All that wait: this node leads no more."""
        reads = [read for waiting in self._rounds for read in waiting.reads] + self._gathered
        self._rounds.clear()
        self._gathered = []
        self._count = 0
        return reads


class ReadAnswers:
    """Brings each answer to its asker: our own into the next Ready, others by message."""

    def __init__(self, node: NodeId, outbox: Outbox) -> None:
        self._node = node
        self._outbox = outbox
        self._own: list[tuple[int, LogIndex]] = []

    def give(self, read: Read, index: LogIndex) -> None:
        """`index` may be REFUSED."""
        if read.asker == self._node:
            self._own.append((read.context, index))
        else:
            self._outbox.send(read.asker, ReadReply(context=read.context, index=index))

    def step(self, sender: NodeId, message: ReadRequest | ReadReply, asked: Asked | None) -> None:
        """A peer asks, or the leader answers one of our own. asked  while this node leads."""
        if isinstance(message, ReadReply):
            self._own.append((message.context, message.index))
            return
        read = Read(sender, message.context)
        if asked is None:
            self.give(read, REFUSED)
            return
        try:
            index = asked(read, message.term)
        except Overloaded:
            index = REFUSED  # so that it comes again later
        if index is not None:
            self.give(read, index)

    def take(self) -> tuple[tuple[tuple[int, LogIndex], ...], tuple[int, ...]]:
        """Our own confirmed reads with their indexes, and the refused ones; each once."""
        if not self._own:
            return (), ()
        own, self._own = self._own, []
        confirmed = tuple((context, index) for context, index in own if index != REFUSED)
        return confirmed, tuple(context for context, index in own if index == REFUSED)
