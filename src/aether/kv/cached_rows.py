"""Rows under a prefix, decoded once per change for all that look; a look costs what changed since the last one.

Knows: that a row with the version it had is the value it was; which keys changed after a revision.
Never: what rows mean.
Holds: a look shows the store as it is: what the history forgot is read anew; as long as a row does not change, each
       look gives the same object, so `is` tells whether it changed, and so does the tuple of all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from sortedcontainers import SortedDict

from aether.kv.history import Compacted
from aether.kv.key_kinds import Prefix
from aether.kv.service import KvService
from aether.model.ids import Revision

T = TypeVar("T")

_ROWS_PER_STEP: Final = 2  # a row may hold as many as a thousand names
_ROWS_PER_PAGE: Final = 200
_ROUNDS_MAX: Final = 8  # of a store that changes faster than it can be followed


class CachedRows(Generic[T]):
    """The values under `prefix`; holds no more of them than the store does."""

    def __init__(self, kv: KvService, prefix: Prefix[T]) -> None:
        self._kv = kv
        self._prefix = prefix
        kv.follow(prefix)
        self._rows: SortedDict[str, tuple[Revision, T]] = SortedDict()
        self._at: Revision | None = None
        self._values: tuple[T, ...] | None = None

    def look(self) -> tuple[T, ...]:
        """As they are now, in order of their keys, without those that cannot be read (KvService.get)."""
        for _ in self.catch_up():
            pass
        if self._values is None:
            self._values = tuple(value for _, value in self._rows.values())
        return self._values

    def catch_up(self) -> Iterator[None]:
        """Bring the cache up to date, with places to yield while much changed: the next look has little to do."""
        for _ in range(_ROUNDS_MAX):
            now = self._kv.revision
            if self._at == now:
                return
            yield from self._follow()
            self._at = now

    def _follow(self) -> Iterator[None]:
        if self._at is not None:
            try:
                changed = self._kv.changed_after(self._at, self._prefix)
            except Compacted:
                pass
            else:
                for number, text in enumerate(changed, 1):
                    self._read(text)
                    if number % _ROWS_PER_STEP == 0:
                        yield
                return
        yield from self._read_all()

    def _read(self, text: str) -> None:
        found = self._kv.versioned(text, self._prefix)
        if found is None:
            if self._rows.pop(text, None) is not None:
                self._values = None
            return
        known = self._rows.get(text)
        if known is None or known[0] != found[0]:
            self._rows[text] = found
            self._values = None

    def _read_all(self) -> Iterator[None]:
        seen: set[str] = set()
        after = ""
        while page := self._kv.page(self._prefix, after, _ROWS_PER_PAGE):
            for number, (text, _, _) in enumerate(page, 1):
                self._read(text)
                seen.add(text)
                if number % _ROWS_PER_STEP == 0:
                    yield
            after = page[-1][0]
            if len(page) < _ROWS_PER_PAGE:
                break
        for text in self._rows.keys() - seen:
            del self._rows[text]
            self._values = None
