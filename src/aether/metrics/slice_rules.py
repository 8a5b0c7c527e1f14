"""What the change of a row of slices, blueprints or updates tells.

Knows: wishes, instances, overrides, updates, blueprints: the row before and after.
Never: ids and times of events, who reads them.
Holds: what is told depends on the rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from aether.metrics.events import EventType, Told, told
from aether.metrics.slice_standing import Count, SliceStanding
from aether.model.artifact import ArtifactBase
from aether.model.blueprint import BACK, TAKEN_BACK
from aether.model.lifecycle import SliceState
from aether.model.rollout import TERMINAL, RolloutRow, RolloutState
from aether.model.rows import ApplyRow, ApplyState, BlueprintRow, DesiredRow, InstanceRow, OverrideRow, UnsatisfiedRow

E = EventType
Details = dict[str, object]
_ENDS = {
    RolloutState.COMPLETED: E.UPDATE_COMPLETED,
    RolloutState.ROLLING_BACK: E.UPDATE_ROLLING_BACK,
    RolloutState.ROLLED_BACK: E.UPDATE_ROLLED_BACK,
    RolloutState.FAILED: E.UPDATE_FAILED,
}


def desired_changed(
    base: ArtifactBase, old: DesiredRow | None, new: DesiredRow | None, standing: SliceStanding
) -> Iterator[Told]:
    """A wish came, changed or went."""
    before = standing.count(base)
    standing.put_desired(base, new)
    if new is None:
        if old is not None:
            yield told(
                E.SLICE_UNDEPLOYED, str(base), f"{old.artifact} is wanted no more", {"artifact": str(old.artifact)}
            )
        return
    facts: Details = {"artifact": str(new.artifact), "instances": new.instances, "blueprint": new.blueprint}
    if old is None:
        text = f"{new.artifact} is to have {_instances(new.instances)}, says blueprint {new.blueprint}"
        yield told(E.DEPLOYMENT_STARTED, str(base), text, facts)
    elif old.artifact != new.artifact:
        text = f"{new.artifact} is in force instead of {old.artifact.version}"
        yield told(E.DEPLOYMENT_STARTED, str(base), text, facts | {"previous": str(old.artifact)})
    elif old.instances != new.instances and old.beside is None and new.beside is None:
        text = f"{new.artifact} is to have {_instances(new.instances)} instead of {old.instances}"
        yield told(E.SCALED, str(base), text, facts | {"previous": old.instances})
    if old is not None:
        yield from _completed(base, before, standing.count(base))


def instance_changed(key: str, base: ArtifactBase, new: InstanceRow | None, standing: SliceStanding) -> Iterator[Told]:
    """An instance moved on, or its row went."""
    old, before = standing.instance(key), standing.count(base)
    standing.put_instance(key, new)
    after = standing.count(base)
    if new is not None and new.state is SliceState.FAILED and (old is None or old.state is not SliceState.FAILED):
        text = f"{new.artifact}: instance {new.instance} on {new.node} failed: {new.reason or 'no reason was given'}"
        facts: Details = {
            "instance": new.instance,
            "nodeId": new.node,
            "reason": new.reason,
            "attempt": new.attempt,
        }
        yield told(E.SLICE_FAILURE, str(base), text, facts | {"artifact": str(new.artifact)})
    yield from _completed(base, before, after)
    if after.active < before.active and before.wanted and not after.is_updating:
        counts: Details = {"active": after.active, "instances": after.wanted}
        is_orderly = new is not None and new.state is SliceState.DEACTIVATE
        if not after.active and not is_orderly:
            text = f"{base}: no instance is ACTIVE; {after.wanted} are wanted"
            yield told(E.SLICE_ALL_INSTANCES_FAILED, str(base), text, counts)
        elif before.is_complete and not after.is_complete:
            text = f"{base}: {after.active} of {_instances(after.wanted)} ACTIVE"
            yield told(E.SLICE_DEGRADED, str(base), text, counts)


def _completed(base: ArtifactBase, before: Count, after: Count) -> Iterator[Told]:
    if after.is_complete and after.wanted and not before.is_complete and not after.is_updating:
        text = f"{base}: {_instances(after.wanted)} ACTIVE, as wanted"
        yield told(E.DEPLOYMENT_COMPLETED, str(base), text, {"active": after.active, "instances": after.wanted})


def override_changed(base: ArtifactBase, old: OverrideRow | None, new: OverrideRow | None) -> Iterator[Told]:
    """Somebody wants another count than the blueprint, or does so no more."""
    row = new or old
    if row is None:
        return
    facts: Details = {
        "instances": row.instances,
        "owner": row.owner,
        "by": row.by,
        "reason": row.reason,
        "until": row.until,
    }
    who = f"{row.owner} {row.by}".strip()
    because = f": {row.reason}" if row.reason else ""
    if new is None:
        text = f"{base}: the count of {who} holds no more"
        yield told(E.OVERRIDE_ENDED, str(base), text, facts)
    elif old is None or (old.instances, old.owner, old.until) != (new.instances, new.owner, new.until):
        text = f"{base}: {who} wants {_instances(new.instances)}{because}"
        yield told(E.OVERRIDE_SET, str(base), text, facts)


def unsatisfied_changed(base: ArtifactBase, old: UnsatisfiedRow | None, new: UnsatisfiedRow | None) -> Iterator[Told]:
    """Instances cannot be placed, or can be again."""
    if new is None:
        yield told(E.PLACEMENT_SATISFIED, str(base), f"{base}: every instance that is wanted has a place again")
    elif old is None or (old.missing, old.reason) != (new.missing, new.reason):
        text = f"{base}: {_instances(new.missing)} cannot be placed: {new.reason}"
        yield told(E.PLACEMENT_SHORT, str(base), text, {"missing": new.missing, "reason": new.reason})


def rollout_changed(base: ArtifactBase, old: RolloutRow | None, new: RolloutRow | None) -> Iterator[Told]:
    """An update began, took a step, was held, or ended."""
    if new is None:
        return  # an old one is forgotten
    name = f"update {new.id} of {base} from {new.old} to {new.new}"
    facts: Details = {
        "updateId": new.id,
        "artifact": str(base),
        "oldVersion": str(new.old),
        "newVersion": str(new.new),
        "state": new.state.value,
        "step": new.step,
        "weightNew": new.weight_new,
        "weightOld": new.weight_old,
        "by": new.by,
        "reason": new.reason,
    }
    because = f": {new.reason}" if new.reason else ""
    if old is None:
        yield told(E.UPDATE_STARTED, str(base), f"{name} begins, {new.plan.strategy.value}, by {new.by}", facts)
    if new.state in _ENDS and (old is None or old.state is not new.state):
        verb = new.state.value.lower().replace("_", " ")
        yield told(_ENDS[new.state], str(base), f"{name}: {verb}{because}", facts)
    elif old is not None and new.state not in TERMINAL and _has_moved(old, new):
        share = f"{new.weight_new}:{new.weight_old} of the traffic to the new version"
        yield told(E.UPDATE_STEP, str(base), f"{name} is {new.state.value}, {share}", facts)
    if old is not None and old.paused is not new.paused and new.state not in TERMINAL:
        kind, verb = (E.UPDATE_PAUSED, "pauses") if new.paused else (E.UPDATE_RESUMED, "goes on")
        yield told(kind, str(base), f"{name} {verb}{because}", facts)


def _has_moved(old: RolloutRow, new: RolloutRow) -> bool:
    return (old.state, old.step, old.weight_new, old.weight_old) != (
        new.state,
        new.step,
        new.weight_new,
        new.weight_old,
    )


def blueprint_changed(old: BlueprintRow | None, new: BlueprintRow | None) -> Iterator[Told]:
    """A text was applied; an old one that is forgotten is no news."""
    if new is None or old is not None:
        return
    facts: Details = {
        "number": new.number,
        "by": new.applied_by,
        "reason": new.reason,
        "slices": [str(a) for a in new.slices],
    }
    because = f": {new.reason}" if new.reason else ""
    is_back = new.reason.startswith(BACK) or TAKEN_BACK in new.reason
    kind = E.BLUEPRINT_ROLLED_BACK if is_back else E.BLUEPRINT_APPLIED
    yield told(kind, new.id, f"blueprint {new.id} is at number {new.number}, by {new.applied_by}{because}", facts)


def blueprint_current_changed(identity: str, new: int | None) -> Iterator[Told]:
    """Which number is in force is told with its text."""
    if new is None:
        yield told(E.BLUEPRINT_DELETED, identity, f"blueprint {identity} was deleted")


def apply_changed(old: ApplyRow | None, new: ApplyRow | None) -> Iterator[Told]:
    """An atomic apply that does not come off."""
    if new is not None and new.state is ApplyState.RETURNING and (old is None or old.state is not new.state):
        text = f"blueprint {new.id} number {new.number} did not come off, and is taken back: {new.reason}"
        facts: Details = {"number": new.number, "previous": new.previous, "by": new.by, "reason": new.reason}
        yield told(E.DEPLOYMENT_FAILED, new.id, text, facts)


def _instances(count: int) -> str:
    return f"{count} instance" if count == 1 else f"{count} instances"
