"""What the core wants to send: at once, or only when a write that it rests on is durable.

Knows: messages, their receivers, the numbers of writes.
Never: the content of a write, what a message means (but for merging acknowledgements).
Holds: a promise leaves only after every write that was handed out before it, or with it, is durable; so a reply
       before its fsync cannot be written.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol, TypeAlias

from aether.consensus.messages import AppendEntries, AppendReply, Heartbeat, Message
from aether.consensus.values import ChunkOrder
from aether.model.ids import NodeId

Envelope: TypeAlias = tuple[NodeId, Message]


class Sending(Protocol):
    """Where the log of a leader goes out."""

    def send(self, to: NodeId, message: AppendEntries | Heartbeat, /) -> None: ...

    def order(self, order: ChunkOrder, /) -> None:
        """Have a piece of a snapshot read and sent."""
        ...


def _add(queue: list[Envelope], envelope: Envelope) -> None:
    """Append; an acknowledgement takes the place of a smaller one that stands just before it."""
    if queue and isinstance(envelope[1], AppendReply) and _says_more(envelope, queue[-1]):
        queue.pop()
    queue.append(envelope)


def _says_more(envelope: Envelope, before: Envelope) -> bool:
    """Whether nobody misses `before` who gets `envelope`."""
    (to, reply), (to_before, reply_before) = envelope, before
    if not isinstance(reply, AppendReply) or not isinstance(reply_before, AppendReply) or to != to_before:
        return False
    if reply.rejected or reply_before.rejected:
        return reply == reply_before
    return reply.term == reply_before.term and reply.match_index >= reply_before.match_index


class Outbox:
    """Two queues: messages that bind nobody, and promises, which wait for storage."""

    def __init__(self) -> None:
        self._now: list[Envelope] = []
        self._orders: list[ChunkOrder] = []
        self._fresh: list[Envelope] = []  # promises that no write carries yet
        self._waiting: deque[tuple[int, list[Envelope]]] = deque()

    def send(self, to: NodeId, message: Message) -> None:
        """Leaves with the next Ready."""
        self._now.append((to, message))

    def order(self, order: ChunkOrder) -> None:
        """Leaves with the next Ready, for the driver to fill."""
        self._orders.append(order)

    def promise(self, to: NodeId, message: Message) -> None:
        """Leaves once all that the core knows now is durable."""
        _add(self._fresh, (to, message))

    @property
    def has_promises(self) -> bool:
        """Whether promises exist that belong to no write yet."""
        return bool(self._fresh)

    def attach(self, number: int) -> None:
        """The fresh promises rest on write `number` and those before it."""
        if not self._fresh:
            return
        if self._waiting and self._waiting[-1][0] == number:  # a disk that stands still: who repeats a question gets
            for envelope in self._fresh:  # one answer, or they would pile up
                _add(self._waiting[-1][1], envelope)
        else:
            self._waiting.append((number, self._fresh))
        self._fresh = []

    def release(self, number: int) -> list[Envelope]:
        """Promises that rest on writes up to `number`, in the order in which they were made."""
        released: list[Envelope] = []
        while self._waiting and self._waiting[0][0] <= number:
            for envelope in self._waiting.popleft()[1]:
                _add(released, envelope)
        return released

    def take(self) -> tuple[Envelope, ...]:
        """What leaves now."""
        taken = tuple(self._now)
        self._now.clear()
        return taken

    def take_orders(self) -> tuple[ChunkOrder, ...]:
        """The pieces of snapshots to be read and sent now."""
        taken = tuple(self._orders)
        self._orders.clear()
        return taken
