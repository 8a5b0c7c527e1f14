"""One step from what runs towards what is wanted.

Knows: desired rows, instance rows, members and what each can load, back-off of failures.
Never: time, randomness (both are passed in), how orders are written.
Holds: the same view and ids give the same orders on whichever node leads; obeying them converges;
       of another version, or on a draining node, an instance goes only when its replacement is ACTIVE.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from aether.deployment.orders import Assign, DropRoutes, Forget, Move, Order, Unsatisfied, View
from aether.deployment.placement import Candidate, Placement, spread
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.duty import Duty
from aether.model.ids import InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import FAILED_BACKOFF_MAX_S, FAILED_BACKOFF_MIN_S
from aether.model.rows import DesiredRow, InstanceRow, MemberRow, UnsatisfiedRow

__all__ = ["Assign", "DropRoutes", "Forget", "Move", "Order", "Unsatisfied", "View", "backoff_s", "reconcile"]

S = SliceState

# The further an instance has come, the more it costs to give it up.
_RANK: Final = {S.ACTIVE: 0, S.ACTIVATING: 1, S.ACTIVATE: 2, S.LOADED: 3, S.LOADING: 4, S.LOAD: 5}
_STOPPING: Final = frozenset({S.DEACTIVATE, S.DEACTIVATING})  # still there, and not to be counted on
_GROW: Final = {S.LOADED: S.ACTIVATE}
_SHRINK: Final = {S.LOADED: S.UNLOAD, S.ACTIVE: S.DEACTIVATE}
_NAMES_SHOWN_MAX: Final = 4
_ORDERS_PER_PART: Final = 32


def reconcile(
    view: View, new_id: Callable[[], InstanceId], placement: Placement = spread
) -> Iterator[tuple[Order, ...]]:
    """The orders in parts (some empty): at least one per artifact, so that a long decision can yield in between."""
    nodes = _Nodes(view)
    ours: defaultdict[ArtifactBase, list[InstanceRow]] = defaultdict(list)
    lost: list[Order] = []
    for row in sorted(view.instances, key=lambda r: (r.artifact.base, r.instance)):
        if nodes.has_lost(row):
            lost.append(Forget(row))
        else:
            ours[row.artifact.base].append(row)
            nodes.carry(row)
    yield tuple(lost)
    for base in sorted(view.desired.keys() | ours.keys()):
        yield from _parts(_Artifact(view, nodes, view.desired.get(base), ours[base]).orders(new_id, placement))
    remaining = {row.artifact.base for row in view.instances}
    yield tuple(DropRoutes(base) for base in sorted(view.routes - view.desired.keys() - remaining))


def backoff_s(attempt: int) -> float:
    """How long a FAILED instance stands before it is tried again; `attempt` counts from 0."""
    return min(FAILED_BACKOFF_MIN_S * 2.0 ** min(attempt, 30), FAILED_BACKOFF_MAX_S)


@attrs.define
class _Nodes:
    """The members, what they offer and what they carry; the load grows as orders are made."""

    view: View
    load: Counter[NodeId] = attrs.field(factory=Counter[NodeId])
    offers: defaultdict[Artifact, list[MemberRow]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.offers = defaultdict(list)
        for _, member in sorted(self.view.members.items()):
            for artifact in member.available:
                self.offers[artifact].append(member)

    def has_lost(self, row: InstanceRow) -> bool:
        member = self.view.members.get(row.node)
        return member is None or member.incarnation != row.incarnation

    def carry(self, row: InstanceRow) -> None:
        if _occupies(row):
            self.load[row.node] += 1

    def takes_more(self, member: MemberRow) -> bool:
        duty = self.view.duties.get(member.node, Duty.ON_DUTY)
        return duty is Duty.ON_DUTY and not member.draining and member.node not in self.view.suspect


@attrs.define
class _Artifact:
    """The decision for one `group:artifact`."""

    view: View
    nodes: _Nodes
    desired: DesiredRow | None
    rows: Sequence[InstanceRow]

    def orders(self, new_id: Callable[[], InstanceId], placement: Placement) -> Iterator[Order]:
        wanted = self.desired.instances if self.desired is not None else 0
        good = self._by_worth(r for r in self.rows if r.state in _RANK and self._fits(r))
        keep, surplus = good[:wanted], good[wanted:]
        yield from _each(keep, _GROW)
        yield from _each(surplus, _SHRINK)
        replaced = self._replaced(keep, wanted)
        yield from _each(replaced, _SHRINK)

        retry = yield from self._failed(wanted - len(keep))
        missing = max(0, wanted - len(keep) - retry.waiting)
        if self.desired is None or missing == 0:
            return
        attempts = (*retry.attempts, *([0] * missing))[:missing]
        placed: Counter[NodeId] = Counter()
        for row in self._place(self.desired, attempts, new_id, placement):
            placed[row.node] += 1
            yield Assign(row)
        if placed.total() == missing:
            return
        if not placed and not replaced:
            yield from self._make_room(self.desired)
        short = missing - placed.total() - self._room_to_come(self.desired, keep, placed)
        if short > 0:
            base, reason = self.desired.artifact.base, self._why(self.desired)
            yield Unsatisfied(UnsatisfiedRow(artifact=base, missing=short, reason=reason))

    def _fits(self, row: InstanceRow) -> bool:
        """Of the version in force, on a node that stays."""
        if self.desired is None or row.artifact != self.desired.artifact:
            return False
        return not self.view.members[row.node].draining

    def _by_worth(self, rows: Iterable[InstanceRow]) -> list[InstanceRow]:
        """The ones to keep first: furthest on, then those alone on their node: scaling down keeps the spread."""
        ranked = sorted(rows, key=lambda r: (_RANK[r.state], r.node in self.view.suspect, r.instance))
        seen: Counter[NodeId] = Counter()
        worth: dict[InstanceId, tuple[int, bool, int, int, InstanceId]] = {}
        for row in ranked:
            suspect = row.node in self.view.suspect
            worth[row.instance] = (_RANK[row.state], suspect, seen[row.node], self.nodes.load[row.node], row.instance)
            seen[row.node] += 1
        return sorted(ranked, key=lambda r: worth[r.instance])

    # --- what goes ------------------------------------------------------------------------------------------------

    def _replaced(self, keep: Sequence[InstanceRow], wanted: int) -> list[InstanceRow]:
        """Instances of another version or on a draining node that are not needed until their replacements serve."""
        leaving = self._by_worth(r for r in self.rows if r.state in _RANK and not self._fits(r))
        still_needed = max(0, wanted - sum(r.state is S.ACTIVE for r in keep))
        serving = [r for r in leaving if r.state is S.ACTIVE][:still_needed]
        return [r for r in leaving if r not in serving]

    def _failed(self, gap: int) -> Generator[Order, None, _Retry]:
        """FAILED instances fill a gap until their back-off is over; then each is unloaded and tried again."""
        retry = _Retry()
        slots = max(0, gap)
        for row in self.rows:
            if row.state is not S.FAILED:
                continue
            if slots > 0 and self._fits(row):
                slots -= 1
                if not self._due(row):
                    retry.waiting += 1
                    continue
                retry.attempts.append(row.attempt + 1)
            yield Move(row, S.UNLOAD)
        return retry

    def _due(self, row: InstanceRow) -> bool:
        waited_s = self.view.now - row.since
        # A stamp far in the future is a clock that was set back: do not wait for it.
        return waited_s >= backoff_s(row.attempt) or waited_s < -FAILED_BACKOFF_MAX_S

    # --- what comes -----------------------------------------------------------------------------------------------

    def _place(
        self, desired: DesiredRow, attempts: Iterable[int], new_id: Callable[[], InstanceId], placement: Placement
    ) -> Iterator[InstanceRow]:
        same = Counter(r.node for r in self.rows if _occupies(r) or r.state is S.FAILED)
        occupied = self._occupied()
        free = {
            m.node: Candidate(
                node=m.node, same=same[m.node], load=self.nodes.load[m.node], order=order, labels=m.labels
            )
            for order, m in enumerate(self._able(desired))
            if _below(desired.max_per_node, occupied[m.node])
        }
        for attempt in attempts:
            if not free:
                return
            node = min(free.values(), key=lambda candidate: (placement(candidate), candidate.order)).node
            taken = free.pop(node)
            self.nodes.load[node] += 1
            occupied[node] += 1
            if _below(desired.max_per_node, occupied[node]):
                free[node] = attrs.evolve(taken, same=taken.same + 1, load=taken.load + 1)
            yield InstanceRow(
                instance=new_id(),
                artifact=desired.artifact,
                node=node,
                incarnation=self.view.members[node].incarnation,
                state=S.LOAD,
                attempt=attempt,
                since=self.view.now,
            )

    def _make_room(self, desired: DesiredRow) -> Iterator[Order]:
        """Where max_per_node leaves no room beside the old version, one old instance goes first: one at a time."""
        if any(r.state is not S.ACTIVE for r in self.rows):
            return
        occupied = self._occupied()
        full = {m.node for m in self._able(desired) if not _below(desired.max_per_node, occupied[m.node])}
        blocking = [r for r in self.rows if r.node in full and r.artifact != desired.artifact]
        yield from (Move(r, S.DEACTIVATE) for r in blocking[:1])

    def _room_to_come(self, desired: DesiredRow, keep: Sequence[InstanceRow], placed: Counter[NodeId]) -> int:
        """How many places under max_per_node come free by themselves: an update under way is no shortage."""
        if desired.max_per_node is None:
            return 0
        staying = placed + Counter(row.node for row in keep)
        return sum(max(0, desired.max_per_node - staying[m.node]) for m in self._able(desired))

    def _able(self, desired: DesiredRow) -> list[MemberRow]:
        return [m for m in self.nodes.offers.get(desired.artifact, ()) if self.nodes.takes_more(m)]

    def _occupied(self) -> Counter[NodeId]:
        return Counter(r.node for r in self.rows if _occupies(r))

    def _why(self, desired: DesiredRow) -> str:
        offering = self.nodes.offers.get(desired.artifact, [])
        if not offering:
            versions = sorted(a.version for a in self.nodes.offers if a.base == desired.artifact.base)
            other = f"; versions offered: {_few(versions)}" if versions else ""
            return f"no live node offers {desired.artifact}{other}"
        able = self._able(desired)
        if not able:
            return f"the nodes that offer it are draining or do not answer: {_few(m.node for m in offering)}"
        return f"max_per_node = {desired.max_per_node} is reached on {_few(m.node for m in able)}"


def _parts(orders: Iterator[Order]) -> Iterator[tuple[Order, ...]]:
    part = tuple(itertools.islice(orders, _ORDERS_PER_PART))
    yield part
    while len(part) == _ORDERS_PER_PART:
        part = tuple(itertools.islice(orders, _ORDERS_PER_PART))
        yield part


@attrs.define
class _Retry:
    waiting: int = 0
    attempts: list[int] = attrs.field(factory=list[int])


def _each(rows: Iterable[InstanceRow], table: Mapping[SliceState, SliceState]) -> Iterator[Order]:
    yield from (Move(row, table[row.state]) for row in rows if row.state in table)


def _occupies(row: InstanceRow) -> bool:
    return row.state in _RANK or row.state in _STOPPING


def _below(limit: int | None, count: int) -> bool:
    return limit is None or count < limit


def _few(names: Iterable[object]) -> str:
    texts = [str(name) for name in names]
    more = f" and {len(texts) - _NAMES_SHOWN_MAX} more" if len(texts) > _NAMES_SHOWN_MAX else ""
    return ", ".join(texts[:_NAMES_SHOWN_MAX]) + more
