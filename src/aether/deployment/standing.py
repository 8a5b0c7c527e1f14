"""What a mutation is decided on, and what it changes.

Knows: the rows that a wish depends on, as frozen values.
Never: how they are read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import attrs

from aether.deployment.defaults import defaults_of
from aether.deployment.dependencies import Contracts
from aether.deployment.fleet import Fleet
from aether.deployment.room import fleet_of
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.duty import Duty
from aether.model.ids import NodeId
from aether.model.rollout import TERMINAL, RolloutRow, RolloutState
from aether.model.rows import ApplyRow, DesiredRow, MemberRow, OverrideRow
from aether.slice_api.contract import SliceOptions

Desired = Mapping[ArtifactBase, DesiredRow]
_NO_ROWS: Final[Desired] = {}
_NO_OVERRIDES: Final[Mapping[ArtifactBase, OverrideRow]] = {}
_NO_DUTIES: Final[Mapping[NodeId, Duty]] = {}
_NO_ROLLOUTS: Final[Mapping[ArtifactBase, RolloutRow]] = {}


def newest_rollouts(rows: Iterable[RolloutRow]) -> dict[ArtifactBase, RolloutRow]:
    """Of each artifact the update under way, else the one that was completed last."""
    found: dict[ArtifactBase, RolloutRow] = {}
    for row in sorted(rows, key=lambda r: (r.state not in TERMINAL, r.updated_at, r.id)):
        if row.state not in TERMINAL or row.state is RolloutState.COMPLETED:
            found[row.artifact] = row
    return found


def no_contract(artifact: Artifact) -> None:
    """Of a process that knows none."""


def one_update(base: ArtifactBase) -> str:
    """A name for an update, where at most one of each slice is ever begun."""
    return f"update-of-{base.name}"


@attrs.frozen(kw_only=True)
class Standing:
    """members   those that are known, and what each can load
    duties    of members that are not simply ON_DUTY; learners  members that have no vote
    running   versions with at least one ACTIVE instance
    rollouts  the last one of each artifact that was not undone: under way, or completed
    contracts  of versions, where they are known here
    breaks    what an update from one version to another breaks, a line each
    new_id    names an update; now  wall-clock seconds
    """

    desired: Desired = _NO_ROWS
    overrides: Mapping[ArtifactBase, OverrideRow] = _NO_OVERRIDES
    members: tuple[MemberRow, ...] = ()
    duties: Mapping[NodeId, Duty] = _NO_DUTIES
    learners: frozenset[NodeId] = frozenset()
    running: frozenset[Artifact] = frozenset()
    rollouts: Mapping[ArtifactBase, RolloutRow] = _NO_ROLLOUTS
    contracts: Contracts = no_contract
    breaks: Callable[[Artifact, Artifact], Sequence[str]] = lambda old, new: ()
    new_id: Callable[[ArtifactBase], str] = one_update
    now: float = 0.0

    @property
    def offered(self) -> frozenset[Artifact]:
        """What members can load."""
        return frozenset(a for member in self.members for a in member.available)

    def fleet(self) -> Fleet:
        """The members as places for instances."""
        return fleet_of(self.members, self.duties, self.learners)

    def defaults(self, artifact: Artifact) -> SliceOptions | None:
        """What a version says of itself; None while its contract is not known here."""
        return defaults_of(self.contracts(artifact))

    def under_way(self, base: ArtifactBase) -> RolloutRow | None:
        """The update of `base` that is not over."""
        row = self.rollouts.get(base)
        return None if row is None or row.state in TERMINAL else row


@attrs.frozen(kw_only=True)
class Decision:
    """desired, overrides  what becomes of each row that was looked at; None = it goes
    rollouts  that begin
    watch     of an atomic apply, until all is ACTIVE; unwatch  the blueprint whose earlier one is forgotten
    """

    desired: Mapping[ArtifactBase, DesiredRow | None] = attrs.field(factory=dict[ArtifactBase, DesiredRow | None])
    overrides: Mapping[ArtifactBase, OverrideRow | None] = attrs.field(factory=dict[ArtifactBase, OverrideRow | None])
    rollouts: tuple[RolloutRow, ...] = ()
    watch: ApplyRow | None = None
    unwatch: str = ""
