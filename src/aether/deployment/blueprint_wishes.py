"""What applying or deleting a blueprint changes, as pure decisions.

Knows: who owns an artifact, versions and ranges, dependencies, overrides, updates that are under way or were completed.
Never: how rows and texts are written.
Holds: an artifact is owned by one blueprint; the version of a slice that runs is changed by an update only; a version
       in force that the text allows stays in force; what others need does not go unless forced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from aether.deployment.budget import needed
from aether.deployment.defaults import own_row, too_many
from aether.deployment.dependencies import Expansion, expand, needed_by
from aether.deployment.fleet import Fleet
from aether.deployment.merging import merged, merged_count
from aether.deployment.rollout import new_rollout
from aether.deployment.rollout_guards import check_room
from aether.deployment.room import room_for, shortage
from aether.deployment.standing import Decision, Standing
from aether.deployment.wishes import check_owner, not_offered, resolve
from aether.errors import BadInput, Conflict
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint import Blueprint, Mode, SliceWish
from aether.model.limits import BLUEPRINT_SLICES_MAX
from aether.model.owner import OPERATOR
from aether.model.rollout import RolloutPlan, RolloutRow
from aether.model.rows import ApplyRow, DesiredRow, OverrideRow

_NAMES_SHOWN_MAX = 4
Rows = dict[ArtifactBase, DesiredRow | None]


@attrs.frozen(kw_only=True)
class Wish:
    """How a blueprint is to be applied.

    by      who applies it; force  also where that takes back a completed update, or hurts others
    prefer  versions that win over a range, where the text allows them: those of an earlier apply
    number, previous  of the text, and of the one in force
    taking_back  an atomic apply did not come off: what stood before is not judged again
    """

    by: str = ""
    force: bool = False
    prefer: Mapping[ArtifactBase, Artifact] = attrs.field(factory=dict[ArtifactBase, Artifact])
    number: int = 0
    previous: int = 0
    taking_back: bool = False


@attrs.frozen(kw_only=True)
class Applying:
    """A decision, and what there is to say about it. slices  as resolved, dependencies first; short  a line each"""

    decision: Decision
    slices: tuple[Artifact, ...]
    expansion: Expansion
    short: tuple[str, ...] = ()

    @property
    def surprises(self) -> tuple[str, ...]:
        """What nobody asked for: circles of dependencies, instances that find no place; a line each."""
        return (*(f"slices need each other in a circle: {circle}" for circle in self.expansion.cycles), *self.short)


def decide_apply(blueprint: Blueprint, standing: Standing, wish: Wish) -> Applying:
    """Rows for the blueprint's slices and what they need; none for what it owned and wants no more.

    Raises BadInput with every problem; Conflict: another blueprint owns a slice or needs one that goes, an update is
    under way or would be taken back, callers would break, or an atomic one finds no room.
    """
    for each in blueprint.slices:
        check_owner(each.artifact, standing.desired, blueprint.id)
    targets = _targets(blueprint, standing, wish)
    _check_once(blueprint, targets, standing)
    expansion = _expanded(blueprint, targets, standing)
    fleet = standing.fleet()
    rows: Rows = {base: None for base, row in standing.desired.items() if row.blueprint == blueprint.id}
    overrides: dict[ArtifactBase, OverrideRow | None] = {}
    rollouts: list[RolloutRow] = []
    for each in blueprint.slices:
        override = standing.overrides.get(each.artifact)
        if override is not None and override.owner == OPERATOR and each.instances is not None:
            override = overrides[each.artifact] = None
        row = merged(_row(blueprint, each, targets[each.artifact], standing), override, standing.now)
        rows[each.artifact], rollout = _stepwise(blueprint, row, standing, fleet, wish)
        rollouts += () if rollout is None else (rollout,)
    rows |= _dependencies(blueprint, expansion, rows, standing)
    rows |= _handed_over(blueprint.id, rows, standing, wish.force)
    overrides |= {base: None for base, row in rows.items() if row is None and base in standing.overrides}
    short = tuple(line for row in rows.values() if row is not None and (line := shortage(row, fleet)))
    if short and blueprint.mode is Mode.ATOMIC and not wish.taking_back:
        raise Conflict(f"blueprint {blueprint.id}", f"mode is atomic, and not all would run: {'; '.join(short)}")
    decision = Decision(
        desired=rows,
        overrides=overrides,
        rollouts=tuple(rollouts),
        watch=_watch(blueprint, rows, rollouts, standing, wish),
        unwatch=blueprint.id,
    )
    slices = tuple(targets.get(a.base, a) for a in expansion.order)
    return Applying(decision=decision, slices=slices, expansion=expansion, short=short)


def decide_delete(blueprint: str, standing: Standing, *, force: bool) -> Decision:
    """Nothing of `blueprint` is wanted any more. Raises Conflict when others need a slice of it, unless forced."""
    rows: Rows = {base: None for base, row in standing.desired.items() if row.blueprint == blueprint}
    rows |= _handed_over(blueprint, rows, standing, force)
    overrides: dict[ArtifactBase, OverrideRow | None] = {
        base: None for base, row in rows.items() if row is None and base in standing.overrides
    }
    return Decision(desired=rows, overrides=overrides, unwatch=blueprint)


# --- which version ----------------------------------------------------------------------------------------------------


def _targets(blueprint: Blueprint, standing: Standing, wish: Wish) -> dict[ArtifactBase, Artifact]:
    offered = standing.offered
    problems: list[str] = []
    targets: dict[ArtifactBase, Artifact] = {}
    for each in blueprint.slices:
        preferred = wish.prefer.get(each.artifact)
        if preferred is not None and preferred in offered and preferred.version in each.versions:
            targets[each.artifact] = preferred
            continue
        found = resolve(each.artifact, each.versions, standing.desired.get(each.artifact), offered)
        if found is None:
            problems.append(not_offered(each.artifact, each.versions, offered))
        else:
            targets[each.artifact] = found
    if problems:
        raise BadInput(f"blueprint {blueprint.id!r} names slices that no member offers", tuple(problems))
    return targets


def _stepwise(
    blueprint: Blueprint, row: DesiredRow, standing: Standing, fleet: Fleet, wish: Wish
) -> tuple[DesiredRow, RolloutRow | None]:
    """The row as it may be written now, and the update that brings the rest. Raises Conflict."""
    base, new = row.artifact.base, row.artifact
    current = standing.desired.get(base)
    under_way = standing.under_way(base)
    if current is None:
        return row, None
    if under_way is not None:
        if new.version not in (under_way.old, under_way.new):
            raise Conflict(
                str(base),
                f"its update {under_way.id} from {under_way.old} to {under_way.new} is under way ({under_way.state}); "
                f"name {under_way.new}, or roll it back first: aether rollout rollback {under_way.id}",
            )
        kept = attrs.evolve(row, artifact=current.artifact, instances=current.instances)
        return attrs.evolve(kept, beside=current.beside, beside_instances=current.beside_instances), None
    if new == current.artifact:
        return row, None
    _check_change(current.artifact, new, standing, wish.force)
    if current.artifact not in standing.running or current.instances == 0:
        return row, None  # nobody is served by the old version: there is nothing to be careful about
    now = attrs.evolve(row, artifact=current.artifact)
    plan = RolloutPlan(strategy=blueprint.strategy, force=wish.force)
    if not wish.taking_back:
        need, places = needed(row.min_available, row.instances), room_for(now, fleet, new)
        check_room(base, plan, row.instances, need, places, once=row.singleton)
    once = row.singleton and not current.singleton
    before = attrs.evolve(now, wished=current.wished_count) if once else now
    return now, new_rollout(standing.new_id(base), before, new.version, plan, wish.by, standing.now, once=once)


def _check_change(old: Artifact, new: Artifact, standing: Standing, force: bool) -> None:
    if force:
        return
    last = standing.rollouts.get(old.base)
    if last is not None and (last.old, last.new) == (new.version, old.version):
        raise Conflict(
            str(old.base),
            f"the text says {new.version}, but update {last.id} has brought {old.version} since; write {old.version}, "
            "or apply it with --force to go back",
        )
    broken = standing.breaks(old, new)
    if broken:
        raise Conflict(str(old.base), f"{new.version} breaks its callers: {'; '.join(broken)}; --force applies it")


# --- rows -------------------------------------------------------------------------------------------------------------


def _row(blueprint: Blueprint, wish: SliceWish, artifact: Artifact, standing: Standing) -> DesiredRow:
    current = standing.desired.get(wish.artifact)
    row = DesiredRow(
        artifact=artifact,
        instances=1,
        blueprint=blueprint.id,
        max_per_node=wish.max_per_node,
        placing=wish.placing,
        placed={} if current is None else current.placed,
        min_available=wish.min_available,
        singleton=wish.singleton,
        config=wish.config,
        bind=blueprint.bind,
        host=wish.host,
        memory_mb=wish.memory_mb,
        timeouts_s=wish.timeouts_s,
        drain_s=wish.drain_s,
        security=blueprint.security,
    )
    return _counted(row, wish, current, standing)


def _counted(row: DesiredRow, wish: SliceWish, current: DesiredRow | None, standing: Standing) -> DesiredRow:
    """With the count and the bounds of the text, else the slice's own; those in force while that is not known here."""
    own = standing.defaults(row.artifact)
    row = own_row(row, own)
    if own is None and current is not None and not current.is_dependency:
        wished = current.wished_count
        low, high, idle_s = current.instances_min, current.instances_max, current.idle_s
        row = attrs.evolve(row, wished=wished, instances_min=low, instances_max=high, idle_s=idle_s)
        row = attrs.evolve(row, singleton=row.singleton or (current.singleton and row.artifact == current.artifact))
    said = (wish.instances_min, wish.instances_max, wish.idle_s)
    if wish.instances is not None or said != (None, None, None):
        count = row.wished if wish.instances is None else wish.instances
        row = attrs.evolve(row, wished=count, instances_min=said[0], instances_max=said[1], idle_s=said[2])
    number = merged_count(row, None, standing.now)
    return attrs.evolve(row, instances=number, wished=number)


