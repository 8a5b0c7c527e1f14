"""The rows of an update as read together, and their changes as one compare-and-set batch.

Knows: which rows belong to an update, and on which versions of them a decision was made.
Never: decides.
Holds: either all rows of a transition are written, or none; finished updates stay, the newest few of each artifact.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from aether.deployment.revisions import current_revision, next_revision
from aether.deployment.rollout import traffic_of
from aether.deployment.rollout_facts import RolloutChanges
from aether.errors import BadInput
from aether.kv import keys
from aether.kv.commands import Batch, BatchResult, Change, Compare, Delete, Put
from aether.kv.key_kinds import Key
from aether.kv.service import KvService
from aether.model.blueprint_edit import with_version
from aether.model.limits import ROLLOUTS_KEPT
from aether.model.rollout import TERMINAL, RolloutRow
from aether.model.rows import DesiredRow, LeadershipRow, OverrideRow, TrafficRow

_log = logging.getLogger("aether.deployment")

BY_ROLLOUT: Final = "rollout "
"""`applied_by` of the blueprint that a completed update writes, followed by the update's id."""


class RolloutRows:
    """What stands in the store now about one update, with the versions of its rows. `row` is None when it is gone."""

    def __init__(self, kv: KvService, of: RolloutRow) -> None:
        base = of.artifact
        self.compares: tuple[Compare[Any], ...] = (
            _compare(kv, keys.rollout(base, of.id)),
            _compare(kv, keys.desired(base)),
            _compare(kv, keys.traffic(base)),
        )
        self.row: RolloutRow | None = kv.get(keys.rollout(base, of.id))
        self.desired: DesiredRow | None = kv.get(keys.desired(base))
        self.traffic: TrafficRow | None = kv.get(keys.traffic(base))
        self.override: OverrideRow | None = kv.get(keys.override(base))


def _compare(kv: KvService, key: Key[Any]) -> Compare[Any]:
    return Compare(key, kv.version(key))


def batch_of(
    kv: KvService, at: RolloutRows, changes: RolloutChanges, of_artifact: Iterable[RolloutRow], now: float
) -> Batch:
    """One transition. `of_artifact` are all its updates: of the finished ones the oldest go."""
    row, base = changes.row, changes.row.artifact
    writes: list[Change] = []
    if row != at.row:
        writes.append(Put(keys.rollout(base, row.id), row))
    if changes.desired is not None:
        writes.append(Put(keys.desired(base), changes.desired))
    if changes.traffic is not None:
        writes.append(Put(keys.traffic(base), changes.traffic))
    elif changes.drops_traffic:
        writes.append(Delete(keys.traffic(base)))
    compares = at.compares
    if row.state in TERMINAL:
        writes += _forgotten(row, of_artifact)
    if changes.puts_in_force and at.desired is not None:
        text = _revised(kv, at.desired, row, now)
        compares += text.compares
        writes += text.changes
    return Batch(compares, tuple(writes))


async def write_changes(
    kv: KvService,
    at: RolloutRows,
    changes: RolloutChanges,
    of_artifact: Iterable[RolloutRow],
    fence: LeadershipRow | None,
    now: float,
) -> BatchResult:
    """Raises what a proposal raises."""
    batch = batch_of(kv, at, changes, of_artifact, now)
    return await (kv.propose(batch) if fence is None else kv.propose(batch, fence=fence))


def begun(row: RolloutRow) -> tuple[Change, Change]:
    """What every beginning of an update writes, whoever asked for it."""
    return Put(keys.rollout(row.artifact, row.id), row), Put(keys.traffic(row.artifact), traffic_of(row))


async def write_start(
    kv: KvService, at: RolloutRows, row: RolloutRow, fence: LeadershipRow | None = None
) -> BatchResult:
    """Begin `row`. The traffic row is part of it, so that of two that begin at once one loses; and the desired row as
    it is, so that whoever decided on it without this update has to look again.
    """
    writes: list[Change] = [*begun(row)]
    if at.desired is not None:
        writes.append(Put(keys.desired(row.artifact), at.desired))
    batch = Batch(at.compares, tuple(writes))
    return await (kv.propose(batch) if fence is None else kv.propose(batch, fence=fence))


def _forgotten(row: RolloutRow, of_artifact: Iterable[RolloutRow]) -> list[Change]:
    finished = [other for other in of_artifact if other.state in TERMINAL and other.id != row.id]
    finished.sort(key=lambda other: (other.updated_at, other.id))
    return [Delete(keys.rollout(old.artifact, old.id)) for old in finished[: max(0, len(finished) - ROLLOUTS_KEPT + 1)]]


def _revised(kv: KvService, desired: DesiredRow, row: RolloutRow, now: float) -> Batch:
    """The next revision of the blueprint that owns the artifact, naming the new version; nothing when it has none."""
    known = current_revision(kv, desired.blueprint)
    if known is None:
        return Batch()
    try:
        text = with_version(known.text, row.artifact, row.new)
    except BadInput as error:  # the version is in force all the same; applying that text again is a conflict
        _log.warning("update %s: blueprint %r keeps its text: %s", row.id, desired.blueprint, error)
        return Batch()
    if text == known.text:
        return Batch()
    by = f"{BY_ROLLOUT}{row.id}"
    new = row.artifact.at(row.new)
    slices = tuple(new if each.base == row.artifact else each for each in known.slices)
    reason = f"{row.artifact} updated to {row.new}"
    return next_revision(kv, desired.blueprint, text, by=by, at=now, reason=reason, slices=slices)[1]
