"""Whether an atomic apply has come off.

Knows: what it brought, the instances and updates that stand for it.
Never: rows other than these; how it is taken back.
Holds: only what the apply brought can fail it; one failed start is no failure, for it is tried again; while an update
       moves traffic it judges itself; the same rows at the same second give the same verdict on any leader.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from aether.model.artifact import Artifact, ArtifactBase
from aether.model.lifecycle import SliceState
from aether.model.rollout import TERMINAL, RolloutRow, RolloutState
from aether.model.rows import ApplyRow, ApplyState, DesiredRow, InstanceRow

_STARTING: Final = frozenset({RolloutState.PENDING, RolloutState.DEPLOYING})
_NAMES_SHOWN_MAX: Final = 4


class Next(enum.Enum):
    """What is to be done about an apply."""

    WAIT = "wait"
    KEEP = "keep"  # all is ACTIVE: forget the watch
    GIVE_UP = "give up"  # it goes back, for `reason`
    STOP_UPDATES = "stop updates"  # `updates` are rolled back first
    RETURN = "return"  # to the text before


@attrs.frozen(kw_only=True)
class Verdict:
    next: Next
    reason: str = ""
    updates: tuple[str, ...] = ()


def judge_apply(
    row: ApplyRow,
    desired: Mapping[ArtifactBase, DesiredRow],
    instances: Iterable[InstanceRow],
    rollouts: Iterable[RolloutRow],
    lasted_s: float,
) -> Verdict:
    """instances, rollouts  all of them; lasted_s  since `row` stands, by a clock that nobody sets"""
    begun = [r for r in rollouts if r.created_at >= row.at and r.artifact.at(r.new) in row.slices]
    if row.state is ApplyState.RETURNING:
        open_ones = tuple(r.id for r in begun if r.state not in TERMINAL and r.state is not RolloutState.ROLLING_BACK)
        if open_ones:
            return Verdict(next=Next.STOP_UPDATES, updates=open_ones)
        under_way = any(r.state not in TERMINAL for r in begun)
        return Verdict(next=Next.WAIT if under_way else Next.RETURN)
    rows: dict[Artifact, list[InstanceRow]] = {}
    for instance in instances:
        rows.setdefault(instance.artifact, []).append(instance)
    missing: list[str] = []
    updating = False
    for artifact in row.slices:
        update = max((r for r in begun if r.artifact == artifact.base), key=lambda r: r.created_at, default=None)
        wish = desired.get(artifact.base)
        if wish is None:
            continue  # wanted no more, by somebody's later word
        if update is not None and update.state is not RolloutState.COMPLETED:
            if update.state in TERMINAL or update.state is RolloutState.ROLLING_BACK:
                return Verdict(
                    next=Next.GIVE_UP, reason=f"the update of {artifact.base} is {update.state}: {update.reason}"
                )
            updating = True
            missing += (f"{artifact} does not run yet",) if update.state in _STARTING else ()
        elif wish.artifact == artifact:
            failed, lacking = _standing(wish, rows.get(artifact, ()))
            if failed:
                return Verdict(next=Next.GIVE_UP, reason=failed)
            missing += (lacking,) if lacking else ()
    if missing and lasted_s >= row.timeout_s:
        shown = "; ".join(missing[:_NAMES_SHOWN_MAX])
        return Verdict(next=Next.GIVE_UP, reason=f"not everything was ACTIVE after {row.timeout_s:g} s: {shown}")
    return Verdict(next=Next.WAIT if missing or updating else Next.KEEP)


def _standing(wish: DesiredRow, rows: Sequence[InstanceRow]) -> tuple[str, str]:
    """(why it has failed for good, what it lacks); "" when it has not, or lacks nothing."""
    active = sum(r.state is SliceState.ACTIVE for r in rows)
    if active >= wish.instances:
        return "", ""
    failed = [r for r in rows if r.state is SliceState.FAILED]
    if failed and len(failed) == len(rows) and max(r.attempt for r in failed) >= 1:
        return f"{wish.artifact} FAILED again: {failed[0].reason}", ""
    return "", f"{wish.artifact}: {active} of {wish.instances} instances ACTIVE"
