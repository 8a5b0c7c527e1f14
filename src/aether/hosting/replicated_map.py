"""`aether.map` over the replicated store.

Knows: entries as rows `maps/{name}/{key}`, limits as the row `maps/{name}`; each change is one batch.
Never: keys and values as types (slice_api's Map), quotas' arithmetic (room kv).
Holds: a read sees every write acknowledged before it, from whichever node: it waits for a barrier first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from aether.errors import Conflict, Overloaded
from aether.hosting.fencing import Fence
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.key_parts import escape, unescape
from aether.kv.keys import MapRow
from aether.kv.service import KvService
from aether.model.ids import Revision
from aether.slice_api.maps import Map, RawEntry

K = TypeVar("K")
V = TypeVar("V")

DEFINE_TRIES_MAX: Final = 8
FENCED_TRIES_MAX: Final = 8


class ReplicatedBackend:
    """MapBackend of slice_api over one map of the store. fence  of the singleton that writes, None for others"""

    def __init__(self, kv: KvService, name: str, fence: Fence | None = None) -> None:
        self._kv = kv
        self._fence = fence
        self._name = name
        self._prefix = keys.map_entries(name)

    async def get(self, key: bytes) -> RawEntry | None:
        """The entry as every acknowledged write left it. Raises NoQuorum, Overloaded, Draining."""
        await self._kv.barrier()
        row = keys.map_entry(self._name, key)
        value = self._kv.get(row)
        return None if value is None else RawEntry(key, value, self._kv.version(row))

    async def apply(self, changes: Mapping[bytes, bytes | None], if_versions: Mapping[bytes, int]) -> bool:
        """All or nothing, once; False when a version differs.

        Raises QuotaExceeded, NoQuorum, OutcomeUnknown; Conflict when the singleton that writes has been replaced.
        """
        compares = tuple(
            Compare(keys.map_entry(self._name, key), Revision(version)) for key, version in if_versions.items()
        )
        changed = tuple(
            Delete(keys.map_entry(self._name, key)) if value is None else Put(keys.map_entry(self._name, key), value)
            for key, value in changes.items()
        )
        if self._fence is None:
            return (await self._kv.propose(Batch(compares, changed))).applied
        return await self._apply_fenced(self._fence, Batch(compares, changed))

    async def _apply_fenced(self, fence: Fence, batch: Batch) -> bool:
        """The row of the token may be written without a new token: then this instance is still the one."""
        for _ in range(FENCED_TRIES_MAX):
            compares = (fence.compare(self._kv), *batch.compares)
            result = await self._kv.propose(Batch(compares, batch.changes))
            if result.applied or result.conflict != fence.key.text:
                return result.applied
        raise Overloaded(f"writes of the token of {fence.base}", FENCED_TRIES_MAX)

    async def scan(self, prefix: bytes, after: bytes | None, limit: int) -> Sequence[RawEntry]:
        """In order of the keys' bytes. Looks at every entry under `prefix`: texts of rows are ordered differently."""
        await self._kv.barrier()
        found = (entry for entry in self._entries(prefix) if after is None or entry.key > after)
        return heapq.nsmallest(limit, found, key=lambda entry: entry.key)

    async def count(self) -> int:
        await self._kv.barrier()
        return sum(1 for _ in self._kv.scan(self._prefix))

    def _entries(self, prefix: bytes) -> Iterator[RawEntry]:
        start = len(self._prefix)
        for text, raw, version in self._kv.scan(self._prefix + escape(prefix)):
            yield RawEntry(unescape(text[start:]), self._prefix.codec.decode(raw), version)


def replicated_map(kv: KvService, name: str, key: type[K] | Any, value: type[V] | Any) -> Map[K, V]:
    """The map `name` of the cluster. Whoever names it shares it; raises NoCodec for types that cannot be stored."""
    return cast("Map[K, V]", Map(key, value, ReplicatedBackend(kv, name), name=name))


async def define_map(kv: KvService, name: str, entries_max: int, bytes_max: int) -> None:
    """Set the limits of the map `name`; the last slice to start wins. Raises Conflict when others keep changing it."""
    wanted = MapRow(entries_max=entries_max, bytes_max=bytes_max)
    row = keys.map_definition(name)
    for _ in range(DEFINE_TRIES_MAX):
        current = kv.get(row)
        if current == wanted or (current is None and wanted == MapRow()):
            return
        if (await kv.propose(Batch((Compare(row, kv.version(row)),), (Put(row, wanted),)))).applied:
            return
    raise Conflict(f"map {name!r}", "other slices keep changing its limits; give it the same limits everywhere")
