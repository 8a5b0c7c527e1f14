"""One step towards what was ordered instance by instance.

Knows: the orders in the desired rows (`placed`), instance rows, members and what each can load.
Never: chooses a node; time, randomness (both are passed in).
Holds: an instance exists only where an order stands; an order outlives the process of its node, and is carried out
       again when that comes back; what an order no longer asks for goes when what is ordered now serves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import attrs

from aether.deployment.orders import Assign, DropRoutes, Forget, Move, Order, Unsatisfied, View
from aether.deployment.stages import GROW, RANK, SHRINK, each, is_due, next_attempt
from aether.model.artifact import ArtifactBase
from aether.model.duty import Duty
from aether.model.ids import InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow, MemberRow, UnsatisfiedRow

S = SliceState
_REASONS_MAX: Final = 4

NO_SINGLETONS: Final = "it is a singleton, which orders cannot keep from running twice; use --cluster-manager reconcile"


def carry_out(view: View, new_id: Callable[[], InstanceId]) -> Iterator[tuple[Order, ...]]:
    """The orders of each artifact in turn, some empty."""
    ours: defaultdict[ArtifactBase, list[InstanceRow]] = defaultdict(list)
    for row in sorted(view.instances, key=lambda r: r.instance):
        member = view.members.get(row.node)
        if member is None or member.incarnation != row.incarnation:
            yield (Forget(row),)
        else:
            ours[row.artifact.base].append(row)
    for base in sorted(view.desired.keys() | ours.keys()):
        yield tuple(_Ordered(view, view.desired.get(base), ours[base]).orders(new_id))
    remaining = {row.artifact.base for row in view.instances}
    yield tuple(DropRoutes(base) for base in sorted(view.routes - view.desired.keys() - remaining))


@attrs.define
class _Ordered:
    """The decision for one `group:artifact`."""

    view: View
    desired: DesiredRow | None
    rows: Sequence[InstanceRow]

    def orders(self, new_id: Callable[[], InstanceId]) -> Iterator[Order]:
        keep, lacking, waiting = self._matched()
        yield from each(keep, GROW)
        yield from (Move(row, S.UNLOAD) for row in self.rows if row.state is S.FAILED and row not in waiting)
        yield from self._leaving(keep)
        if self.desired is None:
            return
        attempts = {
            row.node: next_attempt(row, self.view) for row in self.rows if row.state is S.FAILED and row not in waiting
        }
        problems: list[str] = []
        taken = {row.instance for row in self.rows}
        for order, node in lacking:
            member, problem = self._able(self.desired, node)
            if member is None:
                problems.append(problem)
                continue
            yield Assign(
                InstanceRow(
                    instance=new_id() if order in taken else order,
                    artifact=self.desired.artifact,
                    node=node,
                    incarnation=member.incarnation,
                    state=S.LOAD,
                    attempt=attempts.pop(node, 0),
                    since=self.view.now,
                )
            )
        unordered = self.desired.instances - len(self.desired.placed)
        if unordered > 0:
            base = self.desired.artifact.base
            problems.append(f"{unordered} are not ordered anywhere; aether place {base} --on NODE")
        missing = max(0, unordered) + sum(self._able(self.desired, node)[0] is None for _, node in lacking)
        if missing:
            reason = "; ".join(sorted(set(problems))[:_REASONS_MAX])
            yield Unsatisfied(UnsatisfiedRow(artifact=self.desired.artifact.base, missing=missing, reason=reason))

    def _matched(self) -> tuple[list[InstanceRow], list[tuple[InstanceId, NodeId]], list[InstanceRow]]:
        """Instances that some order asks for; orders without one; FAILED instances that fill an order's place still."""
        if self.desired is None:
            return [], [], []
        fitting = [row for row in self.rows if row.artifact == self.desired.artifact]
        coming = sorted((r for r in fitting if r.state in RANK), key=lambda r: RANK[r.state])
        resting = [r for r in fitting if r.state is S.FAILED and not is_due(r, self.view)]
        left = dict(self.desired.placed)
        kept: list[InstanceRow] = []
        for row in [*(r for r in coming if r.instance in left), *(r for r in coming if r.instance not in left)]:
            order = row.instance if left.get(row.instance) == row.node else _first(left, row.node)
            if order is not None:
                del left[order]
                kept.append(row)
        waiting: list[InstanceRow] = []
        for row in resting:
            order = _first(left, row.node)
            if order is not None:
                del left[order]
                waiting.append(row)
        return kept, sorted(left.items()), waiting

    def _leaving(self, keep: Sequence[InstanceRow]) -> Iterator[Order]:
        leaving = [r for r in self.rows if r not in keep and r.state in SHRINK]
        wanted = len(self.desired.placed) if self.desired is not None else 0
        needed = max(0, wanted - sum(row.state is S.ACTIVE for row in keep))
        serving = [row for row in leaving if row.state is S.ACTIVE][:needed]
        yield from each((row for row in leaving if row not in serving), SHRINK)

    def _able(self, desired: DesiredRow, node: NodeId) -> tuple[MemberRow | None, str]:
        if desired.singleton:  # its token, and the wait until a lost one has surely stopped, are reconcile's to give
            return None, NO_SINGLETONS
        member = self.view.members.get(node)
        if member is None or node in self.view.suspect:
            return None, f"{node} does not answer"
        duty = Duty.DRAINING if member.draining else self.view.duties.get(node, Duty.ON_DUTY)
        if duty is not Duty.ON_DUTY:
            return None, f"{node} takes no instances: it is {duty}"
        if desired.artifact not in member.available:
            return None, f"{node} does not offer {desired.artifact}"
        return member, ""


def _first(left: dict[InstanceId, NodeId], node: NodeId) -> InstanceId | None:
    return min((order for order, at in left.items() if at == node), default=None)
