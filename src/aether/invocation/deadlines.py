"""Deadlines of many calls, of which nearly all are answered first.

Knows: deadlines by call id; entries of answered calls are dropped when they get in the way.
Never: clocks, tasks; whoever owns it sleeps until `next_at` and asks what is due.
Holds: at most max(KEEP_MIN, KEEP_SHARE x pending) entries are kept. A cancel scope for each call would cost more than
       the rest of its way.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Sized
from typing import Final, Protocol

KEEP_MIN: Final = 1_024
KEEP_SHARE: Final = 4


class CallIds(Container[int], Sized, Protocol):
    """The ids of calls that wait for a reply."""


class Deadlines:
    """A heap with lazy deletion. `pending` is the owner's own table."""

    def __init__(self, pending: CallIds) -> None:
        self._pending = pending
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, deadline: float, call_id: int) -> bool:
        """Remember it; True when it is now the first, so that the sleeper must be woken."""
        if len(self._heap) >= max(KEEP_MIN, KEEP_SHARE * len(self._pending)):
            self._heap = [entry for entry in self._heap if entry[1] in self._pending]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (deadline, call_id))
        return self._heap[0][1] == call_id

    def next_at(self) -> float | None:
        """When to look again; None = nothing is waited for."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[int]:
        """Pending calls whose deadline has come; they are forgotten here."""
        ids: list[int] = []
        while self._heap and self._heap[0][0] <= now:
            _, call_id = heapq.heappop(self._heap)
            if call_id in self._pending:
                ids.append(call_id)
        return ids
