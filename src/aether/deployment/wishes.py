"""What a mutation changes in the desired rows, as pure decisions.

Knows: who owns an artifact, which version a range means, what no member offers.
Never: how the change is written.
Holds: an artifact is owned by one blueprint; a version in force that a range allows stays in force.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping

import attrs

from aether.errors import BadInput, Conflict, NotFound
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.blueprint import ADHOC, APP, Blueprint, SliceWish
from aether.model.limits import INSTANCES_MAX
from aether.model.rows import DesiredRow
from aether.model.version import Version, VersionRange

Changes = Mapping[ArtifactBase, DesiredRow | None]
"""What becomes of each desired row that a mutation looked at; None = none wanted."""

Desired = Mapping[ArtifactBase, DesiredRow]
Defaults = Callable[[Artifact], int]

_NEAREST_MAX = 3


def decide_apply(blueprint: Blueprint, desired: Desired, offered: Iterable[Artifact], defaults: Defaults) -> Changes:
    """Rows for the blueprint's slices; none for what it owned and names no more. Raises Conflict, BadInput."""
    for wish in blueprint.slices:
        _check_owner(wish.artifact, desired, blueprint.id)
    known = tuple(offered)
    problems: list[str] = []
    changes: dict[ArtifactBase, DesiredRow | None] = {
        base: None for base, row in desired.items() if row.blueprint == blueprint.id
    }
    for wish in blueprint.slices:
        current = desired.get(wish.artifact)
        artifact = _resolve(wish.artifact, wish.versions, current, known)
        if artifact is None:
            problems.append(not_offered(wish.artifact, wish.versions, known))
        else:
            changes[wish.artifact] = _row(blueprint, wish, artifact, current, defaults)
    if problems:
        raise BadInput(f"blueprint {blueprint.id!r} names slices that no member offers", tuple(problems))
    return changes


def decide_deploy(
    base: ArtifactBase,
    versions: VersionRange,
    instances: int | None,
    desired: Desired,
    offered: Iterable[Artifact],
    defaults: Defaults,
) -> DesiredRow:
    """The row of a single deployment, owned by `adhoc`. Raises Conflict, BadInput."""
    _check_owner(base, desired, ADHOC)
    known = tuple(offered)
    current = desired.get(base)
    artifact = _resolve(base, versions, current, known)
    if artifact is None:
        raise BadInput("no member offers the slice", (not_offered(base, versions, known),))
    if current is None:
        count = defaults(artifact) if instances is None else instances
        return DesiredRow(artifact=artifact, instances=count, blueprint=ADHOC)
    return attrs.evolve(current, artifact=artifact, instances=current.instances if instances is None else instances)


def decide_scale(
    base: ArtifactBase, version: Version | None, instances: int, desired: Desired, offered: Iterable[Artifact]
) -> DesiredRow:
    """The row with another count; a new one when the version is given and nothing is wanted yet.

    Raises NotFound, Conflict when another version is in force, BadInput.
    """
    current = desired.get(base)
    if current is not None:
        if version is not None and version != current.artifact.version:
            raise Conflict(str(base), f"version {current.artifact.version} is in force, not {version}; scale {base}")
        return attrs.evolve(current, instances=instances)
    if version is None:
        raise NotFound("deployment", str(base), _near_hint(base, desired) or "deploy it first, with its version")
    exact = VersionRange.parse(str(version))
    return decide_deploy(base, exact, instances, desired, offered, lambda artifact: instances)


def decide_implicit(wanted: Iterable[tuple[Artifact, int]], desired: Desired) -> Changes:
    """Rows of blueprint `app` for slices that nobody wants yet; of several versions the newest."""
    return {
        artifact.base: DesiredRow(artifact=artifact, instances=instances, blueprint=APP)
        for artifact, instances in sorted(wanted)
        if artifact.base not in desired
    }


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


def _row(
    blueprint: Blueprint, wish: SliceWish, artifact: Artifact, current: DesiredRow | None, defaults: Defaults
) -> DesiredRow:
    instances = wish.instances
    if instances is None:
        # The count in force stays: another node may not know this slice's own default.
        instances = current.instances if current is not None else defaults(artifact)
    return DesiredRow(
        artifact=artifact,
        instances=instances,
        blueprint=blueprint.id,
        max_per_node=wish.max_per_node,
        config=wish.config,
        bind=blueprint.bind,
        host=wish.host,
        memory_mb=wish.memory_mb,
    )


def _near_hint(base: ArtifactBase, desired: Desired) -> str:
    near = difflib.get_close_matches(str(base), [str(b) for b in desired], n=1)
    return f"did you mean {near[0]}?" if near else ""
