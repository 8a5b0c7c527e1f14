"""What an update is decided on, and what a decision writes.

Knows: the view of one update; the rows that one transition changes together.
Never: how either is read, computed or written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from aether.model.ids import Incarnation, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rollout import RolloutRow
from aether.model.rows import DesiredRow, InstanceRow, TrafficRow
from aether.model.version import Version


@attrs.frozen
class VersionStanding:
    """Instances of one version, by what they are good for. `present` counts all rows, FAILED and leaving ones too."""

    present: int = 0
    active: int = 0
    failed: int = 0
    reason: str = ""

    @classmethod
    def of(cls, version: Version, rows: Iterable[InstanceRow], live: Mapping[NodeId, Incarnation]) -> VersionStanding:
        """How `version` stands; `reason` is what one of its FAILED instances says.

        live  the processes that answer: an instance elsewhere is present until its row goes, and good for nothing
        """
        ours = [row for row in rows if row.artifact.version == version]
        failed = [row for row in ours if row.state is SliceState.FAILED]
        active = sum(row.state is SliceState.ACTIVE and live.get(row.node) == row.incarnation for row in ours)
        return cls(len(ours), active, len(failed), failed[0].reason if failed else "")

    @property
    def all_failed(self) -> bool:
        return 0 < self.failed == self.present


NO_INSTANCES: Final = VersionStanding()


@attrs.frozen(kw_only=True)
class RolloutFacts:
    """Everything the next step of one update depends on.

    wanted      how many instances the artifact would have without an update: blueprint, override, bounds
    is_applied  every live node has applied the rows of this artifact as they are here
    places      how many instances of both versions together the members have room for; None = no limit
    needed      how many ACTIVE instances nobody may take away (min_available)
    bad         why the health of the new version ends the update; "" = it does not
    too_few     why its health says nothing yet; "" = it does, or nobody asks
    health      the judgement in words, for the row
    lasted_s    how long the update has stood as it does, by a clock that nobody sets
    """

    desired: DesiredRow | None
    traffic: TrafficRow | None = None
    old: VersionStanding = NO_INSTANCES
    new: VersionStanding = NO_INSTANCES
    wanted: int = 0
    is_applied: bool = False
    places: int | None = None
    needed: int = 0
    bad: str = ""
    too_few: str = ""
    health: Mapping[str, str] = attrs.field(factory=dict[str, str])
    lasted_s: float = 0.0


@attrs.frozen(kw_only=True)
class RolloutChanges:
    """The rows of one transition, written together or not at all. None = that row stays as it is.

    drops_traffic  the traffic row goes: each ACTIVE instance counts the same again
    puts_in_force  the blueprint that owns the artifact names the new version from now on
    """

    row: RolloutRow
    desired: DesiredRow | None = None
    traffic: TrafficRow | None = None
    drops_traffic: bool = False
    puts_in_force: bool = False
