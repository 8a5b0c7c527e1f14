"""Figures of nodes and of calls become those of one slice.

Knows: which figure of which room each signal is made of.
Never: windows; when it is asked.
Holds: what nobody told is nothing at all (0), and so is what cannot be: figures come from other processes; old figures
       are as old as the oldest of them says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import inf
from typing import Final

import attrs

from aether.control.figures import SliceFigures
from aether.metrics.figures import ClusterFigures
from aether.metrics.methods import MethodFigures
from aether.model.artifact import ArtifactBase
from aether.model.ids import NodeId
from aether.model.limits import FIGURES_EVERY_S

CPU_USAGE: Final = "cpu.usage"
LAG: Final = "loop.lag_s"


@attrs.frozen
class Running:
    """Where a slice runs. nodes  those with an ACTIVE instance, one for each; slots  of one instance"""

    nodes: tuple[NodeId, ...]
    slots: int = 1


@attrs.define
class _Calls:
    """Of all methods of one slice, in all versions. busy  calls under way at a time, by Little's law"""

    rate: float = 0.0
    failed: float = 0.0
    in_flight: float = 0.0
    busy: float = 0.0
    p95_s: float = 0.0

    def add(self, m: MethodFigures) -> None:
        rate, in_flight = sound(m.rate), sound(m.in_flight)
        self.rate += rate
        self.failed += rate * min(1.0, sound(m.failure_rate))
        self.in_flight += in_flight
        self.busy += max(in_flight, rate * sound(m.p50_s))
        if rate > 0:
            self.p95_s = max(self.p95_s, sound(m.p95_s))


def sound(value: float) -> float:
    """`value`, when it can be a figure."""
    return float(value) if 0 <= value < inf else 0.0


def gathered(
    now: float, running: Mapping[ArtifactBase, Running], nodes: ClusterFigures, methods: Iterable[MethodFigures]
) -> dict[ArtifactBase, SliceFigures]:
    """The figures of each slice of `running` at `now`, in wall-clock seconds. Calls of all slices count for shares."""
    calls: defaultdict[ArtifactBase, _Calls] = defaultdict(_Calls)
    for method in methods:
        if method.artifact is not None:
            calls[method.artifact.base].add(method)
    told = nodes.nodes()
    waits_s = nodes.round_s - FIGURES_EVERY_S  # for their turn, in large clusters; that is no sign of trouble
    ages = {node: max(0.0, nodes.age_s(node) - waits_s) for each in running.values() for node in each.nodes}
    busy: defaultdict[NodeId, float] = defaultdict(float)  # calls under way, as if each slice spread its own evenly
    for base, where in running.items():
        for node in where.nodes:
            busy[node] += calls[base].busy / len(where.nodes)
    return {
        base: _of_slice(now, where, calls[base], sum(busy[node] for node in set(where.nodes)), told, ages)
        for base, where in running.items()
    }


def _of_slice(
    now: float,
    where: Running,
    calls: _Calls,
    in_all: float,
    told: Mapping[NodeId, Mapping[str, float]],
    ages: Mapping[NodeId, float],
) -> SliceFigures:
    hosts = sorted(set(where.nodes))
    known = [told[node] for node in hosts if node in told]
    slots = float(where.slots * len(where.nodes))
    age_s = max((ages[node] for node in hosts), default=0.0)
    return SliceFigures(
        at=now,
        active=len(where.nodes),
        cpu=sum(sound(each.get(CPU_USAGE, 0.0)) for each in known) / len(known) if known else 0.0,
        share=min(1.0, calls.busy / in_all) if in_all > 0 else 0.0,
        rate=calls.rate,
        in_flight=min(calls.in_flight, slots),
        queued=max(0.0, calls.in_flight - slots),
        p95_s=calls.p95_s,
        loop_lag_s=max((sound(each.get(LAG, 0.0)) for each in known), default=0.0),
        failure_rate=calls.failed / calls.rate if calls.rate > 0 else 0.0,
        age_s=min(age_s, AGE_S_MAX),
    )


AGE_S_MAX: Final = 1e9
"""Of a node that never told anything."""
