"""What people ask of an update under way, as pure decisions over its row.

Knows: which wish fits which state; how shares of traffic are written.
Never: how a change is written; what follows by itself (rollout).
Holds: what is so already changes nothing and is no error; what cannot be says where the update stands and what to do.
"""

from __future__ import annotations

from typing import Final

import attrs

from aether.deployment.rollout import begin_rollback, is_promoted, traffic_of
from aether.deployment.rollout_facts import RolloutChanges, RolloutFacts
from aether.deployment.rollout_steps import step_of_share
from aether.errors import Conflict
from aether.model.ratio import check_parts
from aether.model.rollout import TERMINAL, Cleanup, RolloutRow, RolloutState, Strategy, advance_rollout

R = RolloutState
_ROUTED: Final = (R.ROUTING, R.VALIDATING)


def route(row: RolloutRow, facts: RolloutFacts, new: int, old: int, now: float) -> RolloutChanges | None:
    """Share the traffic as told; an update that goes by steps is paused where it then stands."""
    check_parts(new, old)
    if row.state not in (R.DEPLOYED, *_ROUTED):
        raise _unfit(row, "its traffic cannot be moved", _when_not_routed(row))
    if row.plan.strategy is Strategy.ROLLING:
        raise _unfit(row, "its traffic cannot be moved", "a rolling update moves instances and traffic together")
    for weight, version, standing in ((new, row.new, facts.new), (old, row.old, facts.old)):
        if weight > 0 and standing.active == 0 and facts.wanted > 0:
            raise _unfit(row, f"{version} gets no traffic", "none of its instances is ACTIVE")
    moved = attrs.evolve(
        row,
        state=advance_rollout(row.state, R.ROUTING),
        weight_new=new,
        weight_old=old,
        step=step_of_share(row.plan, facts.wanted, new, old),
        paused=row.plan.strategy is not Strategy.MANUAL,
    )
    if row.state is R.ROUTING and moved == row:
        return None
    return _with_traffic(attrs.evolve(moved, since=now, updated_at=now))


def approve(row: RolloutRow, now: float) -> RolloutChanges | None:
    """Let a step that waits for a person go on."""
    _check_under_way(row, "nothing waits for approval")
    if not row.plan.manual_approval and row.state is not R.VALIDATING:
        raise _unfit(row, "nothing waits for approval", "it goes on by itself, or as `routing` says")
    if row.state not in (R.DEPLOYED, R.VALIDATING):
        raise _unfit(row, "nothing waits for approval", "a step is approved while it is DEPLOYED or VALIDATING")
    if row.approved > row.step:
        return None
    return RolloutChanges(row=attrs.evolve(row, approved=row.step + 1, updated_at=now))


def pause(row: RolloutRow, now: float) -> RolloutChanges | None:
    """Stand still. What fails is taken back all the same."""
    _check_under_way(row, "it cannot be paused")
    if row.state is R.ROLLING_BACK:
        raise _unfit(row, "it cannot be paused", "it is being rolled back")
    return None if row.paused else RolloutChanges(row=attrs.evolve(row, paused=True, updated_at=now))


def resume(row: RolloutRow, now: float) -> RolloutChanges | None:
    """Go on; time-outs and holds begin anew."""
    _check_under_way(row, "it cannot be resumed")
    if not row.paused:
        return None
    return RolloutChanges(row=attrs.evolve(row, paused=False, since=now, updated_at=now))


def complete(row: RolloutRow, now: float) -> RolloutChanges | None:
    """Put the new version in force for good, once it has all the traffic; let the old one go when that has waited."""
    if row.state is R.COMPLETED:
        return None
    _check_under_way(row, "it cannot be completed")
    if row.state is R.COMPLETING:
        if row.plan.cleanup is Cleanup.IMMEDIATE and not row.paused:
            return None
        plan = attrs.evolve(row.plan, cleanup=Cleanup.IMMEDIATE)
        return RolloutChanges(row=attrs.evolve(row, plan=plan, paused=False, updated_at=now))
    if row.state not in (R.DEPLOYED, *_ROUTED):
        raise _unfit(row, "it cannot be completed", _when_not_routed(row))
    if row.state is R.DEPLOYED or (row.weight_old > 0 and row.plan.strategy is not Strategy.AB):
        share = f"the new version has {row.weight_new} and the old one {row.weight_old} parts of the traffic"
        raise _unfit(row, "it cannot be completed", f"{share}; route all of it first")
    moved = attrs.evolve(row, weight_new=max(1, row.weight_new), weight_old=0, paused=False)
    done = attrs.evolve(moved, state=advance_rollout(row.state, R.COMPLETING), since=now, updated_at=now)
    return _with_traffic(done)


def take_back(row: RolloutRow, facts: RolloutFacts, reason: str, now: float) -> RolloutChanges | None:
    """Turn round: traffic first, instances afterwards."""
    if row.state in (R.ROLLING_BACK, R.ROLLED_BACK):
        return None
    if row.state in TERMINAL:
        raise _unfit(row, "it cannot be rolled back", f"it is over; to return, update {row.artifact} to {row.old}")
    if facts.desired is None:
        raise _unfit(row, "it cannot be rolled back", f"{row.artifact} is wanted no more")
    if is_promoted(row, facts.desired):
        raise _unfit(
            row, "it cannot be rolled back", f"{row.new} is in force and {row.old} goes; update to {row.old} afterwards"
        )
    return begin_rollback(row, facts, reason, now)


def waits_for(row: RolloutRow) -> str:
    """What a person has to do before it goes on, in words; "" when it is over or goes on by itself."""
    if row.state in TERMINAL or row.state is R.ROLLING_BACK:
        return ""
    if row.paused:
        return "resume (paused)"
    if row.plan.strategy is Strategy.MANUAL and row.state in (R.DEPLOYED, R.ROUTING):
        return "complete" if row.weight_old == 0 and row.weight_new > 0 else "routing"
    if row.state is R.COMPLETING:
        return "complete, or rollback" if row.plan.cleanup is Cleanup.MANUAL else ""
    if row.state in (R.DEPLOYED, R.VALIDATING) and row.plan.manual_approval and row.approved <= row.step:
        return "approve"
    return "complete, or rollback" if row.plan.strategy is Strategy.AB and row.state is R.VALIDATING else ""


def waits_for_a_person(row: RolloutRow) -> bool:
    """Whether it is over, or goes on only when told."""
    return row.state in TERMINAL or waits_for(row) != ""


def _with_traffic(row: RolloutRow) -> RolloutChanges:
    return RolloutChanges(row=row, traffic=traffic_of(row))


def _check_under_way(row: RolloutRow, what: str) -> None:
    if row.state in TERMINAL:
        raise _unfit(row, what, "it is over")


def _when_not_routed(row: RolloutRow) -> str:
    if row.state in (R.PENDING, R.DEPLOYING):
        return f"the instances of {row.new} are not ACTIVE yet; wait until it is DEPLOYED"
    if row.state is R.COMPLETING:
        return f"all of it is on {row.new}; to switch back, roll back"
    return "it is over" if row.state in TERMINAL else "it is being rolled back"


def _unfit(row: RolloutRow, what: str, why: str) -> Conflict:
    return Conflict(f"update {row.id} of {row.artifact}", f"{what} while it is {row.state}: {why}")
