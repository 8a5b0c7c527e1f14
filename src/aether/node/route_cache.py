"""The newest route table, rebuilt only when a route row changed.

Knows: the routes prefix of the store.
Never: tasks; a request must see what its node has applied, not what a watcher has got round to.
Holds: of two slices that claim one path the first keeps it, and the log says so once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from aether.kv import keys
from aether.kv.service import KvService
from aether.model.rows import RouteRow
from aether.web.router import RouteConflict
from aether.web.slices import RouteTable

_log = logging.getLogger("aether.node")


class RouteCache:
    """`cache()` gives the table of the rows as applied now."""

    def __init__(self, kv: KvService, changed: Callable[[RouteTable], None] = lambda _: None) -> None:
        self._kv = kv
        self._changed = changed
        self._revision = -1
        self._seen: tuple[tuple[str, int], ...] = ()
        self._table = RouteTable()
        self._conflicts: frozenset[str] = frozenset()

    def __call__(self) -> RouteTable:
        if self._kv.revision != self._revision:
            self._revision = self._kv.revision
            seen = tuple((key, int(version)) for key, _, version in self._kv.scan(keys.ROUTES))
            if seen != self._seen:
                self._seen, self._table = seen, RouteTable(self._kv.rows(keys.ROUTES))
                self._say_conflicts()
                self._changed(self._table)
        return self._table

    def published(self) -> tuple[object, Sequence[RouteRow]]:
        """The rows themselves, and what changes whenever they do."""
        self()
        return self._seen, tuple(self._kv.rows(keys.ROUTES))

    def _say_conflicts(self) -> None:
        conflicts = frozenset(map(self._described, self._table.router.conflicts))
        for conflict in sorted(conflicts - self._conflicts):
            _log.warning("two slices claim one path: %s", conflict)
        self._conflicts = conflicts

    def _described(self, conflict: RouteConflict) -> str:
        templates = (conflict.kept, conflict.refused)
        found = [t for t in self._table.targets if t.route.verb == conflict.verb and t.route.template in templates]
        owners = dict.fromkeys(str(target.artifact) for target in found)
        return f"{' and '.join(owners)}: {conflict}"
