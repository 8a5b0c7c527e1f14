"""One look of the control loop, as it is kept, shown and told.

Knows: context, decisions, who decided, what was written.
Never: decides, writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import cast

import attrs

from aether.control.context import ControlContext, SliceView
from aether.control.decisions import Decision
from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.decision import DecisionRow, Reason

Plain = dict[str, object]


@attrs.frozen(kw_only=True)
class Evaluation:
    """by  who decided; problem  why somebody else than wanted did, "" = nobody failed

    done  what became of each decision that changes something: `done`, `shadow`, `said before`, or why it was not
    """

    context: ControlContext
    decisions: tuple[Decision, ...]
    by: str
    problem: str = ""
    done: Mapping[ArtifactBase, str] = attrs.field(factory=dict[ArtifactBase, str])


def shown(evaluation: Evaluation) -> Plain:
    """For people and programs."""
    views = {view.base: view for view in evaluation.context.slices}
    return {
        "at": evaluation.context.now,
        "leader": evaluation.context.leader,
        "controller": evaluation.by,
        "problem": evaluation.problem,
        "decisions": [
            decision_shown(each, views.get(each.artifact), evaluation.done.get(each.artifact, ""))
            for each in evaluation.decisions
        ],
    }


def decision_shown(decision: Decision, view: SliceView | None, outcome: str) -> Plain:
    """With the figures that it was made on. outcome  "" = nothing was to be done"""
    newest = view.window[-1] if view is not None and view.window else None
    return {
        "artifact": str(decision.artifact),
        "from": decision.before,
        "to": decision.after,
        "action": action(decision.before, decision.after),
        "outcome": outcome,
        "confidence": decision.confidence,
        "reasons": reasons_shown(decision.reasons),
        "inputs": newest.signals() if newest is not None else {},
        "active": view.active if view is not None else 0,
        "min": view.low if view is not None else 0,
        "max": view.high if view is not None else 0,
    }


def entry_shown(row: DecisionRow) -> Plain:
    """One entry of the journal."""
    return {
        "artifact": str(row.artifact),
        "number": row.number,
        "at": row.at,
        "from": row.before,
        "to": row.after,
        "action": action(row.before, row.after),
        "shadow": row.shadow,
        "controller": row.controller,
        "leader": row.node,
        "confidence": row.confidence,
        "reasons": reasons_shown(row.reasons),
        "inputs": dict(row.inputs),
    }


def reasons_shown(reasons: Iterable[Reason]) -> list[Plain]:
    return [
        {
            "rule": each.rule,
            "text": each.text,
            "signal": each.signal,
            "value": each.value,
            "threshold": each.threshold,
            "windowSeconds": each.window_s,
            "asksFor": each.count if each.count >= 0 else None,
        }
        for each in reasons
    ]


def read_object(text: str) -> Plain:
    """A JSON object that one node told another about the controller. Raises BadInput."""
    try:
        plain: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("no JSON about the controller", (str(error),)) from error
    if not isinstance(plain, dict):
        raise BadInput("no JSON object about the controller")
    return cast("Plain", plain)


def action(before: int, after: int) -> str:
    """In the words of the original."""
    return "ScaleUp" if after > before else "ScaleDown" if after < before else "NoAction"
