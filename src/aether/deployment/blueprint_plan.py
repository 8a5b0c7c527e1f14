"""What applying a blueprint would change, for people to read before it does.

Knows: the decision, and what stands now.
Never: decides; writes.
Holds: what a plan says is what an apply at the same state would write.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs

from aether.deployment.blueprint_wishes import Applying
from aether.deployment.standing import Standing
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.rows import BlueprintRow, DesiredRow


class Action(enum.StrEnum):
    """What becomes of a slice."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    UNCHANGED = "unchanged"


@attrs.frozen(kw_only=True)
class SlicePlan:
    """One slice. old, new  versions, None when there is none; instances  before and after

    changes     `what: before -> after`, a line each
    rollout     the strategy by which the version changes, "" when no update is needed
    taken_back  the override of an operator that goes
    is_dependency  no slice of the text is it: another one needs it
    """

    artifact: ArtifactBase
    action: Action
    old: Artifact | None = None
    new: Artifact | None = None
    instances: tuple[int, int] = (0, 0)
    changes: tuple[str, ...] = ()
    rollout: str = ""
    taken_back: str = ""
    is_dependency: bool = False


@attrs.frozen(kw_only=True)
class BlueprintPlan:
    """id, number  of the blueprint, as it would get; warnings  a line each"""

    id: str
    number: int
    is_new_text: bool
    slices: tuple[SlicePlan, ...]
    warnings: tuple[str, ...] = ()

    @property
    def changes_something(self) -> bool:
        return self.is_new_text or any(s.action is not Action.UNCHANGED or s.taken_back for s in self.slices)


def plan_of(
    identity: str, applying: Applying, standing: Standing, current: BlueprintRow | None, text: str
) -> BlueprintPlan:
    """The plan of a decision; dependencies first, what goes last."""
    is_new = current is None or current.text != text
    number = 0 if current is None else current.number
    rows = applying.decision.desired
    order = [a.base for a in applying.slices]
    order += sorted(base for base in rows if base not in order)
    unknown = (
        f"the contract of {artifact} is not known here: what it needs is not looked for"
        for artifact in applying.expansion.unknown
    )
    slices = tuple(_slice(base, applying, standing) for base in order if base in rows)
    return BlueprintPlan(
        id=identity,
        number=number + 1 if is_new else number,
        is_new_text=is_new,
        slices=slices,
        warnings=(*applying.surprises, *_broken(slices, standing), *unknown),
    )


def _broken(slices: tuple[SlicePlan, ...], standing: Standing) -> Iterator[str]:
    """Whom a change of version breaks: seen when it is forced, else it is refused."""
    for each in slices:
        if each.old is not None and each.new is not None and each.old != each.new:
            yield from (f"{each.new} breaks its callers: {line}" for line in standing.breaks(each.old, each.new))


def _slice(base: ArtifactBase, applying: Applying, standing: Standing) -> SlicePlan:
    old, new = standing.desired.get(base), applying.decision.desired[base]
    rollout = next((row for row in applying.decision.rollouts if row.artifact == base), None)
    action = _action(old, new)
    if rollout is not None:
        action = Action.CHANGE
    override = standing.overrides.get(base)
    taken = override is not None and base in applying.decision.overrides and new is not None
    target = None if new is None else new.artifact
    return SlicePlan(
        artifact=base,
        action=action,
        old=None if old is None else old.artifact,
        new=target if rollout is None else base.at(rollout.new),
        instances=(0 if old is None else old.instances, 0 if new is None else new.instances),
        changes=tuple(_changes(old, new)) if old is not None and new is not None else (),
        rollout="" if rollout is None else str(rollout.plan.strategy),
        taken_back=_said(standing, base) if taken else "",
        is_dependency=new is not None and new.is_dependency,
    )


def _action(old: DesiredRow | None, new: DesiredRow | None) -> Action:
    if new is None:
        return Action.DELETE
    if old is None:
        return Action.CREATE
    return Action.UNCHANGED if old == new else Action.CHANGE


def _changes(old: DesiredRow, new: DesiredRow) -> Iterator[str]:
    for field in attrs.fields(DesiredRow):
        if field.name in ("artifact", "instances"):
            continue
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before != after:
            yield f"{field.name}: {_short(before)} -> {_short(after)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _said(standing: Standing, base: ArtifactBase) -> str:
    row = standing.overrides[base]
    by = f" by {row.by}" if row.by else ""
    because = f": {row.reason}" if row.reason else ""
    return f"{row.instances} instances{by}{because}"
