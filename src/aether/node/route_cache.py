"""The newest route table, rebuilt only when a route row changed.

Knows: the routes prefix of the store; which versions of a slice get calls.
Never: tasks; a request must see what its node has applied, not what a watcher has got round to.
Holds: of two slices that claim one path the first keeps it, and the log says so once; what is asked of the users of a
       route holds as long as the route, also while its slice is wanted no more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.rows import RouteRow
from aether.model.serving import published, serving
from aether.web.router import RouteConflict
from aether.web.slices import RouteTable

_log = logging.getLogger("aether.node")

Rules = Mapping[str, str]


class RouteCache:
    """`cache()` gives the table of the rows as applied now."""

    def __init__(self, kv: KvService, changed: Callable[[RouteTable], None] = lambda _: None) -> None:
        self._kv = kv
        self._changed = changed
        self._revision = -1
        self._routes = CachedRows(kv, keys.ROUTES)
        self._kept: dict[ArtifactBase, tuple[RouteRow, tuple[int, int], tuple[RouteRow, ...], Rules | None]] = {}
        self._seen: tuple[tuple[RouteRow, ...], ...] = ()
        self._rows: tuple[RouteRow, ...] = ()
        self._rules: dict[ArtifactBase, Rules | None] = {}
        self._table = RouteTable()
        self._conflicts: frozenset[str] = frozenset()

    def __call__(self) -> RouteTable:
        if self._kv.revision != self._revision:
            self._revision = self._kv.revision
            seen = tuple(map(self._shown, self._routes.look()))
            self._kept = {versions[0].artifact: self._kept[versions[0].artifact] for versions in seen}
            rules = {base: kept[3] for base, kept in self._kept.items()}
            if seen != self._seen or rules != self._rules:
                self._seen, self._rules = seen, rules
                self._rows = tuple(row for versions in seen for row in published(versions))
                self._table = RouteTable(self._rows, rules.__getitem__)
                self._say_conflicts()
                self._changed(self._table)
        return self._table

    def published(self) -> tuple[object, Sequence[RouteRow]]:
        """The rows themselves, and what changes whenever they do."""
        self()
        return self._seen, self._rows

    def _shown(self, row: RouteRow) -> tuple[RouteRow, ...]:
        """What the versions of a slice that get calls say; the same objects as long as nothing of it changes."""
        base = row.artifact
        seen = (self._kv.version(keys.desired(base)), self._kv.version(keys.traffic(base)))
        kept = self._kept.get(base)
        if kept is None or kept[0] is not row or kept[1] != seen:
            desired = self._kv.get(keys.desired(base))
            versions = serving(row, desired, self._kv.get(keys.traffic(base)))
            shown = kept[2] if kept is not None and kept[2] == versions else versions
            known = kept[3] if kept is not None else None  # what its blueprint said last, once it is wanted no more
            kept = self._kept[base] = (row, seen, shown, known if desired is None else desired.security)
        return kept[2]

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
