"""Why a slice has so many instances: every word about its count, in the order in which they weigh.

Knows: rows, the last evaluation.
Never: decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, cast

from aether.control.evaluation import Plain, entry_shown
from aether.control.sight import Rows, has_range
from aether.errors import NotFound
from aether.model.artifact import ArtifactBase
from aether.model.decision import DecisionRow
from aether.model.rollout import TERMINAL
from aether.model.rows import DesiredRow, InstanceRow, OverrideRow, UnsatisfiedRow

ENTRIES_SHOWN: Final = 5


def explained(rows: Rows, base: ArtifactBase, now: float, evaluated: Mapping[str, object] | None) -> Plain:
    """evaluated  the leader's newest word about it (`decision_shown`), None = there is none. Raises NotFound."""
    row = next((each for each in rows.desired if each.artifact.base == base), None)
    instances = [each for each in rows.instances if each.artifact.base == base]
    if row is None and not instances:
        raise NotFound("deployment", str(base), "aether slices lists what is wanted")
    override = next((each for each in rows.overrides if each.artifact == base), None)
    short = next((each for each in rows.unsatisfied if each.artifact == base), None)
    updates = [each.id for each in rows.rollouts if each.artifact == base and each.state not in TERMINAL]
    journal = sorted((each for each in rows.decisions if each.artifact == base), key=lambda d: -d.number)
    states = Counter(each.state.value if rows.is_alive(each) else "LOST" for each in instances)
    lines = list(_lines(row, override, short, updates, states, journal, now, evaluated))
    return {
        "artifact": str(row.artifact if row is not None else instances[0].artifact),
        "why": lines,
        "wanted": row.instances if row is not None else 0,
        "wished": row.wished_count if row is not None else 0,
        "blueprint": row.blueprint if row is not None else "",
        "range": _range(row),
        "owner": override.owner if override is not None else "blueprint",
        "override": None if override is None else _override_shown(override),
        "states": dict(sorted(states.items())),
        "nodes": _nodes(instances),
        "unsatisfied": None if short is None else {"missing": short.missing, "reason": short.reason},
        "update": updates[0] if updates else "",
        "asleep": row is not None and row.instances == 0 and row.instances_min == 0,
        "controller": dict(evaluated) if evaluated is not None else None,
        "decisions": [entry_shown(each) for each in journal[:ENTRIES_SHOWN]],
    }


def _lines(
    row: DesiredRow | None,
    override: OverrideRow | None,
    short: UnsatisfiedRow | None,
    updates: list[str],
    states: Mapping[str, int],
    journal: list[DecisionRow],
    now: float,
    evaluated: Mapping[str, object] | None,
) -> Iterator[str]:
    if row is None:
        yield "nobody wants it any more: what runs is about to go"
        return
    limits = _range(row)
    said = f", within {limits['min']} to {limits['max']}" if limits else ""
    yield f"blueprint {row.blueprint!r} wants {row.wished_count}{said}"
    if override is not None:
        left = f" for {override.until - now:.0f} s more" if override.until else ""
        by = f" ({override.by})" if override.by else ""
        reason = f": {override.reason}" if override.reason else ""
        yield f"{override.owner}{by} wants {override.instances}{left}{reason}"
    if row.instances == 0:
        yield "it sleeps: the next call wakes it" if row.instances_min == 0 else "so none is wanted"
    for update in updates:
        yield f"its update {update} is under way, and the count waits for its end"
    counted = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    yield f"{row.instances} are wanted: {counted or 'none runs'}"
    if short is not None:
        yield f"{short.missing} find no place: {short.reason}"
    if journal:
        yield f"last change: {_entry(journal[0], now)}"
    if not has_range(row):
        yield "no controller has a say: it has no range {min, max}" + (", and is a singleton" if row.singleton else "")
    elif evaluated is None:
        yield "the leader has not looked at it yet, or does not answer"
    else:
        yield f"controller now: {evaluated.get('action')} to {evaluated.get('to')}: {_texts(evaluated)}"


def _entry(row: DecisionRow, now: float) -> str:
    why = row.reasons[0].text if row.reasons else "no reason given"
    word = " (in shadow: nothing was changed)" if row.shadow else ""
    return f"{now - row.at:.0f} s ago from {row.before} to {row.after} by {row.controller}{word}: {why}"


def _texts(evaluated: Mapping[str, object]) -> str:
    reasons = cast("list[Plain]", evaluated.get("reasons") or [])
    texts = [str(each.get("text")) for each in reasons]
    return "; ".join(texts) or "no reason given"


def _range(row: DesiredRow | None) -> Plain | None:
    if row is None or row.instances_min is None or row.instances_max is None:
        return None
    return {"min": row.instances_min, "max": row.instances_max}


def _override_shown(row: OverrideRow) -> Plain:
    return {
        "instances": row.instances,
        "owner": row.owner,
        "by": row.by,
        "at": row.at,
        "until": row.until,
        "reason": row.reason,
    }


def _nodes(instances: list[InstanceRow]) -> Plain:
    return dict(sorted(Counter(str(each.node) for each in instances).items()))
