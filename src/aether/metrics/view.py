"""The figures of all nodes as one node knows them: the newest, and the last two hours.

Knows: which row is newer, when a node is forgotten; the reader's own clock, passed in.
Never: how figures get here, what they are judged by.
Holds: memory is bounded by FIGURE_NODES_MAX. Times are those of this node's clock, whatever those of others say; steps
       of the wall clock move what is shown, and lose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import inf
from typing import Final

import attrs

from aether.metrics.derived import SAMPLES, DerivedMetrics, derive
from aether.metrics.figures import PLACES
from aether.metrics.figures_messages import NodeFigures
from aether.metrics.minutes import MinuteAggregate, aggregate
from aether.metrics.passing import round_s
from aether.metrics.rings import Row
from aether.metrics.windows import NodeWindow
from aether.model.ids import NodeId
from aether.model.limits import FIGURE_NODES_MAX, MINUTES_KEPT

_PLACES: Final = tuple(PLACES.items())


@attrs.define(eq=False)
class _Known:
    stamp: int
    at_s: float
    row: Row
    window: NodeWindow = attrs.field(factory=NodeWindow)


class FiguresView:
    """Implements ClusterFigures.

    live  nodes that are reached, this one included
    now   seconds that only go forward;  wall  seconds since 1970
    """

    def __init__(
        self,
        node: NodeId,
        live: Callable[[], Collection[NodeId]],
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.node: NodeId = node
        self._live = live
        self._wall = wall
        start_s = wall() - now()  # so that minutes begin when those of the wall clock do
        self._now: Callable[[], float] = lambda: now() + start_s
        self._known: dict[NodeId, _Known] = {}

    @property
    def size_bytes(self) -> int:
        """Memory of all windows."""
        return sum(known.window.size_bytes for known in self._known.values())

    @property
    def now_s(self) -> float:
        """Seconds that only go forward, with the minutes of the wall clock at the start of this node."""
        return self._now()

    @property
    def shown_s(self) -> float:
        """What to add to that for seconds since 1970."""
        return self._wall() - self._now()

    # --- what is told ---

    def take(self, told: NodeFigures) -> bool:
        """Keep a row. Whether it is the newest of its node; one that comes late only fills its second."""
        at_s, known = self._now() - told.age_s, self._known.get(told.node)
        if known is None:
            self._make_room()
            known = self._known[told.node] = _Known(told.stamp, at_s, told.row)
            known.window.put(at_s, told.row)
            return True
        if told.stamp == known.stamp:
            return False
        known.window.put(at_s, told.row)
        if at_s < known.at_s:
            return False
        known.stamp, known.at_s, known.row = told.stamp, at_s, told.row
        return True

    def newest(self, node: NodeId) -> NodeFigures | None:
        """The newest row of `node`, to be told to others."""
        known = self._known.get(node)
        if known is None:
            return None
        return NodeFigures(node, known.stamp, max(0.0, self._now() - known.at_s), known.row)

    def _make_room(self) -> None:
        if len(self._known) >= FIGURE_NODES_MAX:
            del self._known[min(self._known, key=lambda node: self._known[node].at_s)]

    # --- what is read ---

    def nodes(
        self, names: Collection[str] | None = None, age_max_s: float = inf
    ) -> Mapping[NodeId, Mapping[str, float]]:
        """As ClusterFigures."""
        places = _PLACES if names is None else tuple((name, PLACES[name]) for name in names if name in PLACES)
        live, since = self._live(), self._now() - age_max_s
        told = (each for each in sorted(self._known.items()) if each[1].at_s >= since)
        return {node: _named(known.row, places) for node, known in told if node in live}

    def heard_within(self, span_s: float) -> set[NodeId]:
        """Nodes whose newest figures are no older than that."""
        since = self._now() - span_s
        return {node for node, known in self._known.items() if known.at_s >= since}

    def known(self) -> Sequence[NodeId]:
        """Every node whose last hours are kept, those that are gone included."""
        return sorted(self._known)

    def window(self, node: NodeId, name: str, span_s: float) -> Sequence[tuple[float, float]]:
        """As ClusterFigures."""
        known, place = self._known.get(node), PLACES.get(name)
        if known is None or place is None:
            return ()
        now, shown_s = self._now(), self.shown_s
        return [(at + shown_s, value) for at, value in known.window.points(place, now - span_s, now)]

    def age_s(self, node: NodeId) -> float:
        """As ClusterFigures."""
        known = self._known.get(node)
        return inf if known is None else max(0.0, self._now() - known.at_s)

    @property
    def round_s(self) -> float:
        """As ClusterFigures."""
        return round_s(len(self._live()))

    def minutes(self, node: NodeId, count: int = MINUTES_KEPT) -> Sequence[tuple[float, MinuteAggregate]]:
        """The newest `count` minutes of `node` that are over: (seconds since 1970 at which it began, minute)."""
        known = self._known.get(node)
        if known is None:
            return ()
        shown_s = self.shown_s
        return [(began + shown_s, minute) for began, minute in known.window.minutes(count)]

    def minute_so_far(self, node: NodeId) -> tuple[float, MinuteAggregate]:
        """The last minute up to now: (seconds since 1970 at which it began, minute)."""
        known, now = self._known.get(node), self._now()
        rows = () if known is None else known.window.recent(now - SAMPLES, now)
        return now - SAMPLES + self.shown_s, aggregate(rows)

    def derived(self, node: NodeId) -> DerivedMetrics:
        """What the last minute of `node` says."""
        known = self._known.get(node)
        if known is None:
            return DerivedMetrics()
        now = self._now()
        return derive(known.window.recent(now - SAMPLES, now))


def _named(row: Row, places: Iterable[tuple[str, int]]) -> dict[str, float]:
    return {name: value for name, place in places if (value := row[place]) == value}
