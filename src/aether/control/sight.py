"""Rows, windows and the journal become what a controller sees.

Knows: which rows say what of a slice; which slices have a range.
Never: reads rows; decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import attrs

from aether.control.context import NodeView, SliceView
from aether.control.figures import SliceFigures
from aether.control.gathering import AGE_S_MAX, CPU_USAGE, LAG, Running, sound
from aether.control.settings import ControllerSettings
from aether.control.steps import AHEAD_S_MAX
from aether.metrics.figures import ClusterFigures
from aether.model.artifact import ArtifactBase
from aether.model.decision import DecisionRow
from aether.model.duty import DutyRow, duties_of
from aether.model.ids import Incarnation, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import SLICE_CONCURRENCY_DEFAULT
from aether.model.rollout import TERMINAL, RolloutRow
from aether.model.rows import (
    ZONE_LABEL,
    DesiredRow,
    InstanceRow,
    MemberRow,
    OverrideRow,
    RouteRow,
    UnsatisfiedRow,
)

Room = Callable[[DesiredRow], int | None]
Window = Sequence[SliceFigures]

_NO_DECISIONS: Final[tuple[DecisionRow, ...]] = ()


@attrs.frozen(kw_only=True)
class Rows:
    """As they are applied here. live  the members that answer, this node included"""

    desired: tuple[DesiredRow, ...] = ()
    instances: tuple[InstanceRow, ...] = ()
    overrides: tuple[OverrideRow, ...] = ()
    rollouts: tuple[RolloutRow, ...] = ()
    unsatisfied: tuple[UnsatisfiedRow, ...] = ()
    routes: tuple[RouteRow, ...] = ()
    members: tuple[MemberRow, ...] = ()
    duties: tuple[DutyRow, ...] = ()
    decisions: tuple[DecisionRow, ...] = ()
    live: Mapping[NodeId, Incarnation] = attrs.field(factory=dict[NodeId, Incarnation])

    def running(self) -> dict[ArtifactBase, Running]:
        """Where each slice has ACTIVE instances, those that are wanted no more included."""
        slots = {row.artifact: row.concurrency for row in self.routes}
        nodes: defaultdict[ArtifactBase, list[NodeId]] = defaultdict(list)
        for row in self.instances:
            if row.state is SliceState.ACTIVE and self.is_alive(row):
                nodes[row.artifact.base].append(row.node)
        bases = {row.artifact.base for row in self.desired} | nodes.keys()
        return {
            base: Running(tuple(sorted(nodes.get(base, ()))), slots.get(base, SLICE_CONCURRENCY_DEFAULT))
            for base in sorted(bases)
        }

    def is_alive(self, row: InstanceRow) -> bool:
        """Whether the process that hosts it answers."""
        return self.live.get(row.node) == row.incarnation


def has_range(row: DesiredRow) -> bool:
    """Whether a controller has a say: it may be so many and so many, and is no singleton."""
    return row.instances_min is not None and row.instances_max is not None and not row.singleton


def slice_views(
    rows: Rows, now: float, settings: ControllerSettings, windows: Mapping[ArtifactBase, Window], room: Room
) -> tuple[SliceView, ...]:
    """Every slice with a range, by artifact. room  how many instances of a row the members can hold"""
    instances: defaultdict[ArtifactBase, list[InstanceRow]] = defaultdict(list)
    for row in rows.instances:
        instances[row.artifact.base].append(row)
    overrides = {row.artifact: row for row in rows.overrides}
    short = {row.artifact: row for row in rows.unsatisfied}
    updates = {row.artifact: row.id for row in rows.rollouts if row.state not in TERMINAL}
    slots = {row.artifact: row.concurrency for row in rows.routes}
    journal: defaultdict[ArtifactBase, list[DecisionRow]] = defaultdict(list)
    for decision in rows.decisions:
        journal[decision.artifact].append(decision)
    return tuple(
        _view(
            row,
            _States.of(rows, instances[row.artifact.base], now),
            now,
            attrs.evolve(settings.of(row.artifact.base), slices={}),
            window=tuple(windows.get(row.artifact.base, ())),
            override=overrides.get(row.artifact.base),
            unsatisfied=short.get(row.artifact.base),
            update=updates.get(row.artifact.base, ""),
            concurrency=slots.get(row.artifact.base, SLICE_CONCURRENCY_DEFAULT),
            capacity=room(row),
            decisions=tuple(sorted(journal[row.artifact.base], key=lambda d: d.number)),
        )
        for row in sorted(rows.desired, key=lambda r: r.artifact)
        if has_range(row)
    )


@attrs.frozen
class _States:
    """How many instances stand where."""

    active: int
    moving: int
    failed: int
    youngest_s: float

    @classmethod
    def of(cls, rows: Rows, instances: Iterable[InstanceRow], now: float) -> _States:
        active = moving = failed = 0
        youngest_s = AGE_S_MAX
        for row in instances:
            if row.state is SliceState.FAILED:
                failed += 1
            elif row.state is SliceState.ACTIVE and rows.is_alive(row):
                active += 1
                if row.since <= now + AHEAD_S_MAX:
                    youngest_s = min(youngest_s, max(0.0, now - row.since))
            else:  # on its way; or its node does not answer, and it is about to run elsewhere
                moving += 1
        return cls(active, moving, failed, youngest_s)


def _view(
    row: DesiredRow,
    states: _States,
    now: float,
    settings: ControllerSettings,
    *,
    window: tuple[SliceFigures, ...],
    override: OverrideRow | None,
    unsatisfied: UnsatisfiedRow | None,
    update: str,
    concurrency: int,
    capacity: int | None,
    decisions: tuple[DecisionRow, ...] = _NO_DECISIONS,
) -> SliceView:
    return SliceView(
        artifact=row.artifact,
        instances=row.instances,
        wished=row.wished_count,
        low=row.instances_min or 0,
        high=row.instances_max or 0,
        active=states.active,
        moving=states.moving,
        failed=states.failed,
        youngest_s=states.youngest_s,
        concurrency=concurrency,
        capacity=capacity,
        override=override,
        update=update or (f"to {row.beside}" if row.beside is not None else ""),
        missing=0 if unsatisfied is None else unsatisfied.missing,
        unsatisfied="" if unsatisfied is None else unsatisfied.reason,
        settings=settings,
        window=window,
        decisions=decisions,
    )


def node_views(rows: Rows, figures: ClusterFigures) -> tuple[NodeView, ...]:
    """Every member, with its newest figures."""
    told = figures.nodes()
    duties = duties_of(rows.members, rows.duties)
    return tuple(
        NodeView(
            node=member.node,
            live=member.node in rows.live,
            duty=duties[member.node].value,
            zone=member.labels.get(ZONE_LABEL, ""),
            cpu=sound(told.get(member.node, {}).get(CPU_USAGE, 0.0)),
            loop_lag_s=sound(told.get(member.node, {}).get(LAG, 0.0)),
            age_s=min(figures.age_s(member.node), AGE_S_MAX),
        )
        for member in sorted(rows.members, key=lambda m: m.node)
    )
