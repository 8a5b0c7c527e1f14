"""The two ends of one stream between nodes: who may send, what may be read, and when it is over.

Knows: credit in items and bytes as running totals, so that a lost or doubled grant does no harm; sequence numbers,
       because long frames may be overtaken by short ones; the end, which counts the items before it.
Never: tasks, messages, the meaning of an item or of an outcome.
Holds: items are read once each and in order, the end after all of them; what waits at the reader never exceeds its
       window by more than one item in bytes, and never at all in items.
Paper: RFC 9113 section 5.2 (flow control by credit of the receiver).
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from aether.errors import BadInput
from aether.model.limits import FRAME_BYTES_MAX

E = TypeVar("E")


class Outgoing:
    """The sending end. items, bytes  totals that the reader has granted; sent_items, sent_bytes  totals sent."""

    __slots__ = ("bytes", "items", "sent_bytes", "sent_items")

    def __init__(self, items: int = 0, bytes_: int = 0) -> None:
        self.items: int = items
        self.bytes: int = bytes_
        self.sent_items: int = 0
        self.sent_bytes: int = 0

    @property
    def has_room(self) -> bool:
        """Whether one more item may be sent, however long."""
        return self.sent_items < self.items and self.sent_bytes < self.bytes

    def sent(self, size: int) -> bool:
        """An item of `size` bytes goes out, as number `sent_items`; whether there is room for another."""
        self.sent_items = sent = self.sent_items + 1
        self.sent_bytes = sent_bytes = self.sent_bytes + size
        return sent < self.items and sent_bytes < self.bytes

    def credit(self, items: int, bytes_: int) -> None:
        """The reader's word; totals never shrink, so an old one that comes late changes nothing."""
        self.items = max(self.items, items)
        self.bytes = max(self.bytes, bytes_)


class Incoming(Generic[E]):
    """The reading end. ready  bodies that can be taken, in order; end  what came after all items, once all are taken.

    items, bytes  its window: how far the sender may be ahead of what was taken
    """

    __slots__ = (
        *("_arrived_bytes", "_count", "_early", "_final", "_granted", "_window_bytes", "_window_items"),
        *("arrived_items", "due_bytes", "due_items", "ready", "taken_bytes", "taken_items"),
    )

    def __init__(self, items: int, bytes_: int) -> None:
        self._window_items, self._window_bytes = items, bytes_
        self._grant(items, bytes_)
        self._early: dict[int, bytes] = {}  # arrived before their predecessors
        self._arrived_bytes = 0
        self._count: int | None = None
        self._final: E | None = None
        self.ready: deque[bytes] = deque()
        self.arrived_items: int = 0  # in order, without a gap
        self.taken_items: int = 0
        self.taken_bytes: int = 0

    def _grant(self, items: int, bytes_: int) -> None:
        self._granted = (items, bytes_)  # totals, as last handed out by `grant`
        self.due_items: int = items - self._window_items // 2
        self.due_bytes: int = bytes_ - self._window_bytes // 2

    @property
    def granted(self) -> tuple[int, int]:
        """Totals (items, bytes) that the sender may have sent."""
        return self._granted

    def arrived(self, number: int, body: bytes) -> None:
        """An item. Raises BadInput for one that a sender who keeps the rules does not send."""
        if number == self.arrived_items < self._granted[0] and self._count is None and not self._early:  # nearly always
            self._arrived_bytes += len(body)
            if self._arrived_bytes <= self._granted[1] + FRAME_BYTES_MAX:
                self.arrived_items = number + 1
                self.ready.append(body)
                return
        if number >= self._granted[0] or self._arrived_bytes > self._granted[1] + FRAME_BYTES_MAX:
            raise BadInput(f"item {number} of a stream goes beyond its credit of {self._granted[0]} items")
        if number < self.arrived_items or number in self._early or (self._count is not None and number >= self._count):
            raise BadInput(f"item {number} of a stream came twice, or behind its end")
        self._arrived_bytes += len(body)
        if number != self.arrived_items:
            self._early[number] = body
            return
        self.ready.append(body)
        self.arrived_items += 1
        while self._early and self.arrived_items in self._early:
            self.ready.append(self._early.pop(self.arrived_items))
            self.arrived_items += 1

    def ended(self, count: int, final: E) -> None:
        """The sender has sent `count` items and nothing follows. The first end counts. Raises BadInput."""
        if self._count is None:
            if count < self.arrived_items + len(self._early) or any(number >= count for number in self._early):
                raise BadInput(f"a stream ends after {count} items, of which more have arrived")
            self._count, self._final = count, final

    def cut(self, final: E) -> None:
        """Nothing more will arrive: what is here in order is all there is, unless the end came with all its items."""
        if self._count is None or self._count > self.arrived_items:
            self._early.clear()
            self._count, self._final = self.arrived_items, final

    def take(self) -> bytes:
        """The next item; only while `ready`."""
        body = self.ready.popleft()
        self.taken_items += 1
        self.taken_bytes += len(body)
        return body

    def grant(self) -> tuple[int, int] | None:
        """Totals to tell the sender, once half a window was taken since the last ones (`due_items`, `due_bytes`)."""
        if self._count is not None or (self.taken_items < self.due_items and self.taken_bytes < self.due_bytes):
            return None
        self._grant(self.taken_items + self._window_items, self.taken_bytes + self._window_bytes)
        return self._granted

    @property
    def end(self) -> E | None:
        """The sender's last word, once every item before it was taken."""
        return self._final if self._count == self.taken_items else None

    @property
    def is_complete(self) -> bool:
        """Nothing more can arrive."""
        return self._count == self.arrived_items

    @property
    def last_word(self) -> E | None:
        """The same, as soon as it has arrived."""
        return self._final
