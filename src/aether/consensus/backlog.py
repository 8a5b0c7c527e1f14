"""Committed entries that the state machine was not given yet, and when it is given them.

Knows: entries, whether the disk is busy, who leads.
Never: the state machine, clocks: times are passed in.
Holds: order; nothing waits longer than APPLY_WAITS_S once somebody asks again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from aether.consensus.entry import Entry

APPLY_WAITS_S: Final = 0.01
"""A follower writes first: its leader waits for that, and applying keeps the interpreter from the writing thread."""


class Backlog:
    """Between the core, which hands entries out, and the state machine."""

    def __init__(self) -> None:
        self._pieces: deque[Sequence[Entry]] = deque()
        self._due_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, entries: Sequence[Entry], now_s: float) -> None:
        """These are committed; they follow what was added before."""
        if not self._pieces:
            self._due_s = now_s + APPLY_WAITS_S
        self._pieces.append(entries)

    def clear(self) -> None:
        """A snapshot takes their place."""
        self._pieces.clear()

    def take(self, now_s: float, *, writes_first: bool) -> Sequence[Entry]:
        """The next to apply, as many as were added at once; none when they may wait for the write under way."""
        if not self._pieces or (writes_first and now_s < self._due_s):
            return ()
        return self._pieces.popleft()
