"""Who must look again: watchers of key prefixes, marked after each applied batch.

Knows: prefixes, one mark per watcher however many changes there were.
Never: tasks or values; a mark wakes through the function given, and the woken one re-reads the whole state.
Holds: a change after a watcher's registration leaves it marked until it clears the mark itself: no level is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs

from aether.errors import Overloaded

WATCHERS_MAX: Final = 10_000


@attrs.define(eq=False)
class Watcher:
    """One mark over some prefixes. `wake` is called when the mark is set; it must neither block nor raise."""

    prefixes: tuple[str, ...]
    wake: Callable[[], None]
    marked: bool = False


class WatcherSet:
    """All watchers of one store."""

    def __init__(self) -> None:
        self._watchers: dict[Watcher, None] = {}
        self._clean: dict[Watcher, None] = {}  # marked ones need no look: a busy store costs a slow watcher nothing

    def __len__(self) -> int:
        return len(self._watchers)

    def add(self, watcher: Watcher) -> None:
        """Mark `watcher` from now on. Raises Overloaded when WATCHERS_MAX watch already."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise Overloaded("the watches of the store", WATCHERS_MAX)
        self._watchers[watcher] = None
        if not watcher.marked:
            self._clean[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        """Mark it no more; an unknown one is no error."""
        self._watchers.pop(watcher, None)
        self._clean.pop(watcher, None)

    def clear(self, watcher: Watcher) -> None:
        """Take the mark away, before looking."""
        watcher.marked = False
        if watcher in self._watchers:
            self._clean[watcher] = None

    def mark(self, keys: Iterable[str]) -> None:
        """Some keys changed."""
        if not self._clean:
            return
        prefixes = self._clean_prefixes()
        for key in keys:
            if key.startswith(prefixes):
                for watcher in [watcher for watcher in self._clean if key.startswith(watcher.prefixes)]:
                    self._set(watcher)
                if not self._clean:
                    return
                prefixes = self._clean_prefixes()

    def _clean_prefixes(self) -> tuple[str, ...]:
        """Of all that are not marked: one look tells that a key concerns none of them, which is the rule."""
        return tuple({prefix for watcher in self._clean for prefix in watcher.prefixes})

    def mark_all(self) -> None:
        """Everything may have changed: the state was replaced."""
        for watcher in list(self._clean):
            self._set(watcher)

    def _set(self, watcher: Watcher) -> None:
        del self._clean[watcher]
        watcher.marked = True
        watcher.wake()
