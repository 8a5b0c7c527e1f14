"""Decisions as rows, and the batch that makes one so: override, count and journal together.

Knows: which rows a decision changes, on which versions; which entries go.
Never: whether it is wise, who may write.
Holds: a count never changes without its entry, nor an entry without its count, except in shadow; a slice has at most
       DECISIONS_KEPT entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from aether.control.context import ControlContext, SliceView
from aether.control.decisions import Decision
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.key_kinds import Key
from aether.model.artifact import ArtifactBase
from aether.model.decision import DecisionRow
from aether.model.ids import Revision
from aether.model.limits import DECISIONS_KEPT, DECISIONS_OF_GONE_S
from aether.model.owner import CONTROLLER
from aether.model.rows import DesiredRow, OverrideRow

Version = Callable[[Key[Any]], Revision]


def entry(
    context: ControlContext, view: SliceView, decision: Decision, controller: str, *, shadow: bool
) -> DecisionRow:
    """`decision` as it is remembered."""
    return DecisionRow(
        artifact=decision.artifact,
        number=view.decisions[-1].number + 1 if view.decisions else 1,
        before=decision.before,
        after=decision.after,
        controller=controller,
        node=context.leader,
        at=context.now,
        confidence=decision.confidence,
        reasons=decision.reasons,
        inputs=view.window[-1].signals() if view.window else {},
        shadow=shadow,
    )


def is_news(view: SliceView, made: DecisionRow) -> bool:
    """Whether it says something else than the last entry: in shadow nothing changes, so it would be said for ever."""
    last = view.decisions[-1] if view.decisions else None
    return not made.shadow or last is None or (last.shadow, last.before, last.after) != (True, made.before, made.after)


def acting(row: DesiredRow, view: SliceView, made: DecisionRow, version: Version) -> Batch:
    """Everything that `made` changes, on the rows that it was decided on."""
    base = row.artifact.base
    changes: list[Put[Any] | Delete[Any]] = []
    compares: list[Compare[Any]] = []
    if not made.shadow:
        override = _override(made, view)
        counted = attrs.evolve(row, instances=made.after, wished=row.wished_count)
        for key, value in ((keys.desired(base), counted), (keys.override(base), override)):
            compares.append(Compare(key, version(key)))
            changes.append(Put(key, value))
    kept = keys.decision(base, made.number)
    compares.append(Compare(kept, Revision(0)))
    changes.append(Put(kept, made))
    changes += [Delete(keys.decision(base, old.number)) for old in view.decisions[: 1 - DECISIONS_KEPT]]
    return Batch(tuple(compares), tuple(changes))


def _override(made: DecisionRow, view: SliceView) -> OverrideRow:
    return OverrideRow(
        artifact=made.artifact,
        instances=made.after,
        owner=CONTROLLER,
        reason="; ".join(reason.text for reason in made.reasons)[:300],
        by=made.controller,
        at=made.at,
        until=made.at + view.settings.override_s,
    )


def renewal(view: SliceView, now: float, version: Version) -> Batch | None:
    """The controller's own count said again, when half of its time has passed; None = not yet, or it is not its own."""
    own = view.override
    if own is None or own.owner != CONTROLLER or own.until - now > view.settings.override_s / 2 or own.until <= now:
        return None
    key = keys.override(view.base)
    row = attrs.evolve(own, until=now + view.settings.override_s)
    return Batch((Compare(key, version(key)),), (Put(key, row),))


def left_behind(
    decisions: Iterable[DecisionRow], wanted: Iterable[ArtifactBase], now: float
) -> Sequence[Delete[DecisionRow]]:
    """Entries of slices that nobody wants any more, once they are old."""
    known = set(wanted)
    return [
        Delete(keys.decision(row.artifact, row.number))
        for row in decisions
        if row.artifact not in known and now - row.at > DECISIONS_OF_GONE_S
    ]
