"""The rows that a leader decides on, cached, and the view that they make.

Knows: which rows a decision needs; what else changes over time.
Never: decides; waits.
Holds: equal sights give equal decisions: one that led to no order need not be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from aether.deployment.duties import duties_of, forced_drains
from aether.deployment.orders import View
from aether.deployment.presence import Present
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.service import KvService
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.duty import DutyRow
from aether.model.ids import NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, MemberRow, SingletonRow, UnsatisfiedRow


@attrs.frozen(eq=False)
class Rows:
    """What stood in the store at one look. A tuple that did not change is the same object at the next look."""

    desired: tuple[DesiredRow, ...]
    instances: tuple[InstanceRow, ...]
    singletons: tuple[SingletonRow, ...]
    routes: frozenset[ArtifactBase]

    def is_same(self, other: Rows | None) -> bool:
        """Without looking at any row."""
        return other is not None and all(
            getattr(self, field) is getattr(other, field) for field in ("desired", "instances", "singletons", "routes")
        )


class _SharedOffers:
    """Rows of members, those with equal offers with the same tuple of them; each row is compared once."""

    def __init__(self) -> None:
        self._rows: dict[NodeId, tuple[MemberRow, MemberRow]] = {}
        self._known: dict[tuple[Artifact, ...], tuple[Artifact, ...]] = {}
        self._last: tuple[tuple[MemberRow, ...], tuple[MemberRow, ...]] = (), ()

    def take(self, row: MemberRow) -> bool:
        """Whether `row` is new."""
        known = self._rows.get(row.node)
        if known is not None and known[0] is row:
            return False
        offered = self._known.setdefault(row.available, row.available)
        self._rows[row.node] = row, row if offered is row.available else attrs.evolve(row, available=offered)
        return True

    def shared(self, rows: tuple[MemberRow, ...]) -> tuple[MemberRow, ...]:
        """All rows, and nothing else remembered. The same tuple gives the same one."""
        if self._last[0] is not rows:
            for row in rows:
                self.take(row)
            self._rows = {row.node: self._rows[row.node] for row in rows}
            found = tuple(shared for _, shared in self._rows.values())
            if len(self._known) > len(rows):
                self._known = {row.available: row.available for row in found}
            self._last = rows, found
        return self._last[1]


class Sight:
    """Over one node's store."""

    def __init__(self, kv: KvService) -> None:
        self._kv = kv
        self._desired = CachedRows(kv, keys.DESIRED)
        self._instances = CachedRows(kv, keys.INSTANCES)
        self._singletons = CachedRows(kv, keys.SINGLETONS)
        self._members = CachedRows(kv, keys.MEMBERS)
        self._duties = CachedRows(kv, keys.DUTIES)
        self._unsatisfied = CachedRows(kv, keys.UNSATISFIED)
        self._routes = CachedRows(kv, keys.ROUTES)
        self._offers = _SharedOffers()
        nothing = Rows((), (), (), frozenset())
        self._shown: tuple[Rows, frozenset[str], Rows] = nothing, frozenset(), nothing
        self._routed: tuple[object, frozenset[ArtifactBase]] = (None, frozenset())

    def catch_up(self) -> Iterator[None]:
        """Read what changed, with places to yield."""
        for rows in (self._desired, self._instances, self._singletons, self._members, self._routes, self._unsatisfied):
            yield from rows.catch_up()
            yield
        for row in self._members.look():
            if self._offers.take(row):
                yield

    def members(self) -> tuple[MemberRow, ...]:
        """Members that offer the same share one tuple: who compares them has little to do."""
        return self._offers.shared(self._members.look())

    def duties(self) -> tuple[DutyRow, ...]:
        """What was said of members; who is not named is on duty."""
        return self._duties.look()

    def desired(self) -> tuple[DesiredRow, ...]:
        return self._desired.look()

    def unsatisfied(self) -> Mapping[ArtifactBase, UnsatisfiedRow]:
        return {row.artifact: row for row in self._unsatisfied.look()}

    def rows(self) -> Rows:
        """As they are now; nothing of slices whose desired row cannot be read: who knows whether they are wanted?"""
        routes = self._routes.look()
        if self._routed[0] is not routes:
            self._routed = routes, frozenset(row.artifact for row in routes)
        rows = Rows(self._desired.look(), self._instances.look(), self._singletons.look(), self._routed[1])
        hidden = frozenset(key for key in self._kv.unreadable if key.startswith(keys.DESIRED))
        return self._without(rows, hidden) if hidden else rows

    def _without(self, rows: Rows, hidden: frozenset[str]) -> Rows:
        """The same object for the same rows, so that what is settled stays so."""
        seen, left_out, shown = self._shown
        if not rows.is_same(seen) or left_out != hidden:
            shown = Rows(
                rows.desired,
                tuple(row for row in rows.instances if keys.desired(row.artifact.base).text not in hidden),
                tuple(row for row in rows.singletons if keys.desired(row.artifact).text not in hidden),
                frozenset(base for base in rows.routes if keys.desired(base).text not in hidden),
            )
            self._shown = rows, hidden, shown
        return shown

    def view(
        self, rows: Rows, present: Present, learners: frozenset[NodeId], leased: frozenset[NodeId], now: float
    ) -> View:
        """now  wall-clock seconds."""
        duties = self.duties()
        failed = [row for row in rows.instances if row.state is SliceState.FAILED]
        return View(
            desired={row.artifact.base: row for row in rows.desired},
            instances=rows.instances,
            members=present.members,
            suspect=present.suspect,
            resting=present.resting,
            learners=learners,
            leased=leased,
            routes=rows.routes,
            duties=duties_of(present.members.values(), duties),
            forced=forced_drains(duties),
            singletons={row.artifact: row for row in rows.singletons},
            desired_at={base: self._kv.version(keys.desired(base)) for base in {r.artifact.base for r in failed}},
            failed_at={
                row.instance: self._kv.version(keys.instance(row.artifact.base, row.instance)) for row in failed
            },
            now=now,
        )
