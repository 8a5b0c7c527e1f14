"""What a mutation is decided on, and what it changes.

Knows: the rows that a wish depends on, as frozen values.
Never: how they are read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs

from aether.model.artifact import Artifact, ArtifactBase
from aether.model.rollout import TERMINAL, RolloutRow, RolloutState
from aether.model.rows import DesiredRow, OverrideRow

Defaults = Callable[[Artifact], int]
Desired = Mapping[ArtifactBase, DesiredRow]
_NO_ROWS: Final[Desired] = {}
_NO_OVERRIDES: Final[Mapping[ArtifactBase, OverrideRow]] = {}
_NO_ROLLOUTS: Final[Mapping[ArtifactBase, RolloutRow]] = {}


def one_instance(artifact: Artifact) -> int:
    """The default of a slice whose code this process does not have."""
    return 1


def newest_rollouts(rows: Iterable[RolloutRow]) -> dict[ArtifactBase, RolloutRow]:
    """Of each artifact the update under way, else the one that was completed last."""
    found: dict[ArtifactBase, RolloutRow] = {}
    for row in sorted(rows, key=lambda r: (r.state not in TERMINAL, r.updated_at, r.id)):
        if row.state not in TERMINAL or row.state is RolloutState.COMPLETED:
            found[row.artifact] = row
    return found


@attrs.frozen(kw_only=True)
class Standing:
    """offered   what members can load
    rollouts  the last one of each artifact that was not undone: under way, or completed
    defaults  a slice's own count; now  wall-clock seconds
    """

    desired: Desired = _NO_ROWS
    overrides: Mapping[ArtifactBase, OverrideRow] = _NO_OVERRIDES
    offered: frozenset[Artifact] = frozenset()
    rollouts: Mapping[ArtifactBase, RolloutRow] = _NO_ROLLOUTS
    defaults: Defaults = one_instance
    now: float = 0.0

    def under_way(self, base: ArtifactBase) -> RolloutRow | None:
        """The update of `base` that is not over."""
        row = self.rollouts.get(base)
        return None if row is None or row.state in TERMINAL else row


@attrs.frozen(kw_only=True)
class Decision:
    """desired, overrides  what becomes of each row that was looked at; None = it goes
    rollouts  that begin
    """

    desired: Mapping[ArtifactBase, DesiredRow | None] = attrs.field(factory=dict[ArtifactBase, DesiredRow | None])
    overrides: Mapping[ArtifactBase, OverrideRow | None] = attrs.field(factory=dict[ArtifactBase, OverrideRow | None])
    rollouts: tuple[RolloutRow, ...] = ()
