"""How many instances of each slice are ACTIVE against how many are wanted, followed change by change.

Knows: the rows of wishes and instances as the log has made them so far.
Never: what an event says of it.
Holds: it depends on the rows alone, not on how they came about: two nodes with the same rows say the same.
"""

from __future__ import annotations

from collections import defaultdict

import attrs

from aether.model.artifact import ArtifactBase
from aether.model.lifecycle import SliceState
from aether.model.rows import DesiredRow, InstanceRow


@attrs.frozen
class Count:
    """active   instances, of any version; wanted  of the version in force; is_updating  another one comes beside it"""

    active: int
    wanted: int
    is_updating: bool

    @property
    def is_complete(self) -> bool:
        return self.active >= self.wanted


class SliceStanding:
    """`put_*` follow one change each; None for a row that is gone."""

    def __init__(self) -> None:
        self._desired: dict[ArtifactBase, DesiredRow] = {}
        self._instances: dict[str, InstanceRow] = {}
        self._active: defaultdict[ArtifactBase, int] = defaultdict(int)

    def count(self, base: ArtifactBase) -> Count:
        """As the rows are now."""
        desired = self._desired.get(base)
        wanted = 0 if desired is None else desired.instances
        return Count(self._active.get(base, 0), wanted, desired is not None and desired.beside is not None)

    def instance(self, key: str) -> InstanceRow | None:
        return self._instances.get(key)

    def put_desired(self, base: ArtifactBase, row: DesiredRow | None) -> None:
        if row is None:
            self._desired.pop(base, None)
        else:
            self._desired[base] = row

    def put_instance(self, key: str, row: InstanceRow | None) -> None:
        old = self._instances.pop(key, None)
        if old is not None:
            self._weigh(old, -1)
        if row is not None:
            self._instances[key] = row
            self._weigh(row, 1)

    def _weigh(self, row: InstanceRow, change: int) -> None:
        if row.state is SliceState.ACTIVE:
            base = row.artifact.base
            self._active[base] += change
            if not self._active[base]:
                del self._active[base]