def _check_once(blueprint: Blueprint, targets: Mapping[ArtifactBase, Artifact], standing: Standing) -> None:
    problems: list[str] = []
    for each in blueprint.slices:
        artifact = targets[each.artifact]
        own = standing.defaults(artifact)
        most = max(each.instances or 0, each.instances_max or 0)
        if own is not None and own.singleton and most > 1:
            problems.append(too_many(artifact, most))
    if problems:
        raise BadInput(f"blueprint {blueprint.id!r} asks for more than one of a singleton", tuple(problems))


def _expanded(blueprint: Blueprint, targets: Mapping[ArtifactBase, Artifact], standing: Standing) -> Expansion:
    found = expand(targets, blueprint.bind, standing.contracts, standing.offered, standing.desired, blueprint.id)
    if found.problems:
        raise BadInput(f"blueprint {blueprint.id!r} needs slices that no member offers", found.problems)
    if len(found.order) > BLUEPRINT_SLICES_MAX:
        raise BadInput(
            f"blueprint {blueprint.id!r} has {len(found.order)} slices with all that they need",
            (f"one blueprint holds at most {BLUEPRINT_SLICES_MAX}",),
        )
    return found


def _dependencies(blueprint: Blueprint, expansion: Expansion, rows: Rows, standing: Standing) -> Rows:
    """One instance of each slice that the others need. While a contract is not known here, none of them goes."""
    added: Rows = {}
    for artifact in expansion.added:
        row = standing.desired.get(artifact.base)
        if row is None or not row.is_dependency:
            row = DesiredRow(artifact=artifact, instances=1, wished=1, blueprint=blueprint.id, is_dependency=True)
            own = standing.defaults(artifact)
            row = attrs.evolve(row, singleton=own is not None and own.singleton)
        added[artifact.base] = attrs.evolve(row, bind=blueprint.bind, security=blueprint.security)
    for base in [base for base, row in rows.items() if row is None and base not in added] if expansion.unknown else ():
        if standing.desired[base].is_dependency:
            added[base] = standing.desired[base]
    return added


