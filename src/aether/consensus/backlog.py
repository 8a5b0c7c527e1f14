"""Committed entries that the state machine was not given yet, and when it is given them.

Knows: entries, whether the disk is busy, who leads.
Never: the state machine, clocks: times are passed in.
Holds: order; nothing waits longer than APPLY_WAITS_S once somebody asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aether.consensus.entry import Entry

APPLY_WAITS_S: Final = 0.01
"""A follower writes first: its leader waits for that, and applying keeps the interpreter from the writing thread."""


class Backlog:
    """Between the core, which hands entries out, and the state machine."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._due_s = 0.0

    def add(self, entries: Sequence[Entry], now_s: float) -> None:
        """These are committed; they follow what was added before."""
        if not self._entries:
            self._due_s = now_s + APPLY_WAITS_S
        self._entries += entries

    def clear(self) -> None:
        """A snapshot takes their place."""
        self._entries = []

    def take(self, now_s: float, *, writes_first: bool) -> list[Entry]:
        """What to apply now; none when it may wait for the write under way."""
        if writes_first and now_s < self._due_s:
            return []
        taken, self._entries = self._entries, []
        return taken
