"""The decision for a slice of any number: which instances begin, go on, are exchanged, go.

Knows: the wish in one version, or in two beside each other; how many of each stand.
Never: singletons, which obey stricter rules.
Holds: of neither version an instance is taken while it is wanted; what serves goes when its replacement serves; at most
       one exchange is on its way, and one begins only when everything else of the slice stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence

import attrs

from aether.deployment.decision import Decision
from aether.deployment.exchanges import exchanges
from aether.deployment.orders import Assign, Move, Order
from aether.deployment.rebalance import is_rebalanced, next_move, ranked_by
from aether.deployment.shortage import Shortage, why_short
from aether.deployment.stages import GROW, RANK, SHRINK, S, each, is_due, next_attempt
from aether.model.artifact import Artifact
from aether.model.ids import NodeId
from aether.model.rows import DesiredRow, InstanceRow


@attrs.define(eq=False)
class Target:
    """One version that is wanted.

    attempts  of instances that are tried again
    """

    artifact: Artifact
    wanted: int
    keep: list[InstanceRow] = attrs.field(factory=list[InstanceRow])
    attempts: list[int] = attrs.field(factory=list[int])
    missing: int = 0


class SliceDecision(Decision):
    """Any number of instances."""

    def orders(self) -> Iterator[Order]:
        """At most one order per row. An exchange begins only where nothing else is to do and nothing is on its way."""
        targets = self._targets()
        leaving = self._leaving(targets)
        for row in leaving:
            self.fleet.release(row)
        shortages: list[Shortage] = []
        is_quiet = True
        for order in self._steps(targets, leaving, shortages):
            is_quiet = False
            yield order
        yield from self._short(shortages, is_stuck=is_quiet and all(row.state is S.ACTIVE for row in self.rows))
        if is_quiet and self.desired is not None:
            may_move = not shortages and not leaving
            yield from self._exchange(self.desired, targets, may_move=may_move)

    def _steps(
        self, targets: Sequence[Target], leaving: Sequence[InstanceRow], shortages: list[Shortage]
    ) -> Iterator[Order]:
        for target in targets:
            yield from self._keep(target)
        gone = yield from self._leave(leaving, targets)
        yield from self._failed(targets)
        if self.desired is None:
            return
        for target in targets:
            shortages += yield from self._fill(self.desired, target, leaving, gone)
        if shortages:
            yield from self._without_replacement(leaving, gone)

    def _short(self, shortages: Sequence[Shortage], *, is_stuck: bool) -> Iterator[Order]:
        """Where nothing moves any more, also that is missing for which a place should come free."""
        counted = [(s.missing if is_stuck else s.missing - s.to_come, s) for s in shortages]
        missing = sum(count for count, _ in counted if count > 0)
        if missing and self.desired is not None:
            held, desired = self.budget.refused, self.desired
            reasons = (
                s.reason or why_short(self.fleet, desired, s.artifact, held) for count, s in counted if count > 0
            )
            yield self.short(missing, reasons)

    def _targets(self) -> list[Target]:
        desired = self.desired
        if desired is None:
            return []
        targets = [Target(desired.artifact, desired.instances)]
        if desired.beside is not None and desired.beside != desired.artifact.version:
            targets.append(Target(self.base.at(desired.beside), desired.beside_instances))
        return targets

    # --- what stays and goes on ---

    def _keep(self, target: Target) -> Iterator[Order]:
        good = [r for r in self.rows if r.state in RANK and r.artifact == target.artifact and self.may_stay(r)]
        extra = len(good) - target.wanted
        target.keep, surplus = good, []
        if extra > 0:
            surplus = self._surplus(good, extra)
            going = {row.instance for row in surplus}
            target.keep = [row for row in good if row.instance not in going]
        target.missing = max(0, -extra)
        yield from each(target.keep, GROW)
        yield from each((row for row in surplus if self.budget.take(row)), SHRINK)

    def _surplus(self, good: Sequence[InstanceRow], extra: int) -> list[InstanceRow]:
        """Those beyond what is wanted that may go now: first who serves nobody, then who was replaced.

        Who is on its way out must stay that: of two that take turns in going neither would ever be gone.
        """
        pairs = exchanges(good)
        coming = {new.instance for new, _ in pairs} - {old.instance for _, old in pairs}
        ranked = self.by_worth(good)
        idle = [r for r in reversed(ranked) if r.state is not S.ACTIVE and r.instance not in coming][:extra]
        replaced = [(new, old) for new, old in pairs if old.state is S.ACTIVE]
        rest = extra - len(idle)
        if len(replaced) < rest:
            return ranked[len(good) - extra :]
        return idle + [old for new, old in replaced[:rest] if new.state is S.ACTIVE and not self.is_suspect(new)]

    # --- what goes ---

    def _leaving(self, targets: Sequence[Target]) -> list[InstanceRow]:
        """Of a version that nobody wants, or where it may not stay."""
        wanted = {target.artifact for target in targets}
        return self.by_worth(
            r for r in self.rows if r.state in RANK and not (r.artifact in wanted and self.may_stay(r))
        )

    def _leave(
        self, leaving: Sequence[InstanceRow], targets: Sequence[Target]
    ) -> Generator[Order, None, list[InstanceRow]]:
        """Let go what is not needed until its replacement serves; returns it."""
        if not leaving:
            return []
        wanted = sum(target.wanted for target in targets)
        serving = sum(r.state is S.ACTIVE and not self.is_suspect(r) for target in targets for r in target.keep)
        needed = max(0, wanted - serving)
        gone: list[InstanceRow] = []
        for row in leaving:
            if row.state is S.ACTIVE and not self.host(row).is_forced:
                if needed > 0:
                    needed -= 1
                    continue
                if not self.budget.take(row):
                    continue
            gone.append(row)
        yield from each(gone, SHRINK)
        return gone

    def _without_replacement(self, leaving: Sequence[InstanceRow], gone: Sequence[InstanceRow]) -> Iterator[Order]:
        """A node that is drained gives away what has no other place, as far as `min_available` says that it may."""
        if self.budget.floor == 0:
            return
        rest = [row for row in _others(leaving, gone) if row.state is S.ACTIVE and self.host(row).leaves]
        yield from each((row for row in reversed(rest) if self.budget.take(row)), SHRINK)

    def _failed(self, targets: Sequence[Target]) -> Iterator[Order]:
        """FAILED instances fill a gap until their back-off is over; then each is unloaded and tried again."""
        by_artifact = {target.artifact: target for target in targets}
        slots = {target.artifact: target.missing for target in targets}
        for row in [row for row in self.rows if row.state is S.FAILED]:
            target = by_artifact.get(row.artifact)
            if target is not None and self.may_stay(row):
                if slots[row.artifact] > 0:
                    slots[row.artifact] -= 1
                    if not is_due(row, self.view):
                        target.missing -= 1
                        continue
                    target.attempts.append(next_attempt(row, self.view))
                elif any(row.replaces == other.instance for other in target.keep):
                    if not is_due(row, self.view):
                        continue
                    yield from self._tried_again(target, row)
            yield Move(row, S.UNLOAD)

    def _tried_again(self, target: Target, failed: InstanceRow) -> Iterator[Order]:
        """An instance that should replace another, and failed: the next attempt counts on."""
        if self.desired is None or self.placement is None:
            return
        standing = self.choice(self.desired, target.artifact, self.placement).take(self.fleet.last_turn + 1)
        if standing is not None:
            new = self.new_row(target.artifact, standing.node, next_attempt(failed, self.view))
            yield Assign(attrs.evolve(new, replaces=failed.replaces))

    # --- what comes ---

    def _fill(
        self, desired: DesiredRow, target: Target, leaving: Sequence[InstanceRow], gone: Sequence[InstanceRow]
    ) -> Generator[Order, None, list[Shortage]]:
        if target.missing == 0:
            return []
        if self.placement is None:
            reason = f"there is no placement strategy {desired.placing.strategy!r}"
            return [Shortage(target.artifact, target.missing, 0, reason)]
        choice = self.choice(desired, target.artifact, self.placement)
        placed: Counter[NodeId] = Counter()
        for attempt in (*target.attempts, *([0] * target.missing))[: target.missing]:
            standing = choice.take(self.fleet.last_turn + 1)
            if standing is None:
                break
            placed[standing.node] += 1
            yield Assign(self.new_row(target.artifact, standing.node, attempt))
        if placed.total() == target.missing:
            return []
        if not placed and not gone:
            yield from self._make_room(desired, target, leaving)
        missing, to_come = target.missing - placed.total(), self._room_to_come(desired, target, placed)
        return [Shortage(target.artifact, missing, to_come)]

    def _make_room(self, desired: DesiredRow, target: Target, leaving: Sequence[InstanceRow]) -> Iterator[Order]:
        """Where there is no room beside the old version, one old instance goes first: one at a time."""
        if any(row.state is not S.ACTIVE for row in self.rows):
            return
        able = {s.node for pool in self.fleet.pools(target.artifact, desired.placing).values() for s in pool.orders}
        blocking = [row for row in leaving if row.node in able]
        yield from (Move(row, S.DEACTIVATE) for row in blocking[:1] if self.budget.take(row))

    def _room_to_come(self, desired: DesiredRow, target: Target, placed: Counter[NodeId]) -> int:
        """How many places under max_per_node come free by themselves: an update under way is no shortage."""
        if desired.max_per_node is None:
            return 0
        staying = placed + Counter(row.node for row in target.keep)
        able = (s.node for pool in self.fleet.pools(target.artifact, desired.placing).values() for s in pool.orders)
        return sum(max(0, desired.max_per_node - staying[node]) for node in able)

    # --- what is exchanged ---

    def _exchange(self, desired: DesiredRow, targets: Sequence[Target], *, may_move: bool) -> Iterator[Order]:
        """Begin with one instance that should run elsewhere, or with another configuration."""
        if self.placement is None or not all(r.state is S.ACTIVE and not self.is_suspect(r) for r in self.rows):
            return
        for target in targets:
            if any(self.is_stale(row) for row in target.keep):
                found = self._renewed(desired, target)
            else:
                found = self._moved(desired, target) if may_move else None
            if found is not None:
                yield found
                return

    def _renewed(self, desired: DesiredRow, target: Target) -> Order | None:
        assert self.placement is not None
        stale = [row for row in reversed(self.by_worth(target.keep)) if self.is_stale(row)]
        self.fleet.release(stale[0])
        standing = self.choice(desired, target.artifact, self.placement).take(self.fleet.last_turn + 1)
        if standing is not None:
            new = self.new_row(target.artifact, standing.node, 0)
            return Assign(attrs.evolve(new, replaces=stale[0].instance))
        for row in stale:
            if target.artifact in self.host(row).row.available:  # else it would not come back
                return Move(row, S.DEACTIVATE) if self.budget.take(row) else None
        return None

    def _moved(self, desired: DesiredRow, target: Target) -> Order | None:
        placement, moves = self.placement, self.setting.moves
        if placement is None or not target.keep or moves[0] <= 0:
            return None
        if not desired.placing.rebalance or not is_rebalanced(placement):
            return None
        choice = self.choice(desired, target.artifact, ranked_by(placement))
        found = next_move(target.keep, self.fleet, choice, placement, desired.placing.spread)
        if found is None or found.better.node in self.view.resting:
            return None
        moves[0] -= 1
        self.fleet.release(found.row)
        self.fleet.give(found.better, self.fleet.last_turn + 1)
        new = self.new_row(target.artifact, found.better.node, 0)
        return Assign(attrs.evolve(new, replaces=found.row.instance))


def _others(rows: Sequence[InstanceRow], without: Sequence[InstanceRow]) -> list[InstanceRow]:
    named = {row.instance for row in without}
    return [row for row in rows if row.instance not in named]
