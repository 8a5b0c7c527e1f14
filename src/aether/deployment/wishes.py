"""What a mutation changes in the desired rows, as pure decisions.

Knows: who owns an artifact, which version a range means, what no member offers.
Never: how the change is written.
Holds: an artifact is owned by one blueprint; a version in force that a range allows stays in force.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import attrs

from aether.deployment.merging import OPERATOR, bounds, merged
from aether.deployment.standing import Decision, Desired, Standing
from aether.errors import BadInput, Conflict, NotFound
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint import ADHOC, APP, Blueprint, SliceWish
from aether.model.limits import INSTANCES_MAX
from aether.model.rows import DesiredRow, OverrideRow
from aether.model.version import Version, VersionRange

_NEAREST_MAX = 3


def decide_apply(blueprint: Blueprint, standing: Standing) -> Decision:
    """Rows for the blueprint's slices; none for what it owned and names no more. Raises Conflict, BadInput."""
    for wish in blueprint.slices:
        _check_owner(wish.artifact, standing.desired, blueprint.id)
    problems: list[str] = []
    changes: dict[ArtifactBase, DesiredRow | None] = {
        base: None for base, row in standing.desired.items() if row.blueprint == blueprint.id
    }
    taken_back: dict[ArtifactBase, OverrideRow | None] = {}
    for wish in blueprint.slices:
        current = standing.desired.get(wish.artifact)
        artifact = _resolve(wish.artifact, wish.versions, current, standing.offered)
        if artifact is None:
            problems.append(not_offered(wish.artifact, wish.versions, standing.offered))
            continue
        override = standing.overrides.get(wish.artifact)
        if override is not None and override.owner == OPERATOR and wish.instances is not None:
            override = taken_back[wish.artifact] = None
        changes[wish.artifact] = merged(_row(blueprint, wish, artifact, standing), override, standing.now)
    if problems:
        raise BadInput(f"blueprint {blueprint.id!r} names slices that no member offers", tuple(problems))
    return Decision(desired=changes, overrides=taken_back)


def decide_deploy(base: ArtifactBase, versions: VersionRange, instances: int | None, standing: Standing) -> Decision:
    """The row of a single deployment, owned by `adhoc`; a count takes an operator's override back.

    Raises Conflict, BadInput.
    """
    _check_owner(base, standing.desired, ADHOC)
    current = standing.desired.get(base)
    artifact = _resolve(base, versions, current, standing.offered)
    if artifact is None:
        raise BadInput("no member offers the slice", (not_offered(base, versions, standing.offered),))
    override = standing.overrides.get(base)
    overrides: dict[ArtifactBase, OverrideRow | None] = {}
    if current is None:
        count = standing.defaults(artifact) if instances is None else instances
        row = DesiredRow(artifact=artifact, instances=count, wished=count, blueprint=ADHOC)
    else:
        _check_no_rollout(base, standing, "deploy another version")
        row = attrs.evolve(current, artifact=artifact)
        if instances is not None:
            row = attrs.evolve(row, wished=instances)
            if override is not None and override.owner == OPERATOR:
                override = overrides[base] = None
    return Decision(desired={base: merged(row, override, standing.now)}, overrides=overrides)


def decide_scale(base: ArtifactBase, version: Version | None, override: OverrideRow, standing: Standing) -> Decision:
    """An override of an operator, with the count that follows; a new deployment when the version is given and nothing
    is wanted yet. What the blueprint says anyway, for good, takes an override back.

    Raises NotFound; Conflict when another version is in force, or an update under way; BadInput outside the bounds.
    """
    current = standing.desired.get(base)
    if current is None:
        if version is None:
            hint = _near_hint(base, standing.desired) or "deploy it first, with its version"
            raise NotFound("deployment", str(base), hint)
        return decide_deploy(base, VersionRange.parse(str(version)), override.instances, standing)
    if version is not None and version != current.artifact.version:
        raise Conflict(str(base), f"version {current.artifact.version} is in force, not {version}; scale {base}")
    _check_no_rollout(base, standing, "scale it")
    low, high = bounds(current)
    if not low <= override.instances <= high:
        raise BadInput(
            f"instances: {override.instances} is not within {low} to {high}, as blueprint {current.blueprint!r} says",
            (f"choose a count from {low} to {high}, or change min and max of {base} in that blueprint",),
        )
    known = standing.overrides.get(base)
    wanted = None if override.instances == current.wished and not override.until else override
    if _same_word(known, wanted):
        wanted = known  # said again: when and by whom it was said first stays
    overrides = {} if wanted == known else {base: wanted}
    return Decision(desired={base: merged(current, wanted, standing.now)}, overrides=overrides)


