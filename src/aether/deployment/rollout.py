"""One step of an update: from its row and what stands, to the rows of the next transition.

Knows: the table of states, the strategies' steps, what each state waits for.
Never: time, clocks, how rows are read or written; whose wish an update is (rollout_guards, rollout_wishes).
Holds: a transition and its effect are one batch, so that any leader goes on from it; traffic moves only to ACTIVE
       instances, and only when every live node knows them; what has traffic keeps its instances.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from aether.deployment.merging import without_update
from aether.deployment.rollout_facts import RolloutChanges, RolloutFacts
from aether.deployment.rollout_steps import BY_HAND, Step, count_steps, old_before, step_at
from aether.model.limits import ROLLOUT_DEPLOY_S, ROLLOUT_RETURN_S
from aether.model.rollout import TERMINAL, Cleanup, RolloutPlan, RolloutRow, RolloutState, Strategy, advance_rollout
from aether.model.rows import DesiredRow, TrafficRow
from aether.model.version import Version

R = RolloutState
_SOON_S: Final = 0.01


def new_rollout(
    id: str,  # noqa: A002 - the row's own field name
    desired: DesiredRow,
    new: Version,
    plan: RolloutPlan,
    by: str,
    now: float,
    *,
    once: bool = False,
) -> RolloutRow:
    """A row in PENDING. Whether the update may begin is for rollout_guards to say.

    desired  as it was before the update; once  with it the slice becomes a singleton
    """
    return RolloutRow(
        id=id,
        artifact=desired.artifact.base,
        old=desired.artifact.version,
        new=new,
        plan=plan,
        instances_old=desired.wished_count,
        since=now,
        by=by,
        created_at=now,
        updated_at=now,
        once=once,
    )


def traffic_of(row: RolloutRow) -> TrafficRow:
    """How the calls of the artifact are shared while the update stands as it does."""
    routed = row.state in (R.ROUTING, R.VALIDATING) and row.plan.strategy is Strategy.AB and row.step >= 0
    return TrafficRow(
        artifact=row.artifact,
        weights={str(row.old): row.weight_old, str(row.new): row.weight_new},
        sticky=row.plan.sticky,
        rules=dict.fromkeys(row.plan.rules, str(row.new)) if routed else {},
        update=row.id,
    )


def decide_rollout(row: RolloutRow, facts: RolloutFacts, now: float) -> RolloutChanges | None:
    """What is to be written next; None while the update waits, or is over.

    now  wall-clock seconds, for whoever reads the row: nothing is decided by it
    """
    if row.state in TERMINAL:
        return None
    lost = _lost(row, facts)
    if lost:
        return _end(row, facts, R.FAILED, lost, now)
    kept = _keep(row, facts)
    return kept if kept is not None else _STATES[row.state](row, facts, now)


def begin_rollback(row: RolloutRow, facts: RolloutFacts, reason: str, now: float) -> RolloutChanges:
    """Turn round. The old version is brought back to its full count first, when it was reduced."""
    moved = _moved(row, R.ROLLING_BACK, now, reason=reason)
    assert facts.desired is not None
    return _with_rows(attrs.evolve(moved, paused=False), facts, desired=_restored(row, facts, facts.desired))


def refused(row: RolloutRow, first: RolloutRow, now: float) -> RolloutChanges:
    """The end of an update that began while `first` was under way."""
    return RolloutChanges(row=_moved(row, R.FAILED, now, reason=f"update {first.id} to {first.new} was under way"))


def is_promoted(row: RolloutRow, desired: DesiredRow) -> bool:
    """Whether the new version is in force already."""
    return row.state is R.COMPLETING and desired.artifact.version == row.new


def looks_again_s(row: RolloutRow, lasted_s: float) -> float:
    """After how many seconds time alone may move it on; infinity when only a change of rows can."""
    match row.state:
        case R.VALIDATING:
            ends_s = row.plan.hold_s
        case R.COMPLETING:
            ends_s = row.plan.grace_s if row.plan.cleanup is Cleanup.GRACE_PERIOD else ROLLOUT_DEPLOY_S
        case R.ROLLING_BACK:
            ends_s = ROLLOUT_RETURN_S
        case _:
            ends_s = ROLLOUT_DEPLOY_S
    return max(ends_s - lasted_s, _SOON_S) if ends_s > lasted_s else math.inf


# --- states ---------------------------------------------------------------------------------------------------------


def _pending(row: RolloutRow, facts: RolloutFacts, now: float) -> RolloutChanges | None:
    if row.paused:
        return None
    moved = _moved(row, R.DEPLOYING, now)
    return _with_rows(moved, facts, desired=_goal(moved, facts))


def _deploying(row: RolloutRow, facts: RolloutFacts, now: float) -> RolloutChanges | None:
    if _has_grown(facts, step_at(row.plan, facts.wanted, 0)) and facts.is_applied:
        return RolloutChanges(row=_moved(row, R.DEPLOYED, now))
    return _not_coming(row, facts, step_at(row.plan, facts.wanted, 0), now)


def _deployed(row: RolloutRow, facts: RolloutFacts, now: float) -> RolloutChanges | None:
    if facts.new.all_failed:
        return _all_failed(row, facts, now)
    if row.paused or row.plan.strategy is Strategy.MANUAL or not _is_approved(row):
        return None
    return _with_rows(attrs.evolve(_moved(row, R.ROUTING, now), step=0), facts)


def _routing(row: RolloutRow, facts: RolloutFacts, now: float) -> RolloutChanges | None:
    if facts.new.all_failed:
        return _all_failed(row, facts, now)
    if facts.bad:
        return begin_rollback(row, facts, facts.bad, now)
    if row.paused or row.plan.strategy is Strategy.MANUAL:
        return None
    step = step_at(row.plan, facts.wanted, row.step)
    if (row.weight_new, row.weight_old) != (step.weight_new, step.weight_old):
        if not (_has_grown(facts, step) and facts.is_applied):
            return _not_coming(row, facts, step, now)
        moved = _moved(row, R.ROUTING, now)
        return _with_rows(attrs.evolve(moved, weight_new=step.weight_new, weight_old=step.weight_old), facts)
    if not (facts.is_applied and _has_shrunk(row, facts, step)):
        return None
    if row.plan.hold_s > 0 or row.plan.manual_approval or row.plan.gates.are_set or row.plan.strategy in BY_HAND:
        return RolloutChanges(row=_moved(row, R.VALIDATING, now))
    return _next(row, facts, now)


def _validating(row: RolloutRow, facts: RolloutFacts, now: float) -> RolloutChanges | None:
    if facts.new.all_failed:
        return _all_failed(row, facts, now)
    if facts.bad:
        return begin_rollback(row, facts, facts.bad, now)
    waits = row.paused or row.plan.strategy in BY_HAND or facts.lasted_s < row.plan.hold_s
    if waits or not _is_approved(row) or (facts.too_few and row.approved <= row.step):
        return _said(row, facts)
    return _next(row, facts, now)


def _completing(row: RolloutRow, facts: RolloutFacts, now: float) -> RolloutChanges | None:
    assert facts.desired is not None
    if is_promoted(row, facts.desired):
        if facts.old.present == 0 and facts.is_applied:
            return _end(row, facts, R.COMPLETED, row.reason, now)
        return None
    if facts.new.all_failed:
        return _all_failed(row, facts, now)
    if facts.bad:
        return begin_rollback(row, facts, facts.bad, now)
    if _is_late(row, facts) and facts.new.present == 0 and facts.old.active > 0:
        return begin_rollback(row, facts, f"no instance of {row.new} is left, and none can be placed", now)
    if row.paused or not facts.is_applied or not _may_clean_up(row, facts):
        return _said(row, facts)
    wanted = step_at(row.plan, facts.wanted, count_steps(row.plan, facts.wanted)).new
    if facts.new.active < wanted and not (_is_late(row, facts) and facts.new.active >= max(1, facts.needed)):
        return None
    count = facts.wanted if row.plan.instances is None else row.plan.instances
    desired = attrs.evolve(
        facts.desired,
        artifact=row.artifact.at(row.new),
        instances=count,
        wished=count if row.plan.instances is not None else facts.desired.wished,
        beside=None,
        beside_instances=0,
    )
    return RolloutChanges(row=attrs.evolve(row, updated_at=now), desired=desired, puts_in_force=True)


def _rolling_back(row: RolloutRow, facts: RolloutFacts, now: float) -> RolloutChanges | None:
    assert facts.desired is not None
    if row.weight_new > 0 or row.weight_old == 0:
        if not _may_return(facts):
            return None
        moved = attrs.evolve(row, weight_new=0, weight_old=1, updated_at=now)
        return _with_rows(moved, facts)
    if not facts.is_applied:
        return None
    if facts.desired.beside is not None:
        desired = without_update(facts.desired, facts.wanted)
        return RolloutChanges(row=attrs.evolve(row, updated_at=now), desired=desired)
    if facts.new.present > 0:
        return None
    return _end(row, facts, R.ROLLED_BACK, row.reason, now)


_STATES: Final[Mapping[RolloutState, Callable[[RolloutRow, RolloutFacts, float], RolloutChanges | None]]] = {
    R.PENDING: _pending,
    R.DEPLOYING: _deploying,
    R.DEPLOYED: _deployed,
    R.ROUTING: _routing,
    R.VALIDATING: _validating,
    R.COMPLETING: _completing,
    R.ROLLING_BACK: _rolling_back,
}
assert _STATES.keys() == set(RolloutState) - TERMINAL


# --- conditions -----------------------------------------------------------------------------------------------------


def _lost(row: RolloutRow, facts: RolloutFacts) -> str:
    """Why the update has nothing to update any more."""
    if facts.desired is None:
        return f"{row.artifact} is wanted no more"
    in_force = facts.desired.artifact.version
    if in_force != row.old and not is_promoted(row, facts.desired):
        return f"version {in_force} was put in force meanwhile"
    return ""


def _has_grown(facts: RolloutFacts, step: Step) -> bool:
    return facts.new.active >= max(step.new, min(1, facts.wanted))


def _has_shrunk(row: RolloutRow, facts: RolloutFacts, step: Step) -> bool:
    if row.plan.strategy is not Strategy.ROLLING or facts.desired is None:
        return True
    return facts.desired.instances <= step.old and facts.old.present <= step.old


def _is_approved(row: RolloutRow) -> bool:
    return not row.plan.manual_approval or row.approved > row.step


def _is_late(row: RolloutRow, facts: RolloutFacts) -> bool:
    return not row.paused and facts.lasted_s >= ROLLOUT_DEPLOY_S


def _may_clean_up(row: RolloutRow, facts: RolloutFacts) -> bool:
    cleanup = row.plan.cleanup
    return cleanup is Cleanup.IMMEDIATE or (cleanup is Cleanup.GRACE_PERIOD and facts.lasted_s >= row.plan.grace_s)


def _may_return(facts: RolloutFacts) -> bool:
    """Enough of the old version serves again, or waiting longer helps nobody."""
    if facts.lasted_s >= ROLLOUT_RETURN_S:
        return True
    if facts.new.active == 0:
        return facts.old.active >= min(1, facts.wanted)
    return facts.old.active >= max(min(1, facts.wanted), min(facts.wanted, facts.needed))


# --- moves ----------------------------------------------------------------------------------------------------------


def _moved(row: RolloutRow, state: RolloutState, now: float, reason: str = "") -> RolloutRow:
    advance_rollout(row.state, state)
    return attrs.evolve(row, state=state, since=now, updated_at=now, reason=reason or row.reason)


def _next(row: RolloutRow, facts: RolloutFacts, now: float) -> RolloutChanges:
    """The step after this one, or the end. A count that changed meanwhile may have made this step the last one."""
    if row.step >= count_steps(row.plan, facts.wanted) - 1:
        if row.weight_old > 0:
            return _with_rows(_moved(_with_health(row, facts), R.ROUTING, now), facts)
        return _with_rows(_moved(_with_health(row, facts), R.COMPLETING, now), facts)
    return _with_rows(attrs.evolve(_moved(_with_health(row, facts), R.ROUTING, now), step=row.step + 1), facts)


def _end(row: RolloutRow, facts: RolloutFacts, state: RolloutState, reason: str, now: float) -> RolloutChanges:
    desired = facts.desired
    beside = desired is not None and desired.beside == row.new
    return RolloutChanges(
        row=_moved(row, state, now, reason=reason),
        desired=without_update(desired, facts.wanted) if desired is not None and beside else None,
        drops_traffic=facts.traffic is not None,
    )


def _all_failed(row: RolloutRow, facts: RolloutFacts, now: float) -> RolloutChanges:
    because = f": {facts.new.reason}" if facts.new.reason else ""
    return begin_rollback(row, facts, f"every instance of {row.new} failed{because}", now)


def _not_coming(row: RolloutRow, facts: RolloutFacts, step: Step, now: float) -> RolloutChanges | None:
    """Roll back when the new instances failed, or did not come in time."""
    if facts.new.all_failed and facts.new.failed >= step.new:
        return _all_failed(row, facts, now)
    if _is_late(row, facts):
        counted = f"{facts.new.active} of {step.new} instances of {row.new} are ACTIVE"
        return begin_rollback(row, facts, f"{counted} after {ROLLOUT_DEPLOY_S:.0f} s", now)
    return None


def _said(row: RolloutRow, facts: RolloutFacts) -> RolloutChanges | None:
    """Write the judgement into the row when it changed."""
    if not facts.health or dict(row.health) == dict(facts.health):
        return None
    return RolloutChanges(row=_with_health(row, facts))


def _with_health(row: RolloutRow, facts: RolloutFacts) -> RolloutRow:
    return attrs.evolve(row, health=dict(facts.health)) if facts.health else row


# --- the rows beside it ---------------------------------------------------------------------------------------------


def _with_rows(row: RolloutRow, facts: RolloutFacts, desired: DesiredRow | None = None) -> RolloutChanges:
    traffic = traffic_of(row)
    return RolloutChanges(
        row=row,
        desired=None if desired == facts.desired else desired,
        traffic=None if traffic == facts.traffic else traffic,
    )


def _keep(row: RolloutRow, facts: RolloutFacts) -> RolloutChanges | None:
    """Bring the rows beside it to what the state says, whoever changed them."""
    changes = _with_rows(row, facts, desired=_goal(row, facts))
    return None if changes.desired is None and changes.traffic is None else changes


def _goal(row: RolloutRow, facts: RolloutFacts) -> DesiredRow:
    desired = facts.desired
    assert desired is not None
    match row.state:
        case R.DEPLOYING | R.DEPLOYED:
            return _sized(row, facts, desired, 0, moved=False)
        case R.ROUTING | R.VALIDATING:
            step = step_at(row.plan, facts.wanted, row.step)
            moved = (row.weight_new, row.weight_old) == (step.weight_new, step.weight_old)
            return _sized(row, facts, desired, row.step, moved=moved)
        case R.COMPLETING if not is_promoted(row, desired):
            return _sized(row, facts, desired, count_steps(row.plan, facts.wanted) - 1, moved=True)
        case R.ROLLING_BACK:
            return _restored(row, facts, desired)
        case _:
            return desired


def _sized(row: RolloutRow, facts: RolloutFacts, desired: DesiredRow, index: int, *, moved: bool) -> DesiredRow:
    """Both counts of step `index`. Old instances go only once their traffic has gone everywhere, unless the room for
    the new ones is theirs.
    """
    step = step_at(row.plan, facts.wanted, index)
    old = old_before(row.plan, facts.wanted, index)
    if moved and (facts.is_applied or desired.instances <= step.old):
        old = step.old
    old = max(old, -(-facts.wanted * row.weight_old // (row.weight_new + row.weight_old)))  # as many as its share
    if facts.places is not None and row.plan.strategy is Strategy.ROLLING and facts.places >= step.new:
        kept = min(old, max(0, facts.needed - facts.new.active))  # members may have left since it began
        old = max(kept, min(old, facts.places - step.new))
    wished = row.instances_old if desired.wished is None else desired.wished
    return attrs.evolve(desired, instances=old, wished=wished, beside=row.new, beside_instances=step.new)


def _restored(row: RolloutRow, facts: RolloutFacts, desired: DesiredRow) -> DesiredRow:
    if row.once and desired.singleton:
        return attrs.evolve(desired, singleton=False, instances=row.instances_old, wished=row.instances_old)
    return attrs.evolve(desired, instances=facts.wanted)
