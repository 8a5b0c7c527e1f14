"""What every decision about one slice can ask: hosts, worth, budget, places, new rows.

Knows: the wish for one `group:artifact`, its instances, the fleet.
Never: which instance begins or goes; that is what the kinds of decision are for.
Holds: nothing that serves is given away below `min_available`, however many ask.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from aether.deployment.budget import needed, wanted_in_all
from aether.deployment.digest import started_with
from aether.deployment.fleet import Choice, Fleet, Standing, candidate
from aether.deployment.guarded import PlacementFailed
from aether.deployment.orders import Unsatisfied, View
from aether.deployment.placement import Placement, spread
from aether.deployment.rebalance import ranked_by
from aether.deployment.stages import RANK, S, occupies
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import InstanceId, NodeId
from aether.model.placing import ANYWHERE
from aether.model.rows import DesiredRow, InstanceRow, UnsatisfiedRow


@attrs.define(eq=False)
class Setting:
    """What all slices of one decision share.

    moves     how many exchanges may still begin, as its only item
    replaced  told when `spread` says what goes, because the strategy of a slice fails
    """

    view: View
    fleet: Fleet
    new_id: Callable[[], InstanceId]
    placement: Placement
    strategies: Mapping[str, Placement]
    moves: list[int]
    replaced: Callable[[PlacementFailed], None]


class Budget:
    """How many ACTIVE instances may still go in this decision, with or without somebody in their place."""

    def __init__(self, decision: Decision) -> None:
        desired = decision.desired
        serving = sum(row.state is S.ACTIVE and not decision.is_suspect(row) for row in decision.rows)
        self._is_suspect = decision.is_suspect
        self.floor: int = 0 if desired is None else needed(desired.min_available, wanted_in_all(desired))
        self.spare: int = serving - self.floor
        self.refused: list[InstanceRow] = []

    def take(self, row: InstanceRow) -> bool:
        """Whether `row` may go; counts it."""
        if row.state is not S.ACTIVE or self._is_suspect(row):
            return True
        if self.spare <= 0 < self.floor:
            self.refused.append(row)
            return False
        self.spare -= 1
        return True


class Decision:
    """What every kind of decision knows of its slice."""

    def __init__(
        self, setting: Setting, base: ArtifactBase, desired: DesiredRow | None, rows: Sequence[InstanceRow]
    ) -> None:
        self.setting: Setting = setting
        self.view: View = setting.view
        self.fleet: Fleet = setting.fleet
        self.base: ArtifactBase = base
        self.desired: DesiredRow | None = desired
        self.rows: Sequence[InstanceRow] = rows
        self._is_bound = desired is not None and desired.placing != ANYWHERE
        named = desired.placing.strategy if desired is not None else ""
        self.budget: Budget = Budget(self)
        self.placement: Placement | None = setting.strategies.get(named) if named else setting.placement

    def host(self, row: InstanceRow) -> Standing:
        return self.fleet.standings[row.node]

    def is_suspect(self, row: InstanceRow) -> bool:
        return self.host(row).is_suspect

    def may_stay(self, row: InstanceRow) -> bool:
        """Whether its node keeps it: no drain, and nothing in the wish against it."""
        host = self.host(row)
        if host.leaves:
            return False
        return not self._is_bound or self.desired is None or host.fits(self.desired.placing)

    def choice(self, desired: DesiredRow, artifact: Artifact, placement: Placement) -> Choice:
        """Places for one more of `artifact`."""
        placing = desired.placing
        pools = self.fleet.pools(artifact, placing)
        going = self.fleet.going
        staying = (r for r in self.rows if (occupies(r) or r.state is S.FAILED) and r.instance not in going)
        same = Counter(row.node for row in staying)
        occupied = Counter(row.node for row in self.rows if occupies(row))
        return Choice(self.fleet, pools, placement, same, occupied, desired.max_per_node, placing.spread)

    def new_row(self, artifact: Artifact, node: NodeId, attempt: int) -> InstanceRow:
        """In LOAD, as a row to assign; the fleet has counted it already."""
        return InstanceRow(
            instance=self.setting.new_id(),
            artifact=artifact,
            node=node,
            incarnation=self.view.members[node].incarnation,
            state=S.LOAD,
            attempt=attempt,
            since=self.view.now,
            turn=self.fleet.last_turn,
            digest=self.digest,
        )

    def by_worth(self, rows: Iterable[InstanceRow]) -> list[InstanceRow]:
        """The ones to keep first: furthest on, then where the strategy would place them first."""
        ranked = sorted(rows, key=self._stage)
        if len(ranked) < 2:
            return ranked
        try:
            return self._by_rank(ranked, ranked_by(self.placement or self.setting.placement))
        except PlacementFailed as error:  # what should go goes nevertheless
            self.setting.replaced(error)
            return self._by_rank(ranked, spread)

    def _by_rank(self, ranked: Sequence[InstanceRow], placement: Placement) -> list[InstanceRow]:
        placing = ANYWHERE if self.desired is None else self.desired.placing
        seen: Counter[NodeId] = Counter()
        shares: Counter[str] = Counter()
        worth: dict[InstanceId, tuple[object, ...]] = {}
        for row in ranked:
            host = self.host(row)
            value = host.row.labels.get(placing.spread, "") if placing.spread else ""
            order = placing.pin.index(row.node) if row.node in placing.pin else host.order
            rank = placement(candidate(host, order, seen[row.node]))
            *stage, last = self._stage(row)
            worth[row.instance] = (*stage, shares[value], rank, last)
            seen[row.node] += 1
            if placing.spread:
                shares[value] += 1
        return sorted(ranked, key=lambda row: worth[row.instance])

    def _stage(self, row: InstanceRow) -> tuple[int, bool, bool, InstanceId]:
        return RANK[row.state], self.is_suspect(row), self.is_stale(row), row.instance

    def is_stale(self, row: InstanceRow) -> bool:
        """Started with another configuration than the one that is wanted now."""
        return self.desired is not None and bool(row.digest) and row.digest != self.digest

    @functools.cached_property
    def digest(self) -> str:
        """Of what an instance of the wish is started with."""
        return "" if self.desired is None else started_with(self.desired)

    def failed(self, error: PlacementFailed) -> Unsatisfied:
        """What a strategy that gives no ranks means for the slice."""
        wanted = 0 if self.desired is None else wanted_in_all(self.desired)
        return self.short(max(1, wanted - sum(row.state in RANK for row in self.rows)), (str(error),))

    def short(self, missing: int, reasons: Iterable[str]) -> Unsatisfied:
        return Unsatisfied(
            UnsatisfiedRow(artifact=self.base, missing=missing, reason="; ".join(dict.fromkeys(reasons)))
        )
