"""The keys that are kept, oldest change first, so that the oldest can go.

Knows: texts of keys, their revisions and sizes, one bound for each method and one for all of them.
Never: the store, what a row says.
Holds: whoever adds a key drops at least as many as are too many, so that no window grows beyond its bounds.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Final

from aether.model.limits import CALL_KEYS_BYTES_MAX, CALL_KEYS_MAX

DROPPED_AT_ONCE: Final = 4
"""By whoever adds one: several, so that a window that is too large (smaller limits, a restored backup) shrinks."""


class KeyWindow:
    """Keys by method. A method is named by the part of the text up to its last `/`."""

    def __init__(self, keys_max: int = CALL_KEYS_MAX, bytes_max: int = CALL_KEYS_BYTES_MAX) -> None:
        self._keys_max = keys_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._methods: dict[str, OrderedDict[str, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._methods.values()))

    def clear(self) -> None:
        """Nothing is known."""
        self._methods.clear()
        self._bytes = 0

    def put(self, text: str, size: int) -> None:
        """The row of `text` changed last of all, and has `size` bytes; 0 = it is gone."""
        method = text.rpartition("/")[0]
        known = self._methods.setdefault(method, OrderedDict())
        self._bytes -= known.pop(text, 0)
        if size:
            known[text] = size
            self._bytes += size
        elif not known:
            del self._methods[method]

    def oldest(self, method: str) -> list[str]:
        """The keys of `method` that changed longest ago; the first may be out of date."""
        return list(itertools.islice(self._methods.get(method, ()), DROPPED_AT_ONCE))

    def surplus(self, method: str) -> list[str]:
        """What whoever adds a key to `method` drops, at most DROPPED_AT_ONCE."""
        known = self._methods.get(method, OrderedDict[str, int]())
        count = min(max(0, len(known) + 1 - self._keys_max), DROPPED_AT_ONCE)
        found = list(itertools.islice(known, count))
        if not found and self._bytes > self._bytes_max:
            largest = max(self._methods.values(), key=lambda texts: sum(texts.values()))
            found = list(itertools.islice(largest, DROPPED_AT_ONCE))
        return found
