"""The members as places for instances: what each offers, carries and may take, indexed so that choosing is cheap.

Knows: duties, suspicion, labels, kinds, capacities, loads, ranks that a placement gave.
Never: how many instances are wanted.
Holds: who is not in a pool is never chosen; one choice costs about the logarithm of the members, and a pool is built
       once for all slices that may live on the same ones; the same view gives the same choices.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs
from sortedcontainers import SortedList

from aether.deployment.orders import View
from aether.deployment.placement import Candidate, Placement, Rank
from aether.deployment.stages import RANK
from aether.model.artifact import Artifact
from aether.model.duty import Duty
from aether.model.ids import InstanceId, NodeId
from aether.model.placing import Kind, Placing
from aether.model.rows import CAPACITY_LABEL, InstanceRow, MemberRow

_LEAVING: Final = frozenset({Duty.DRAINING, Duty.DECOMMISSIONED, Duty.SHUTTING_DOWN})
_STEP: Final = 2_000  # entries of an index between two places where a decision can yield
_STANDINGS_PER_STEP: Final = 100
_EVERYWHERE: Final = ""

Entry = tuple[Rank, int]
PoolKey = tuple[tuple[int, ...], tuple[tuple[str, str], ...], Kind, tuple[NodeId, ...], str]


@attrs.define(eq=False)
class Standing:
    """One member, and what this decision has given it so far.

    takes    may get new instances; leaves  gives its instances away; is_forced  without waiting
    load     instances that run, start or stop there, as its capacity counts them
    staying  those of them that neither stop nor are to go: what a choice counts
    turn     highest number of an assignment there
    """

    row: MemberRow
    order: int
    takes: bool
    leaves: bool
    is_forced: bool
    is_suspect: bool
    kind: Kind
    capacity: int | None
    load: int = 0
    staying: int = 0
    turn: int = 0

    @property
    def node(self) -> NodeId:
        return self.row.node

    def has_room(self) -> bool:
        return self.capacity is None or self.load < self.capacity

    def fits(self, placing: Placing) -> bool:
        """Whether the wish allows this member at all."""
        if placing.kind is not Kind.ANY and placing.kind is not self.kind:
            return False
        if placing.pin and self.node not in placing.pin:
            return False
        labels = self.row.labels
        return all(labels.get(name) == value for name, value in placing.labels.items())


class Fleet:
    """The members of one view. `prepare` first, to its end."""

    def __init__(self, view: View) -> None:
        self.standings: dict[NodeId, Standing] = {}
        self.last_turn: int = 0
        self.going: set[InstanceId] = set()  # instances that serve until their replacement does
        self._view = view
        self._offers: dict[Artifact, list[int]] = {}
        self._groups: list[list[Standing]] = []
        self._pools: dict[PoolKey, dict[str, Pool]] = {}
        self._changed: list[Standing] = []

    def prepare(self) -> Iterator[None]:
        """Index the members and who offers what, with places to yield. Members that offer the same are one group."""
        view = self._view
        for order, node in enumerate(sorted(view.members)):
            self.standings[node] = _standing(view, view.members[node], order)
            if order % _STANDINGS_PER_STEP == 0:
                yield
        by_identity: dict[int, int] = {}
        by_value: dict[tuple[Artifact, ...], int] = {}
        done = 0
        for standing in self.standings.values():
            available = standing.row.available
            number = by_identity.get(id(available))
            if number is None:
                number = by_value.setdefault(available, len(self._groups))
                by_identity[id(available)] = number
                if number == len(self._groups):
                    self._groups.append([])
                    for artifact in available:
                        self._offers.setdefault(artifact, []).append(number)
                done += 1 + len(available)
            self._groups[number].append(standing)
            if done >= _STEP:
                done = 0
                yield

    def hosts(self, row: InstanceRow) -> Standing | None:
        """Where `row` lives; None when its node, or that incarnation of it, is lost."""
        standing = self.standings.get(row.node)
        return standing if standing is not None and standing.row.incarnation == row.incarnation else None

    def give(self, standing: Standing, turn: int) -> None:
        """One instance more there."""
        standing.load += 1
        standing.staying += 1
        standing.turn = max(standing.turn, turn)
        self.last_turn = max(self.last_turn, turn)
        self._changed.append(standing)

    def release(self, row: InstanceRow) -> None:
        """It is to go: places are chosen as if it had gone, though it takes up room until then."""
        if row.state in RANK and row.instance not in self.going:
            self.going.add(row.instance)
            standing = self.standings[row.node]
            standing.staying -= 1
            self._changed.append(standing)

    def offering(self, artifact: Artifact) -> list[Standing]:
        """Members that can load it, whether or not they may get it, by their ids."""
        found = (standing for number in self._offers.get(artifact, ()) for standing in self._groups[number])
        return sorted(found, key=lambda standing: standing.order)

    def offered_versions(self, artifact: Artifact) -> list[Artifact]:
        """Of the same slice."""
        return sorted(other for other in self._offers if other.base == artifact.base)

    def pools(self, artifact: Artifact, placing: Placing) -> Mapping[str, Pool]:
        """Members that may get it, by the value of the label over which it is spread."""
        groups = tuple(self._offers.get(artifact, ()))
        key = (groups, tuple(sorted(placing.labels.items())), placing.kind, placing.pin, placing.spread)
        known = self._pools.get(key)
        if known is None:
            known = self._pools[key] = self._new_pools(groups, placing)
        return known

    def _new_pools(self, groups: Sequence[int], placing: Placing) -> dict[str, Pool]:
        members: dict[str, dict[Standing, int]] = {}
        for number in groups:
            for standing in self._groups[number]:
                if standing.takes and standing.fits(placing):
                    value = standing.row.labels.get(placing.spread, "") if placing.spread else _EVERYWHERE
                    order = placing.pin.index(standing.node) if placing.pin else standing.order
                    members.setdefault(value, {})[standing] = order
        return {value: Pool(orders, self._changed) for value, orders in sorted(members.items())}


def _standing(view: View, row: MemberRow, order: int) -> Standing:
    duty = view.duties.get(row.node, Duty.ON_DUTY)
    is_suspect = row.node in view.suspect
    capacity = row.labels.get(CAPACITY_LABEL, "")
    return Standing(
        row=row,
        order=order,
        takes=duty is Duty.ON_DUTY and not row.draining and not is_suspect,
        leaves=row.draining or duty in _LEAVING,
        is_forced=row.node in view.forced,
        is_suspect=is_suspect,
        kind=Kind.WORKERS if row.node in view.learners else Kind.CORE,
        capacity=int(capacity) if capacity.isascii() and capacity.isdigit() else None,
    )


class Pool:
    """Members that may take one slice, ranked for a slice that none of them has yet."""

    def __init__(self, orders: Mapping[Standing, int], changed: Sequence[Standing]) -> None:
        self.orders: Mapping[Standing, int] = orders
        self._by_order = {order: standing for standing, order in orders.items()}
        self._changed = changed
        self._rankings: dict[Placement, _Ranking] = {}

    def untouched(self, placement: Placement) -> Iterator[Standing]:
        """With room, best first, each as if it had none of the slice. Valid until somebody asks again."""
        ranking = self._rankings.get(placement)
        if ranking is None:
            fresh = ((standing, order) for standing, order in self.orders.items() if standing.has_room())
            entries = {s: (placement(candidate(s, order, 0)), order) for s, order in fresh}
            ranking = self._rankings[placement] = _Ranking(SortedList(entries.values()), entries, len(self._changed))
        for standing in {*self._changed[ranking.seen :]}:
            self._rank_again(ranking, standing, placement)
        ranking.seen = len(self._changed)
        return (self._by_order[order] for _, order in ranking.order)

    def _rank_again(self, ranking: _Ranking, standing: Standing, placement: Placement) -> None:
        order = self.orders.get(standing)
        if order is None:
            return
        rank = placement(candidate(standing, order, 0)) if standing.has_room() else None  # may raise
        old = ranking.entries.pop(standing, None)
        if old is not None:
            ranking.order.remove(old)
        if rank is not None:
            new = ranking.entries[standing] = (rank, order)
            ranking.order.add(new)


@attrs.define(eq=False)
class _Ranking:
    order: SortedList[Entry]
    entries: dict[Standing, Entry]
    seen: int


def candidate(standing: Standing, order: int, same: int) -> Candidate:
    """`standing` as a placement sees it."""
    return Candidate(
        node=standing.row.node,
        same=same,
        load=standing.staying,
        order=order,
        turn=standing.turn,
        capacity=standing.capacity,
        labels=standing.row.labels,
        kind=standing.kind,
    )


class Choice:
    """Places for further instances of one slice, one after the other. For one slice at a time.

    same      instances of the slice on each member, FAILED ones included
    occupied  those that count against max_per_node
    """

    def __init__(
        self,
        fleet: Fleet,
        pools: Mapping[str, Pool],
        placement: Placement,
        same: Mapping[NodeId, int],
        occupied: Mapping[NodeId, int],
        max_per_node: int | None,
        spread: str = "",
    ) -> None:
        self._fleet = fleet
        self._placement = placement
        self._same = Counter(same)
        self._occupied = Counter(occupied)
        self._max_per_node = max_per_node
        touched = [fleet.standings[node] for node in same if node in fleet.standings]
        shared: Counter[str] = Counter()
        for standing in touched:
            if spread and not standing.leaves:
                shared[standing.row.labels.get(spread, "")] += occupied.get(standing.node, 0)
        self._shares = [_Share(value, pool, pool.untouched(placement), shared[value]) for value, pool in pools.items()]
        for share in self._shares:
            for standing in touched:
                if standing in share.pool.orders:
                    self._push(share, standing)

    def best(self) -> Standing | None:
        """The member that comes first; None when all are full."""
        found = self._best()
        return None if found is None else found[-1]

    def best_of_each(self) -> dict[str, Standing]:
        """The first member for each value of the spread label."""
        bests = ((share.value, self._first(share)) for share in self._shares)
        return {value: first[-1] for value, first in bests if first is not None}

    def take(self, turn: int) -> Standing | None:
        """Give one instance to the best member."""
        found = self._best()
        if found is None:
            return None
        *_, share, standing = found
        heap = share.touched
        if heap and heap[0][-1] is standing:
            heapq.heappop(heap)
        else:
            share.head = None
        self._fleet.give(standing, turn)
        self._same[standing.node] += 1
        self._occupied[standing.node] += 1
        share.instances += 1
        self._push(share, standing)
        return standing

    def _best(self) -> tuple[int, Rank, int, _Share, Standing] | None:
        best: tuple[int, Rank, int, _Share, Standing] | None = None
        for share in self._shares:
            first = self._first(share)
            if first is not None:
                rank, order, standing = first
                if best is None or (share.instances, rank, order) < best[:3]:
                    best = (share.instances, rank, order, share, standing)
        return best

    def _first(self, share: _Share) -> tuple[Rank, int, Standing] | None:
        if share.head is None:
            for standing in share.others:
                if not self._same[standing.node] and self._has_room(standing):
                    order = share.pool.orders[standing]
                    share.head = self._placement(candidate(standing, order, 0)), order, standing
                    break
        if share.head is None or (share.touched and share.touched[0][:2] < share.head[:2]):
            return share.touched[0] if share.touched else None
        return share.head

    def _push(self, share: _Share, standing: Standing) -> None:
        if self._has_room(standing):
            order = share.pool.orders[standing]
            rank = self._placement(candidate(standing, order, self._same[standing.node]))
            heapq.heappush(share.touched, (rank, order, standing))

    def _has_room(self, standing: Standing) -> bool:
        limit = self._max_per_node
        return standing.has_room() and (limit is None or self._occupied[standing.node] < limit)


@attrs.define(eq=False)
class _Share:
    """Members with one value of the spread label: those that have some of the slice, and the first that has none."""

    value: str
    pool: Pool
    others: Iterator[Standing]
    instances: int
    touched: list[tuple[Rank, int, Standing]] = attrs.field(factory=list[tuple[Rank, int, Standing]])
    head: tuple[Rank, int, Standing] | None = None
