"""What no controller can pass, whatever it decides.

Knows: ranges, room, steps, the journal, who owns a count.
Never: whether a decision is wise.
Holds: for any decisions of anybody, what comes out names each slice once, begins at its count as it is, stays within
       its range and the room of the members, moves by at most a doubling or a halving, leaves alone what sleeps, is
       updated, or is held by an operator, and keeps the rate of changes below CHANGES_PER_MINUTE_MAX of one slice and
       CHANGES_PER_MINUTE_IN_ALL_MAX of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs

from aether.control.context import ControlContext, SliceView
from aether.control.decisions import Decision
from aether.control.steps import AHEAD_S_MAX
from aether.model.artifact import ArtifactBase
from aether.model.decision import DecisionRow, Reason
from aether.model.limits import (
    CHANGES_PER_MINUTE_IN_ALL_MAX,
    CHANGES_PER_MINUTE_MAX,
    DECISION_REASONS_MAX,
    DECISION_TEXT_CHARS_MAX,
    INSTANCES_MAX,
)
from aether.model.owner import OPERATOR

_MINUTE_S = 60.0
_NAME_CHARS_MAX = 40
_FIGURE_MAX = 1e300


def clamped(context: ControlContext, decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """`decisions` within the bounds, in the order given; one that was clamped says by what as its first reason.

    Of an artifact that the context does not know, or a second time, nothing is left.
    """
    recent = sum(_recent(each.decisions, context.now) for each in context.slices)
    found: dict[ArtifactBase, Decision] = {}
    for decision in decisions:
        view = context.slice(decision.artifact)
        if view is None or view.base in found:
            continue
        allowed = _allowed(context, view, decision, recent)
        recent += allowed.changes_something
        found[view.base] = allowed
    return tuple(found.values())


def _allowed(context: ControlContext, view: SliceView, decision: Decision, recent: int) -> Decision:
    reasons = _short(decision.reasons)
    confidence = min(1.0, max(0.0, decision.confidence)) if decision.confidence == decision.confidence else 0.0
    made = attrs.evolve(decision, before=view.instances, reasons=reasons, confidence=confidence)
    if type(decision.after) is not int:
        text = f"{decision.after!r:.40} is no count of instances"
        return attrs.evolve(made, after=view.instances, reasons=(Reason(rule="bounds", text=text), *reasons))
    if decision.after == view.instances:
        return made
    if decision.before != view.instances:
        text = f"it was decided at {decision.before!r:.20} instances; there are {view.instances} by now"
        return attrs.evolve(made, after=view.instances, reasons=(Reason(rule="bounds", text=text), *reasons))
    for text in _forbidden(context, view, recent):
        return attrs.evolve(made, after=view.instances, reasons=(Reason(rule="bounds", text=text), *reasons))
    after = within(view, decision.after)
    if after != decision.after:
        text = f"{decision.after} were decided; its range, the room and one step allow {after}"
        made = attrs.evolve(made, reasons=(Reason(rule="bounds", text=text, count=after), *reasons))
    return attrs.evolve(made, after=after)


def within(view: SliceView, after: int) -> int:
    """The count nearest to `after` that the range, the room and one step from the count now allow."""
    at = view.instances
    after = min(after, 2 * at, view.ceiling if view.ceiling > at else at)
    return max(after, at - max(1, at // 2), view.floor if view.floor < at else at)


def _forbidden(context: ControlContext, view: SliceView, recent: int) -> Iterator[str]:
    """Why the count is not to be changed at all."""
    override = view.override
    if not view.settings.enabled:
        yield "the controller is switched off for it"
    if view.instances < 1:
        yield "it has no instance: only a call wakes it"
    if view.update:
        yield f"its update {view.update} is under way"
    if override is not None and override.owner == OPERATOR:
        yield f"{override.by or 'an operator'} wants {override.instances}"
    if view.moving:
        yield f"{view.moving} instances are on their way to another state"
    if _recent(view.decisions, context.now) >= CHANGES_PER_MINUTE_MAX:
        yield f"its count was changed {CHANGES_PER_MINUTE_MAX} times within a minute"
    if recent >= CHANGES_PER_MINUTE_IN_ALL_MAX:
        yield f"{CHANGES_PER_MINUTE_IN_ALL_MAX} counts were changed within a minute"


def _recent(decisions: Sequence[DecisionRow], now: float) -> int:
    return sum(now - _MINUTE_S < row.at <= now + AHEAD_S_MAX for row in decisions)


def _short(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Reasons of a third party are stored and shown: so many, so long, and of what JSON and rows can hold."""
    return tuple(
        Reason(
            rule=storable(each.rule, _NAME_CHARS_MAX),
            text=storable(each.text, DECISION_TEXT_CHARS_MAX),
            signal=storable(each.signal, _NAME_CHARS_MAX),
            value=_finite(each.value),
            threshold=_finite(each.threshold),
            window_s=_finite(each.window_s),
            count=min(INSTANCES_MAX, max(-1, each.count)),
        )
        for each in tuple(reasons)[:DECISION_REASONS_MAX]
    )


def storable(text: str, chars_max: int) -> str:
    """`text`, cut, and without half characters."""
    return text[:chars_max].encode(errors="replace").decode()


def _finite(value: float) -> float:
    return float(value) if -_FIGURE_MAX < value < _FIGURE_MAX else 0.0
