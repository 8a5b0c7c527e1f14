"""Which way figures go, and how many of them in one second, so that no node pays for how many there are.

Knows: who votes, who leads, turns, rooms.
Never: messages, connections, clocks.
Holds: at least one item in each turn, and nothing twice before everything else was passed on once.

A worker tells its voter, voters tell each other, and each voter tells its workers. The leader has workers only when
nobody else can. All voters together pass on FIGURES_PASSED_MAX rows of workers and SNAPSHOTS_PASSED_MAX snapshots a
second: beyond as many workers each of them is heard of in turns, once in `round_s`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import attrs

from aether.metrics.figures_messages import NodeFigures
from aether.metrics.rings import Row
from aether.model.ids import NodeId
from aether.model.limits import FIGURES_EVERY_S, FIGURES_PASSED_MAX, FIGURES_REPEATED_MAX


def round_s(nodes: int) -> float:
    """At most so long the row of a worker waits for its turn, in a cluster of so many nodes."""
    return FIGURES_EVERY_S * max(1, math.ceil(nodes / FIGURES_PASSED_MAX))


def servers(voters: Collection[NodeId], leader: NodeId | None) -> Sequence[NodeId]:
    """Who of these voters has workers: all but the leader, unless there is nobody else."""
    return sorted(set(voters) - {leader}) or sorted(voters)


def server_of(
    node: NodeId, reached: Collection[NodeId], voters: Collection[NodeId], leader: NodeId | None
) -> NodeId | None:
    """Whom the worker `node` tells, out of those that it reaches; None when it reaches no voter. As many tell each."""
    able = servers({each for each in reached if each in voters}, leader)
    if not able:
        return None
    place = sum(1 for each in reached if each not in voters and each < node)
    return able[place % len(able)]


@attrs.frozen
class Waiting:
    """A row that waits to be told. at_s  when it was measured, by the clock of whoever holds it"""

    node: NodeId
    stamp: int
    at_s: float
    row: Row

    @classmethod
    def since(cls, told: NodeFigures, now_s: float) -> Waiting:
        return cls(told.node, told.stamp, now_s - told.age_s, told.row)

    def told(self, now_s: float) -> NodeFigures:
        """As it is told now: it grew older meanwhile."""
        return NodeFigures(self.node, self.stamp, max(0.0, now_s - self.at_s), self.row)


class Turns:
    """Nodes, some of them at a time, all of them in turn."""

    def __init__(self) -> None:
        self._last = ""

    def take(self, nodes: Collection[NodeId], count: int) -> Sequence[NodeId]:
        """The next `count` of `nodes`, or all of them."""
        ordered = sorted(nodes)
        if count >= len(ordered):
            return ordered
        later = [node for node in ordered if node > self._last]
        taken = (later + ordered[: len(ordered) - len(later)])[: max(1, count)]
        self._last = taken[-1]
        return taken


class Rows:
    """Rows of workers that wait to be passed on; at most FIGURES_REPEATED_MAX of each."""

    def __init__(self) -> None:
        self._waiting: dict[NodeId, dict[int, Waiting]] = {}
        self._turns = Turns()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, row: Waiting) -> None:
        rows = self._waiting.setdefault(row.node, {})
        rows[row.stamp] = row
        if len(rows) > FIGURES_REPEATED_MAX:
            del rows[min(rows.values(), key=_age).stamp]

    def take(self, count: int) -> Sequence[Waiting]:
        """The newest of each node, as far as `count` goes, and then older ones; they wait no more.

        Where there is no room for all nodes, what is older than the newest of those whose turn it is goes unheard.
        """
        nodes = self._turns.take(self._waiting, count)
        crowded = len(nodes) < len(self._waiting)
        taken: list[Waiting] = []
        for node in nodes:
            rows = self._waiting[node]
            taken.append(_newest_of(rows))
            if crowded or not rows:
                del self._waiting[node]
        for node, rows in list(self._waiting.items()) if not crowded else ():
            while rows and len(taken) < count:
                taken.append(_newest_of(rows))
            if not rows:
                del self._waiting[node]
        return taken

    def keep(self, nodes: Collection[NodeId]) -> None:
        """Of `nodes` alone: what others have told here keeps nobody waiting who is to be heard of."""
        self._waiting = {node: rows for node, rows in self._waiting.items() if node in nodes}

    def clear(self) -> None:
        self._waiting.clear()


def _age(row: Waiting) -> float:
    return row.at_s


def _newest_of(rows: dict[int, Waiting]) -> Waiting:
    return rows.pop(max(rows.values(), key=_age).stamp)


class Parcels:
    """The newest parcel of each node that waits to be passed on, first come, first passed; bounded by `bytes_max`."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._waiting: dict[NodeId, bytes] = {}
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """Of all that wait."""
        return self._bytes

    def put(self, node: NodeId, parcel: bytes) -> None:
        """Pass `parcel` on, instead of an older one of that node; the oldest of all go when there is no room."""
        self._bytes += len(parcel) - len(self._waiting.get(node, b""))
        self._waiting[node] = parcel
        while self._bytes > self._bytes_max and self._waiting:
            self._drop(next(iter(self._waiting)))

    def take(self, room_bytes: int, count: int) -> tuple[tuple[NodeId, bytes], ...]:
        """As many as fit, at most `count`, at least one of those that wait; they wait no more."""
        taken: list[tuple[NodeId, bytes]] = []
        for node, parcel in self._waiting.items():
            room_bytes -= len(parcel)
            if taken and (room_bytes < 0 or len(taken) >= count):
                break
            taken.append((node, parcel))
        for node, _ in taken:
            self._drop(node)
        return tuple(taken)

    def clear(self) -> None:
        self._waiting.clear()
        self._bytes = 0

    def _drop(self, node: NodeId) -> None:
        self._bytes -= len(self._waiting.pop(node))
