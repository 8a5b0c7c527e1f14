"""A new state of the store, built beside the present one from a snapshot that comes in pieces.

Knows: the present rows, so that what did not change is not held twice.
Never: where the pieces come from, who waits for the store.
Holds: the present state is untouched until `finish` gives the new one away, complete; a piece costs what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs
from sortedcontainers import SortedList

from aether.kv.quotas import MapQuotas
from aether.kv.sessions import SessionTable
from aether.kv.snapshot import Head, StateReader
from aether.model.ids import LogIndex, Revision


@attrs.frozen(eq=False)
class Contents:
    """Everything that a snapshot makes of a store."""

    head: Head
    values: dict[str, bytes]
    versions: dict[str, Revision]
    keys: SortedList[str]
    sessions: SessionTable
    quotas: MapQuotas


class StoreRestoration:
    """See aether.consensus.values.Restoration.

    values, versions and keys are the present ones; replace  gets the new contents
    """

    def __init__(
        self,
        index: LogIndex,
        values: Mapping[str, bytes],
        versions: Mapping[str, Revision],
        keys: SortedList[str],
        quotas: MapQuotas,
        replace: Callable[[Contents], None],
    ) -> None:
        self._index = index
        self._present_values = values
        self._present_versions = versions
        self._present_keys: Iterator[str] = iter(keys)
        self._present = next(self._present_keys, None)
        self._replace = replace
        self._reader = StateReader()
        self._values: dict[str, bytes] = {}
        self._versions: dict[str, Revision] = {}
        self._keys: SortedList[str] = SortedList()
        self._quotas = quotas.emptied()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes. Raises BadInput."""
        values, versions, add, include = self._values, self._versions, self._keys.add, self._quotas.include
        present_values, present_versions = self._present_values, self._present_versions
        present_keys, present = self._present_keys, self._present
        for key, value, version in self._reader.take(piece):
            while present is not None and present < key:  # both are sorted
                present = next(present_keys, None)
            if present is not None and present == key:
                key = present  # the same text is not kept twice, nor the same value
                if present_values[present] == value:
                    value = present_values[present]
                if present_versions[present] == version:
                    version = present_versions[present]
            values[key], versions[key] = value, Revision(version)
            add(key)
            include(key, value)
        self._present = present

    def finish(self) -> None:
        """Hand the new state over. Raises BadInput when it is incomplete, or not of the index."""
        head = self._reader.finish(self._index)
        sessions = SessionTable()
        for session in self._reader.sessions:
            sessions.add(session)
        self._replace(Contents(head, self._values, self._versions, self._keys, sessions, self._quotas))
