"""When a slice that may scale to zero falls asleep, and what wakes it.

Knows: bounds, overrides, which instances serve nothing and since when.
Never: calls, clocks; who writes what is decided here.
Holds: the two decisions change the same two rows, so that of a call and a leader at odds only one is written, and the
       other looks again; a slice sleeps only when all its instances say that they are idle, never during an update, and
       never before it has been ACTIVE once: its routes are known by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import attrs

from aether.deployment.budget import needed
from aether.deployment.merging import is_over, merged_count
from aether.model.artifact import ArtifactBase
from aether.model.lifecycle import SliceState
from aether.model.limits import IDLE_S
from aether.model.owner import INGRESS, OPERATOR, SLEEP
from aether.model.rows import DesiredRow, InstanceRow, OverrideRow


@attrs.frozen
class Changed:
    """The two rows that are written together. seen  instances on whose rows it was decided"""

    desired: DesiredRow
    override: OverrideRow
    seen: tuple[InstanceRow, ...] = ()


def may_sleep(row: DesiredRow) -> bool:
    """Whether `row` allows no instance at all."""
    return row.instances_min == 0


def idle_s(row: DesiredRow) -> float:
    """How long an instance serves nothing until it counts as idle."""
    return IDLE_S if row.idle_s is None else row.idle_s


def decide_wake(row: DesiredRow | None, by: str, now: float, reason: str) -> Changed | None:
    """What wakes a slice; None when it is awake, or may not sleep, or is not wanted."""
    if row is None or not may_sleep(row) or row.instances > 0:
        return None
    return _counted(row, _awake(row, now), INGRESS, by, now, reason)


def decide_sleep(
    row: DesiredRow, instances: Iterable[InstanceRow], override: OverrideRow | None, now: float
) -> Changed | None:
    """What lets a slice sleep, or None: it must not.

    instances  all of the artifact
    """
    kept_up = override is not None and override.owner == OPERATOR and not is_over(override, now)
    if not may_sleep(row) or row.instances == 0 or row.beside is not None or kept_up:
        return None
    if needed(row.min_available, row.instances) > 0:
        return None
    rows = tuple(instances)
    serving = [r for r in rows if r.state is SliceState.ACTIVE]
    if not all(map(is_idle, serving)) or any(r.state not in _AT_REST for r in rows):
        return None
    if not serving:  # none could start; it may try until the time is over that a call would have kept it awake
        woken = override.at if override is not None else 0.0
        if not rows or not woken or now - woken < idle_s(row):
            return None
    return _counted(row, 0, SLEEP, "", now, f"no call for {idle_s(row):g} s", rows)


_AT_REST: Final = (SliceState.ACTIVE, SliceState.FAILED)


def decide_sleepers(
    desired: Iterable[DesiredRow],
    instances: Mapping[ArtifactBase, list[InstanceRow]],
    overrides: Mapping[ArtifactBase, OverrideRow],
    routed: AbstractSet[ArtifactBase],
    now: float,
) -> Iterator[Changed]:
    """What the leader changes: slices that fall asleep, and those that sleep although nobody knows their routes.

    routed  artifacts whose routes are known
    """
    for row in desired:
        base = row.artifact.base
        if row.instances == 0 and base not in routed:
            changed = decide_wake(row, "", now, "its routes are not known yet")
        else:
            changed = decide_sleep(row, instances.get(base, ()), overrides.get(base), now)
        if changed is not None:
            yield changed


def _awake(row: DesiredRow, now: float) -> int:
    return max(1, merged_count(row, None, now))


def _counted(
    row: DesiredRow, count: int, owner: str, by: str, now: float, reason: str, seen: tuple[InstanceRow, ...] = ()
) -> Changed:
    override = OverrideRow(artifact=row.artifact.base, instances=count, owner=owner, reason=reason, by=by, at=now)
    wished = row.wished_count
    return Changed(attrs.evolve(row, instances=count, wished=wished), override, seen)


# --- one instance ----------------------------------------------------------------------------------------------------


@attrs.frozen
class Quiet:
    """Since when an instance serves nothing, as far as looks now and then tell.

    asked  how often a call had asked for it at the last look; since  monotonic seconds
    """

    asked: int
    since: float


def looked(before: Quiet | None, running: int, asked: int, now: float) -> Quiet:
    """What a look at `now` adds: any call since the last one, or under way, begins the quiet anew."""
    if before is None or running or asked != before.asked:
        return Quiet(asked, now)
    return before


def noted(row: InstanceRow, quiet: Quiet, idle_after_s: float, now: float, wall: float) -> InstanceRow | None:
    """`row` with what it should say of its idleness, or None: it says so already."""
    lasted_s = now - quiet.since
    if lasted_s < idle_after_s:
        return attrs.evolve(row, idle_since=0.0) if row.idle_since else None
    return None if is_idle(row) else attrs.evolve(row, idle_since=max(row.since, wall - lasted_s))


def is_idle(row: InstanceRow) -> bool:
    """Whether `row` says so; what it said before it became ACTIVE again is void."""
    return 0 < row.since <= row.idle_since
