"""The calls of the whole cluster, as this node knows them: its own counters, and the newest that others told.

Knows: counters of this node, marks of what they said before, snapshots of other nodes.
Never: messages, when a snapshot is made or told.
Holds: of a node the newest snapshot alone, with its latencies packed, and none that is older than KEPT_S; all together
       at most CALL_SNAPSHOTS_BYTES_MAX of FIGURE_NODES_MAX nodes. Sums are made at most once in FRESH_S.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from aether.metrics.call_snapshot import (
    SPAN_S_MIN,
    CallSnapshot,
    MethodKey,
    MethodRow,
    SlowRow,
    combined,
    decode_snapshot,
    encode_snapshot,
    packed_latencies,
    unpacked_latencies,
)
from aether.metrics.method_counters import Mark, MethodCounter, MethodCounters
from aether.metrics.methods import MethodFigures, SlowFigures
from aether.model.artifact import Artifact
from aether.model.call_counts import CallCounts
from aether.model.ids import NodeId
from aether.model.limits import CALL_SNAPSHOT_EVERY_S, CALL_SNAPSHOTS_BYTES_MAX, CALLS_RECENT_S, FIGURE_NODES_MAX
from aether.model.sketch import NO_LATENCIES, Sketch

KEPT_S: Final = 6 * CALL_SNAPSHOT_EVERY_S
FRESH_S: Final = 1.0
_MARKS: Final = round(CALLS_RECENT_S / CALL_SNAPSHOT_EVERY_S)
_SHARES: Final = (0.5, 0.95, 0.99, 0.999)

Marked = Mapping[MethodKey, tuple[Mark, CallCounts]]


@attrs.frozen(kw_only=True)
class _Told:
    """What another node told. at_s  when; methods  without the latencies of their totals, which are packed"""

    at_s: float
    size_bytes: int
    snapshot: CallSnapshot
    latencies: Mapping[MethodKey, bytes]


class ClusterCalls:
    """CallFigures of one node. clock, wall  in seconds: the one of the counters, and that of people"""

    def __init__(
        self, node: NodeId, counters: MethodCounters, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._node = node
        self._counters = counters
        self._clock = clock
        self._wall = wall
        self._marks: deque[tuple[float, Marked]] = deque([(clock(), {})], maxlen=_MARKS)
        self._told: dict[NodeId, _Told] = {}  # whoever told longest ago first
        self._told_bytes = 0
        self._sums: tuple[float, Sequence[MethodFigures]] = (float("-inf"), ())

    # --- this node ----------------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """What is recent begins at the mark before the last; once every CALL_SNAPSHOT_EVERY_S."""
        last = self._marks[-1][1]
        marked = {key: (counter.mark, _counts(counter, last.get(key))) for key, counter in self._keyed()}
        self._marks.append((self._clock(), marked))

    def local(self) -> CallSnapshot:
        """What this node counted, to this moment."""
        since_s, marked = self._marks[0]
        return CallSnapshot(
            span_s=max(self._clock() - since_s, SPAN_S_MIN),
            methods=[self._row(key, counter, marked.get(key)) for key, counter in self._keyed()],
            slow=self._slow(),
        )

    def _row(self, key: MethodKey, counter: MethodCounter, before: tuple[Mark, CallCounts] | None) -> MethodRow:
        total = _counts(counter, self._marks[-1][1].get(key))
        return MethodRow(
            key=key,
            in_flight=counter.in_flight,
            slow=counter.slow_calls,
            total=total,
            recent=total.since(None if before is None else before[1]),
        )

    def _slow(self) -> list[SlowRow]:
        rows = [SlowRow(key, call) for key, counter in self._keyed() for call in counter.slowest]
        return sorted(rows, key=lambda row: -row.call.at_s)

    def _keyed(self) -> Iterator[tuple[MethodKey, MethodCounter]]:
        for artifact, method, counter in self._counters:
            yield (artifact, method), counter

    def local_snapshot(self) -> bytes:
        """As CallFigures.local_snapshot."""
        local, now = self.local(), self._clock()
        slow = [attrs.evolve(row, call=attrs.evolve(row.call, at_s=now - row.call.at_s)) for row in local.slow]
        return encode_snapshot(attrs.evolve(local, slow=slow))

    # --- the others ---------------------------------------------------------------------------------------------------

    def take(self, node: NodeId, snapshot: bytes) -> None:
        """As CallFigures.take; this node's own counts are not taken from others."""
        if node == self._node:
            return
        told, now = decode_snapshot(snapshot), self._clock()
        latencies = {row.key: packed_latencies(row) for row in told.methods}
        thin = [attrs.evolve(row, total=attrs.evolve(row.total, latencies=NO_LATENCIES)) for row in told.methods]
        slow = [attrs.evolve(row, call=attrs.evolve(row.call, at_s=now - row.call.at_s)) for row in told.slow]
        kept = attrs.evolve(told, methods=thin, slow=slow)
        self._drop(node)
        self._told[node] = _Told(at_s=now, size_bytes=len(snapshot), snapshot=kept, latencies=latencies)
        self._told_bytes += len(snapshot)
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Who told nothing for long is gone, or does not reach this node."""
        while self._told:
            node, oldest = next(iter(self._told.items()))
            fits = self._told_bytes <= CALL_SNAPSHOTS_BYTES_MAX and len(self._told) <= FIGURE_NODES_MAX
            if fits and oldest.at_s > now - KEPT_S:
                return
            self._drop(node)

    def _drop(self, node: NodeId) -> None:
        told = self._told.pop(node, None)
        if told is not None:
            self._told_bytes -= told.size_bytes

    # --- all ----------------------------------------------------------------------------------------------------------

    def methods(self) -> Sequence[MethodFigures]:
        """As CallFigures.methods."""
        now = self._clock()
        if now >= self._sums[0] + FRESH_S:
            self._sums = (now, self._added())
        return self._sums[1]

    def latencies(self, artifact: Artifact | None, method: str) -> Sketch:
        """As CallFigures.latencies."""
        key = (artifact, method)
        own = next((counter.counts().latencies for each, counter in self._keyed() if each == key), NO_LATENCIES)
        for told in self._told.values():
            packed = told.latencies.get(key)
            if packed is not None:
                own = own + unpacked_latencies(packed)
        return own

    def slow_calls(self) -> Sequence[SlowFigures]:
        """As CallFigures.slow_calls."""
        self._forget(self._clock())
        ahead_s = self._wall() - self._clock()
        told = ((node, row) for node, told in self._told.items() for row in told.snapshot.slow)
        rows = [*((self._node, row) for row in self._slow()), *told]
        return [
            SlowFigures(node=node, artifact=row.key[0], method=row.key[1], at=row.call.at_s + ahead_s, call=row.call)
            for node, row in sorted(rows, key=lambda each: -each[1].call.at_s)
        ]

    def _added(self) -> Sequence[MethodFigures]:
        self._forget(self._clock())
        rows: defaultdict[MethodKey, list[tuple[MethodRow, float]]] = defaultdict(list)
        for snapshot in (self.local(), *(told.snapshot for told in self._told.values())):
            for row in snapshot.methods:
                rows[row.key].append((row, snapshot.span_s))
        return [_figures(key, rows[key]) for key in sorted(rows, key=_order)]


def _figures(key: MethodKey, rows: Iterable[tuple[MethodRow, float]]) -> MethodFigures:
    """One method, as all nodes together see it."""
    told = list(rows)
    whole = combined((row for row, _ in told), key)
    recent = whole.recent
    p50_s, p95_s, p99_s, p999_s = recent.latencies.quantiles_s(_SHARES)
    return MethodFigures(
        artifact=key[0],
        method=key[1],
        calls=whole.total.requests,
        failures=whole.total.errors,
        slow=whole.slow,
        seconds=whole.total.seconds,
        in_flight=whole.in_flight,
        rate=sum(row.recent.requests / span_s for row, span_s in told),
        failure_rate=recent.errors / recent.requests if recent.requests else 0.0,
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        p999_s=p999_s,
    )


def _counts(counter: MethodCounter, marked: tuple[Mark, CallCounts] | None) -> CallCounts:
    """What `counter` says now; the value of the mark when no call ended since, to save room and time."""
    return marked[1] if marked is not None and marked[0] == counter.mark else counter.counts()


def _order(key: MethodKey) -> tuple[bool, str, str]:
    return key[0] is None, str(key[0]), key[1]
