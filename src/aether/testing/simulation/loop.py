"""Virtual time: one heap of events, the trace of what happened, and counts.

Knows: microseconds, the order of events: by time, then by when they were planned.
Never: what an event does.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import Counter
from collections.abc import Callable


class Loop:
    """now_us  virtual time; healed  faults are over."""

    def __init__(self) -> None:
        self.now_us: int = 0
        self.healed = False
        self.counts: Counter[str] = Counter()
        self.trace: list[str] = []
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = itertools.count()

    def later(self, delay_us: int, action: Callable[[], None]) -> None:
        """Plan `action`."""
        heapq.heappush(self._heap, (self.now_us + delay_us, next(self._sequence), action))

    def next(self) -> None:
        """Carry out the next event."""
        self.now_us, _, action = heapq.heappop(self._heap)
        action()

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.now_us} {line}")

    def trace_hash(self) -> str:
        """SHA-256 of the trace, in hex."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()
