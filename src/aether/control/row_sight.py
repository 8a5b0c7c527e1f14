"""The rows that the control loop looks at, each decoded once per change.

Knows: which prefixes they stand under.
Never: what they mean for a count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aether.control.sight import Rows
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.ids import Incarnation, NodeId, Revision


class RowSight:
    """Of one node. live  the members that answer, this node included"""

    def __init__(self, kv: KvService, live: Callable[[], Mapping[NodeId, Incarnation]]) -> None:
        self._kv = kv
        self._live = live
        self._desired = CachedRows(kv, keys.DESIRED)
        self._instances = CachedRows(kv, keys.INSTANCES)
        self._overrides = CachedRows(kv, keys.OVERRIDES)
        self._rollouts = CachedRows(kv, keys.ROLLOUTS)
        self._unsatisfied = CachedRows(kv, keys.UNSATISFIED)
        self._routes = CachedRows(kv, keys.ROUTES)
        self._members = CachedRows(kv, keys.MEMBERS)
        self._duties = CachedRows(kv, keys.DUTIES)
        self._decisions = CachedRows(kv, keys.DECISIONS)
        self._at = Revision(0)

    def rows(self) -> Rows:
        """As they are applied here now."""
        self._at = self._kv.revision
        return Rows(
            desired=self._desired.look(),
            instances=self._instances.look(),
            overrides=self._overrides.look(),
            rollouts=self._rollouts.look(),
            unsatisfied=self._unsatisfied.look(),
            routes=self._routes.look(),
            members=self._members.look(),
            duties=self._duties.look(),
            decisions=self._decisions.look(),
            live=dict(self._live()),
        )

    def stands(self, base: ArtifactBase) -> bool:
        """Whether the wish for `base` is still the one of the last look: a controller may have taken its time."""
        desired, override = self._kv.version(keys.desired(base)), self._kv.version(keys.override(base))
        known = keys.override(base).text not in self._kv.unreadable  # else nobody knows what an operator wants
        return known and 0 < desired <= self._at and override <= self._at
