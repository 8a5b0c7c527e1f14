"""Rows under a prefix, decoded once per change instead of once per look.

Knows: that a row with the version it had is the value it was.
Never: what rows mean.
Holds: as long as a row does not change, each look gives the same object, so `is` tells whether it changed.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from aether.kv.keys import Prefix
from aether.kv.service import KvService
from aether.model.ids import Revision

T = TypeVar("T")


class CachedRows(Generic[T]):
    """The values under `prefix`; holds no more of them than the store does."""

    def __init__(self, kv: KvService, prefix: Prefix[T]) -> None:
        self._kv = kv
        self._prefix = prefix
        self._known: dict[str, tuple[Revision, T]] = {}

    def look(self) -> tuple[T, ...]:
        """As they are now, in order of their keys. Raises BadInput when a row is malformed."""
        known = self._known
        found: dict[str, tuple[Revision, T]] = {}
        for text, raw, version in self._kv.scan(self._prefix):
            cached = known.get(text)
            if cached is None or cached[0] != version:
                cached = (version, self._prefix.codec.decode(raw))
            found[text] = cached
        self._known = found
        return tuple(value for _, value in found.values())