def _handed_over(blueprint: str, rows: Rows, standing: Standing, force: bool) -> Rows:
    """Dependencies that go here and are needed elsewhere get another owner. Raises Conflict for named slices."""
    going = {base for base, row in rows.items() if row is None}
    if not going:
        return {}
    others = [row for base, row in standing.desired.items() if row.blueprint != blueprint and base not in rows]
    users = needed_by(others, standing.contracts, standing.desired)
    kept: Rows = {}
    for base in sorted(going & users.keys()):
        gone = standing.desired[base]
        if gone.is_dependency:
            kept[base] = attrs.evolve(gone, blueprint=users[base][0].blueprint)
        elif not force:
            names = _few(f"{user.artifact.base} of blueprint {user.blueprint!r}" for user in users[base])
            raise Conflict(str(base), f"{names} needs it; change that blueprint first, or --force")
    return kept


def _watch(
    blueprint: Blueprint, rows: Rows, rollouts: Iterable[RolloutRow], standing: Standing, wish: Wish
) -> ApplyRow | None:
    """What an atomic apply is watched for; None when it brings no new slice and no new version."""
    if blueprint.mode is not Mode.ATOMIC or wish.taking_back:
        return None
    known = standing.desired
    slices = {base: row.artifact for base, row in rows.items() if row is not None}
    slices = {base: a for base, a in slices.items() if base not in known or known[base].artifact != a}
    slices |= {row.artifact: row.artifact.at(row.new) for row in rollouts}
    if not slices:
        return None
    return ApplyRow(
        id=blueprint.id,
        number=wish.number,
        previous=wish.previous,
        slices=tuple(sorted(slices.values())),
        before=tuple(known[base].artifact for base in sorted(slices) if base in known),
        by=wish.by,
        at=standing.now,
        timeout_s=blueprint.timeout_s,
    )


def _few(names: Iterable[str]) -> str:
    texts = list(names)
    more = f" and {len(texts) - _NAMES_SHOWN_MAX} more" if len(texts) > _NAMES_SHOWN_MAX else ""
    return ", ".join(texts[:_NAMES_SHOWN_MAX]) + more
