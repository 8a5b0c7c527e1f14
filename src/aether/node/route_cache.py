"""The newest route table, rebuilt only when a route row changed.

Knows: the routes prefix of the store.
Never: tasks; a request must see what its node has applied, not what a watcher has got round to.
"""

from __future__ import annotations

from aether.kv import keys
from aether.kv.service import KvService
from aether.web.slices import RouteTable


class RouteCache:
    """`cache()` gives the table of the rows as applied now."""

    def __init__(self, kv: KvService) -> None:
        self._kv = kv
        self._revision = -1
        self._seen: tuple[tuple[str, int], ...] = ()
        self._table = RouteTable()

    def __call__(self) -> RouteTable:
        if self._kv.revision != self._revision:
            self._revision = self._kv.revision
            seen = tuple((key, int(version)) for key, _, version in self._kv.scan(keys.ROUTES))
            if seen != self._seen:
                self._seen, self._table = seen, RouteTable(self._kv.rows(keys.ROUTES))
        return self._table
