"""One step from what runs towards what is wanted.

Knows: desired rows, instance rows, members and what each can load, back-off of failures.
Never: time, randomness (both are passed in), how orders are written.
Holds: the same view and ids give the same orders on whichever node leads; obeying them converges;
       of another version, or on a node that it must leave, an instance goes only when its replacement is ACTIVE, and
       never below `min_available`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs

from aether.deployment.decision import Setting
from aether.deployment.exchanges import exchanges
from aether.deployment.fleet import Fleet
from aether.deployment.guarded import PlacementFailed, guarded
from aether.deployment.orders import Assign, DropRoutes, Forget, Move, Order, Unsatisfied, View
from aether.deployment.placement import STRATEGIES, Placement, spread
from aether.deployment.singleton import SingletonDecision
from aether.deployment.slice_decision import SliceDecision
from aether.deployment.stages import RANK, backoff_s, occupies
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import InstanceId
from aether.model.limits import REBALANCE_MOVES_MAX
from aether.model.rows import InstanceRow

__all__ = ["Assign", "DropRoutes", "Forget", "Move", "Order", "Unsatisfied", "View", "backoff_s", "reconcile"]

_ORDERS_PER_PART: Final = 32
_ROWS_PER_STEP: Final = 1_000


def reconcile(
    view: View,
    new_id: Callable[[], InstanceId],
    placement: Placement = spread,
    strategies: Mapping[str, Placement] = STRATEGIES,
    replaced: Callable[[PlacementFailed], None] = lambda _: None,
) -> Iterator[tuple[Order, ...]]:
    """The orders in parts (some empty): at least one per artifact, so that a long decision can yield in between.

    placement   of slices that name none; strategies  those that a slice may name
    replaced    told when `spread` says what goes, because the strategy of a slice fails
    """
    fleet = Fleet(view)
    for _ in fleet.prepare():
        yield ()
    rows = _Rows(fleet, view)
    yield from rows.sort_out(view.instances)
    moves = [REBALANCE_MOVES_MAX - rows.moves]
    named = {name: guarded(strategy) for name, strategy in strategies.items()}
    setting = Setting(view, fleet, new_id, guarded(placement), named, moves, replaced)
    for base in sorted(view.desired.keys() | rows.ours.keys(), key=str):
        if base in rows.leased:
            yield ()  # its last instance may still run where nobody can see it
            continue
        desired = view.desired.get(base)
        ours = sorted(rows.ours.get(base, ()), key=_instance)
        kind = SingletonDecision if desired is not None and desired.singleton else SliceDecision
        yield from _parts(_orders(kind(setting, base, desired, ours)))
    remaining = (
        {row.artifact.base for row in view.instances} if view.routes - view.desired.keys() else set[ArtifactBase]()
    )
    yield tuple(DropRoutes(base) for base in sorted(view.routes - view.desired.keys() - remaining))


@attrs.define
class _Rows:
    """Instances by slice, without those of lost nodes.

    moves  exchanges for the sake of balance that are on their way; leased  singletons that must not be replaced yet
    """

    fleet: Fleet
    view: View
    ours: defaultdict[ArtifactBase, list[InstanceRow]] = attrs.field(
        factory=lambda: defaultdict[ArtifactBase, list[InstanceRow]](list)
    )
    moves: int = 0
    leased: set[ArtifactBase] = attrs.field(factory=set[ArtifactBase])

    def sort_out(self, instances: tuple[InstanceRow, ...]) -> Iterator[tuple[Order, ...]]:
        """Fill in, with places to yield; orders to forget what is lost."""
        going = self._going(instances)
        self.fleet.going |= going
        for start in range(0, len(instances), _ROWS_PER_STEP):
            lost = [row for row in instances[start : start + _ROWS_PER_STEP] if not self._carried(row)]
            yield tuple(Forget(row) for row in sorted(lost, key=lambda row: (str(row.artifact.base), row.instance)))
        self.moves = len(going)

    def _going(self, instances: tuple[InstanceRow, ...]) -> set[InstanceId]:
        """Those that another one should replace. With more wanted meanwhile both stay: that exchange is over."""
        artifacts = {row.artifact for row in instances if row.replaces}
        standing = defaultdict[Artifact, list[InstanceRow]](list)
        for row in instances if artifacts else ():
            if row.artifact in artifacts and row.state in RANK and self.fleet.hosts(row) is not None:
                standing[row.artifact].append(row)
        going: set[InstanceId] = set()
        for artifact, rows in standing.items():
            extra = max(0, len(rows) - _wanted(self.view, artifact))
            going.update(old.instance for _, old in exchanges(rows)[:extra])
        return going

    def _carried(self, row: InstanceRow) -> bool:
        host = self.fleet.hosts(row)
        if host is None:
            if not row.token or not self._may_still_run(row):
                return False
            self.leased.add(row.artifact.base)
            return True
        self.ours[row.artifact.base].append(row)
        if row.turn > host.turn:
            host.turn = row.turn
            self.fleet.last_turn = max(self.fleet.last_turn, row.turn)
        if occupies(row):
            host.load += 1
            if row.state in RANK and row.instance not in self.fleet.going:
                host.staying += 1
        return True

    def _may_still_run(self, row: InstanceRow) -> bool:
        return row.node in self.view.leased and row.node not in self.view.members


def _wanted(view: View, artifact: Artifact) -> int:
    desired = view.desired.get(artifact.base)
    if desired is None:
        return 0
    return desired.instances if artifact == desired.artifact else desired.beside_instances


def _instance(row: InstanceRow) -> InstanceId:
    return row.instance


def _orders(decision: SliceDecision | SingletonDecision) -> Iterator[Order]:
    """All that can be said: what needs no place is ordered though the strategy fails."""
    try:
        yield from decision.orders()
    except PlacementFailed as error:
        yield decision.failed(error)


def _parts(orders: Iterator[Order]) -> Iterator[tuple[Order, ...]]:
    part: list[Order] = []
    for order in orders:
        part.append(order)
        if len(part) == _ORDERS_PER_PART:
            yield tuple(part)
            part = []
    yield tuple(part)
