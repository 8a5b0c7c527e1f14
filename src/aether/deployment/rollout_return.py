"""Back to the version before, when all instances of a version fail after its update was completed.

Knows: finished updates: they remember which version was in force before.
Never: writes; updates under way (they turn round by themselves).
Holds: at most RETURNS_MAX times since an operator's last update, never twice within RETURN_COOL_DOWN_S, and never to a
       version that was left for the same reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from aether.deployment.rollout import new_rollout
from aether.deployment.rollout_facts import VersionStanding
from aether.model.artifact import Artifact
from aether.model.limits import RETURN_COOL_DOWN_S, RETURNS_MAX
from aether.model.rollout import TERMINAL, RolloutPlan, RolloutRow, RolloutState, Strategy
from aether.model.rows import DesiredRow

RETURN: Final = "aether: all instances failed"
"""`by` of such an update."""


def decide_return(
    id: str,  # noqa: A002 - the row's own field name
    desired: DesiredRow,
    standing: VersionStanding,
    rollouts: Iterable[RolloutRow],
    offered: Collection[Artifact],
    now: float,
) -> RolloutRow | None:
    """The update that leads back; None when nothing does, or it is too early.

    standing  of the version in force; rollouts  of the artifact
    """
    if desired.instances == 0 or standing.active > 0 or standing.failed < desired.instances:
        return None
    known = sorted(rollouts, key=lambda row: (row.created_at, row.id))
    if any(row.state not in TERMINAL for row in known):
        return None
    before = _version_before(desired, known)
    if before is None or before.at_old not in offered:
        return None
    returns = _returns(known)
    if len(returns) >= RETURNS_MAX or any(now - row.created_at < RETURN_COOL_DOWN_S for row in returns):
        return None
    plan = RolloutPlan(strategy=Strategy.IMMEDIATE, force=True)
    return new_rollout(id, desired, before.row.old, plan, RETURN, now)


class _Before:
    """A completed update, and the artifact that it came from."""

    def __init__(self, row: RolloutRow) -> None:
        self.row = row
        self.at_old = row.artifact.at(row.old)


def _version_before(desired: DesiredRow, known: list[RolloutRow]) -> _Before | None:
    """The operator's newest completed update to the version in force."""
    for row in reversed(known):
        if row.state is RolloutState.COMPLETED and row.new == desired.artifact.version and row.by != RETURN:
            return _Before(row)
    return None


def _returns(known: list[RolloutRow]) -> list[RolloutRow]:
    """Those since the operator's last update."""
    found: list[RolloutRow] = []
    for row in reversed(known):
        if row.by != RETURN:
            break
        found.append(row)
    return found
