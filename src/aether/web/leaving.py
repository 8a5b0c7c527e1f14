"""The word that a listener is about to close, for what would otherwise last as long as its client likes.

Knows: who wants to be told.
Never: what they do then.
"""

from __future__ import annotations

from collections.abc import Callable

Told = Callable[[], None]


class Leaving:
    """Told once; whoever comes later learns it from `begun`."""

    def __init__(self) -> None:
        self.begun: bool = False
        self._waiting: dict[Told, None] = {}

    def add(self, told: Told) -> None:
        """Call `told` when it begins; at once when it has. It never blocks."""
        if self.begun:
            told()
        else:
            self._waiting[told] = None

    def forget(self, told: Told) -> None:
        self._waiting.pop(told, None)

    def begin(self) -> None:
        self.begun = True
        waiting, self._waiting = self._waiting, {}
        for told in waiting:
            told()
