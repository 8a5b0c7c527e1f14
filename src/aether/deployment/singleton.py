"""The decision for a slice that runs at most once, with a fencing token that only rises.

Knows: the wish, the one instance, what outlives it.
Never: replaces before the old one is gone: two at once is what it must prevent.
Holds: an instance is assigned only when no row of the slice is left but those of lost nodes, and together with a higher
       token: of two such orders one is refused, also when an answer was lost.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from aether.deployment.decision import Decision
from aether.deployment.orders import Assign, Move, Order
from aether.deployment.shortage import why_short
from aether.deployment.stages import GROW, RANK, SHRINK, S, each, is_due, next_attempt
from aether.model.artifact import Artifact
from aether.model.rows import DesiredRow, InstanceRow, SingletonRow


class SingletonDecision(Decision):
    """One instance, or none."""

    def orders(self) -> Iterator[Order]:
        """At most one order per row."""
        artifact = self._target()
        running = self.by_worth(row for row in self.rows if row.state in RANK)
        if artifact is None or self.desired is None:
            yield from each(running, SHRINK)
            yield from (self._unload(row) for row in self.rows if row.state is S.FAILED)
            return
        yield from each(running[1:], SHRINK)
        for row in running[:1]:
            yield from self._go_on(self.desired, artifact, row)
        for row in self.rows:
            if row.state is S.FAILED and (running or not self._is_right(artifact, row) or is_due(row, self.view)):
                yield self._unload(row)
        if not self.rows:
            yield from self._assign(self.desired, artifact)

    def _target(self) -> Artifact | None:
        """The version in force, or the one beside it once none of the former is wanted."""
        desired = self.desired
        if desired is None:
            return None
        if desired.instances > 0:
            return desired.artifact
        if desired.beside is not None and desired.beside_instances > 0:
            return self.base.at(desired.beside)
        return None

    def _is_right(self, artifact: Artifact, row: InstanceRow) -> bool:
        return row.artifact == artifact and row.token > 0 and not self.is_stale(row) and self.may_stay(row)

    def _go_on(self, desired: DesiredRow, artifact: Artifact, row: InstanceRow) -> Iterator[Order]:
        if self._is_right(artifact, row):
            yield from each((row,), GROW)
        elif row.state is not S.ACTIVE or self.host(row).is_forced or self._may_go(desired, artifact, row):
            yield from each((row,), SHRINK)
        else:
            yield self.short(1, (why_short(self.fleet, desired, artifact, (row,) if self.budget.floor else ()),))

    def _may_go(self, desired: DesiredRow, artifact: Artifact, row: InstanceRow) -> bool:
        """With a place to go to; from a drained node not against `min_available`."""
        if self.host(row).leaves and self.budget.floor > 0:
            return False
        return self.placement is not None and self.choice(desired, artifact, self.placement).best() is not None

    def _unload(self, row: InstanceRow) -> Order:
        """The attempt is written down: the row that knows it is about to go."""
        after = attrs.evolve(self._memory(), attempt=next_attempt(row, self.view))
        return Move(row, S.UNLOAD, after)

    def _assign(self, desired: DesiredRow, artifact: Artifact) -> Iterator[Order]:
        if self.placement is None:
            yield self.short(1, (f"there is no placement strategy {desired.placing.strategy!r}",))
            return
        standing = self.choice(desired, artifact, self.placement).take(self.fleet.last_turn + 1)
        if standing is None:
            yield self.short(1, (why_short(self.fleet, desired, artifact, ()),))
            return
        memory = self._memory()
        after = attrs.evolve(memory, token=memory.token + 1, attempt=0)
        new = self.new_row(artifact, standing.node, memory.attempt)
        yield Assign(attrs.evolve(new, token=after.token), after)

    def _memory(self) -> SingletonRow:
        return self.view.singletons.get(self.base, SingletonRow(artifact=self.base))
