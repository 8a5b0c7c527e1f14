"""Virtual time: one heap of events, the trace of what happened, and counts.

Knows: microseconds, the order of events: by time, then by when they were planned.
Never: what an event does.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable

from aether.testing.simulation.trace import Happened, Trace


class Loop:
    """now_us  virtual time; healed  faults are over, or frozen; events  how many were carried out."""

    def __init__(self) -> None:
        self.now_us: int = 0
        self.events: int = 0
        self.healed = False
        self.counts: Counter[str] = Counter()
        self.trace: Trace = Trace()
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = itertools.count()

    def later(self, delay_us: int, action: Callable[[], None]) -> None:
        """Plan `action`."""
        heapq.heappush(self._heap, (self.now_us + delay_us, next(self._sequence), action))

    def next(self) -> None:
        """Carry out the next event."""
        self.now_us, _, action = heapq.heappop(self._heap)
        self.events += 1
        action()

    def note(self, event: str, node: str = "", peer: str = "", detail: object = "") -> Happened:
        """Add a line to the trace; the caller may add the state of the node afterwards."""
        happened = Happened(self.now_us, event, node, peer, detail)
        self.trace.add(happened)
        return happened
