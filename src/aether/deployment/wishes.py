"""What a mutation changes in the desired rows, as pure decisions.

Knows: who owns an artifact, which version a range means, what no member offers.
Never: how the change is written.
Holds: an artifact is owned by one blueprint; a version in force that a range allows stays in force.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import attrs

from aether.deployment.defaults import counted_row, own_row
from aether.deployment.dependencies import Contracts, needed_by
from aether.deployment.merging import bounds, merged
from aether.deployment.standing import Decision, Desired, Standing
from aether.errors import BadInput, Conflict, NotFound
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint import ADHOC, APP
from aether.model.limits import INSTANCES_MAX
from aether.model.owner import OPERATOR
from aether.model.rows import DesiredRow, OverrideRow
from aether.model.version import Version, VersionRange
from aether.slice_api.contract import SliceOptions

_NEAREST_MAX = 3


def decide_deploy(base: ArtifactBase, versions: VersionRange, instances: int | None, standing: Standing) -> Decision:
    """The row of a single deployment, owned by `adhoc`; a count takes an operator's override back.

    Raises Conflict, BadInput.
    """
    check_owner(base, standing.desired, ADHOC)
    current = standing.desired.get(base)
    artifact = resolve(base, versions, current, standing.offered)
    if artifact is None:
        raise BadInput("no member offers the slice", (not_offered(base, versions, standing.offered),))
    override = standing.overrides.get(base)
    overrides: dict[ArtifactBase, OverrideRow | None] = {}
    if current is None:
        row = DesiredRow(artifact=artifact, instances=1, blueprint=ADHOC)
        own = standing.defaults(artifact)
        row = own_row(row, own) if instances is None else counted_row(row, own, instances)
    else:
        _check_no_rollout(base, standing, "deploy another version")
        row = _at_version(current, artifact, standing)
        if instances is not None:
            row = attrs.evolve(counted_row(row, None, instances), instances=current.instances)
            if override is not None and override.owner == OPERATOR:
                override = overrides[base] = None
    return Decision(desired={base: merged(row, override, standing.now)}, overrides=overrides)


def decide_undeploy(base: ArtifactBase, version: Version | None, standing: Standing) -> Decision:
    """No row and no override; dependencies that nobody else needs go too. Another version than `version` stays."""
    row = standing.desired.get(base)
    if row is None or version not in (None, row.artifact.version):
        return Decision(desired={base: row})
    left = {known: each for known, each in standing.desired.items() if known != base}
    gone: dict[ArtifactBase, DesiredRow | None] = {base: None}
    gone |= dict.fromkeys(unneeded(left, row.blueprint, standing.contracts))
    return Decision(desired=gone, overrides={each: None for each in gone if each in standing.overrides})


def unneeded(left: Desired, blueprint: str, contracts: Contracts) -> list[ArtifactBase]:
    """Dependencies of `blueprint` that none of the rows `left` needs, directly or through others.

    [] while a slice of that blueprint has a contract that is not known here: it might need them.
    """
    own = {base: row for base, row in left.items() if row.blueprint == blueprint and row.is_dependency}
    rest = {base: row for base, row in left.items() if base not in own}
    if any(contracts(row.artifact) is None for row in rest.values() if row.blueprint == blueprint):
        return []
    asked = list(rest.values())
    while asked:
        needed = needed_by(asked, contracts, left)
        asked = [own.pop(base) for base in needed if base in own]
    return sorted(own)


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
    if current.singleton:
        counted_row(current, None, override.instances)
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


def decide_implicit(wanted: Mapping[Artifact, SliceOptions], desired: Desired) -> Decision:
    """Rows of blueprint `app` for slices that nobody wants yet; of several versions the newest."""
    rows: Mapping[ArtifactBase, DesiredRow | None] = {
        artifact.base: own_row(DesiredRow(artifact=artifact, instances=1, blueprint=APP), wanted[artifact])
        for artifact in sorted(wanted)
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
    way = "start a node with --app and the module that defines it, or put its tree into --slices"
    return f"{base}:{versions}: no member offers it; {way}"


def check_owner(base: ArtifactBase, desired: Desired, owner: str) -> None:
    """Raises Conflict that names the blueprint which owns it."""
    row = desired.get(base)
    if row is not None and row.blueprint != owner:
        raise Conflict(
            str(base), f"blueprint {row.blueprint!r} owns it; change that blueprint, or undeploy {base} first"
        )


def resolve(
    base: ArtifactBase, versions: VersionRange, current: DesiredRow | None, offered: Iterable[Artifact]
) -> Artifact | None:
    """The version in force when the range allows it, else the newest on offer; None when there is none."""
    if current is not None and current.artifact.version in versions:
        return current.artifact
    version = versions.newest(a.version for a in offered if a.base == base)
    return None if version is None else base.at(version)


def _at_version(row: DesiredRow, artifact: Artifact, standing: Standing) -> DesiredRow:
    """`row` in another version, which may say of itself that it runs once, or no longer."""
    own = standing.defaults(artifact)
    if artifact == row.artifact or own is None:
        return attrs.evolve(row, artifact=artifact)
    wished = min(1, row.wished_count) if own.singleton else row.wished
    return attrs.evolve(row, artifact=artifact, singleton=own.singleton, wished=wished)


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