def decide_implicit(wanted: Iterable[tuple[Artifact, int]], desired: Desired) -> Decision:
    """Rows of blueprint `app` for slices that nobody wants yet; of several versions the newest."""
    rows: Mapping[ArtifactBase, DesiredRow | None] = {
        artifact.base: DesiredRow(artifact=artifact, instances=instances, wished=instances, blueprint=APP)
        for artifact, instances in sorted(wanted)
        if artifact.base not in desired
    }
    return Decision(desired=rows)


def check_instances(instances: object) -> None:
    """Raises BadInput unless it is a whole number from 0 to INSTANCES_MAX."""
    if type(instances) is not int or not 0 <= instances <= INSTANCES_MAX:
        shown = repr(instances)[:60]
        raise BadInput(f"instances: {shown} is no whole number from 0 to {INSTANCES_MAX}")


def not_offered(base: ArtifactBase, versions: VersionRange, offered: Iterable[Artifact]) -> str:
    """`artifact: what is wrong`, with what comes nearest."""
    known = sorted(offered)
    same = [str(a.version) for a in known if a.base == base]
    if same:
        return f"{base}:{versions}: members offer only version {', '.join(same)}"
    near = difflib.get_close_matches(str(base), sorted({str(a.base) for a in known}), n=_NEAREST_MAX, cutoff=0.7)
    if near:
        return f"{base}:{versions}: no member offers it; did you mean {' or '.join(near)}?"
    return f"{base}:{versions}: no member offers it; start a node with --app and the module that defines it"


def _check_owner(base: ArtifactBase, desired: Desired, owner: str) -> None:
    row = desired.get(base)
    if row is not None and row.blueprint != owner:
        raise Conflict(
            str(base), f"blueprint {row.blueprint!r} owns it; change that blueprint, or undeploy {base} first"
        )


def _resolve(
    base: ArtifactBase, versions: VersionRange, current: DesiredRow | None, offered: Iterable[Artifact]
) -> Artifact | None:
    if current is not None and current.artifact.version in versions:
        return current.artifact
    version = versions.newest(a.version for a in offered if a.base == base)
    return None if version is None else base.at(version)


def _row(blueprint: Blueprint, wish: SliceWish, artifact: Artifact, standing: Standing) -> DesiredRow:
    count = _wished(wish, artifact, standing)
    return DesiredRow(
        artifact=artifact,
        instances=count,
        wished=count,
        instances_min=wish.instances_min,
        instances_max=wish.instances_max,
        blueprint=blueprint.id,
        max_per_node=wish.max_per_node,
        placing=wish.placing,
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


def _wished(wish: SliceWish, artifact: Artifact, standing: Standing) -> int:
    """The count that is written; else the one in force, for another node may not know the slice's own default."""
    if wish.instances is not None:
        return wish.instances
    current = standing.desired.get(wish.artifact)
    if current is None:
        count = standing.defaults(artifact)
    else:
        count = current.instances if current.wished is None else current.wished
    if wish.singleton:
        count = min(count, 1)
    low = wish.instances_min or 0
    return max(low, count if wish.instances_max is None else min(count, wish.instances_max))


def _same_word(known: OverrideRow | None, said: OverrideRow | None) -> bool:
    if known is None or said is None:
        return known is said
    return attrs.evolve(known, at=said.at, by=said.by) == said


def _check_no_rollout(base: ArtifactBase, standing: Standing, what: str) -> None:
    row = standing.under_way(base)
    if row is not None:
        raise Conflict(
            str(base),
            f"its update {row.id} from {row.old} to {row.new} is under way ({row.state}); {what} when it is over, or "
            "roll it back",
        )


def _near_hint(base: ArtifactBase, desired: Desired) -> str:
    near = difflib.get_close_matches(str(base), [str(b) for b in desired], n=1)
    return f"did you mean {near[0]}?" if near else ""
