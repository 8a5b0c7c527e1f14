"""A blueprint's count and an override become one count.

Knows: bounds, expiry, who may take whose override back.
Never: who writes an override, or when; how changes are written.
Holds: the merged count lies within the bounds of its row; while an update runs, its counts are left alone; the same
       rows at the same second give the same changes on whichever node leads.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from aether.model.artifact import ArtifactBase
from aether.model.limits import INSTANCES_MAX
from aether.model.owner import INGRESS, SLEEP
from aether.model.rows import DesiredRow, OverrideRow


@attrs.frozen(kw_only=True)
class Settled:
    """What becomes of one artifact. row  to be written, None = it stays; drop  the override goes"""

    row: DesiredRow | None = None
    drop: bool = False


def merged_count(row: DesiredRow, override: OverrideRow | None, now: float) -> int:
    """How many instances are wanted: by the override while it holds, else by the blueprint; within the row's bounds.

    now  wall-clock seconds
    """
    wished = row.wished_count
    if override is not None and not is_void(row, override, now):
        wished = override.instances
    low, high = bounds(row)
    return max(low, min(high, wished))


def merged(row: DesiredRow, override: OverrideRow | None, now: float) -> DesiredRow:
    """`row` with the merged count; as it is while an update has a second version beside it."""
    if row.beside is not None:
        return row
    return attrs.evolve(row, instances=merged_count(row, override, now))


def without_update(desired: DesiredRow, count: int) -> DesiredRow:
    """The version in force alone, with all its instances."""
    return attrs.evolve(desired, instances=count, beside=None, beside_instances=0)


def bounds(row: DesiredRow) -> tuple[int, int]:
    """The fewest and the most instances that `row` allows: a singleton has one at most."""
    low, high = row.instances_min or 0, INSTANCES_MAX if row.instances_max is None else row.instances_max
    return (min(low, 1), 1) if row.singleton else (low, max(low, high))


def is_over(override: OverrideRow, now: float) -> bool:
    """Whether its time has passed."""
    return 0 < override.until <= now


def is_void(row: DesiredRow, override: OverrideRow, now: float) -> bool:
    """Whether it says nothing about `row`: it is over, or it let a slice sleep that may do so no longer."""
    return is_over(override, now) or (override.owner in (INGRESS, SLEEP) and row.instances_min != 0)


def expired(
    overrides: Mapping[ArtifactBase, OverrideRow], desired: Mapping[ArtifactBase, DesiredRow], now: float
) -> dict[ArtifactBase, Settled]:
    """Overrides that are void, or of slices that nobody wants, with the counts that follow; and counts that do not
    say what their override says, for whatever reason. {} when all is as it should be.
    """
    found: dict[ArtifactBase, Settled] = {}
    for base, override in sorted(overrides.items()):
        row = desired.get(base)
        if row is None:
            found[base] = Settled(drop=True)
        elif row.beside is None:
            settled = merged(row, override, now)
            drop = is_void(row, override, now)
            if drop or settled != row:
                found[base] = Settled(row=None if settled == row else settled, drop=drop)
    return found
