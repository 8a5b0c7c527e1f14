"""What a singleton shows with each write to its maps, so that one that was replaced changes nothing any more.

Knows: the row that remembers the last token of a singleton, its version.
Never: when an instance is replaced.
Holds: a write is applied only while no instance with a higher token has been assigned: the comparison is part of the
       write, so no clock and no delay can come between.
"""

from __future__ import annotations

import attrs

from aether.errors import Conflict
from aether.kv import keys
from aether.kv.commands import Compare
from aether.kv.key_kinds import Key
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.rows import InstanceRow, SingletonRow


@attrs.frozen
class Fence:
    """Of one instance of a singleton."""

    base: ArtifactBase
    token: int

    @property
    def key(self) -> Key[SingletonRow]:
        return keys.singleton(self.base)

    def compare(self, kv: KvService) -> Compare[SingletonRow]:
        """What a write has to find unchanged. Raises Conflict when another instance has taken over already."""
        row = kv.get(self.key)
        if row is not None and row.token != self.token:
            raise self.refused(row.token)
        return Compare(self.key, kv.version(self.key))

    def refused(self, token: int) -> Conflict:
        return Conflict(
            f"singleton {self.base}",
            f"an instance with token {token} has taken over from this one, which has {self.token}; nothing was written",
        )


def fence_of(row: InstanceRow, *, is_singleton: bool) -> Fence | None:
    """None for an ordinary slice. Raises Conflict when one that must run once was placed as if it might run twice."""
    if row.token:
        return Fence(row.artifact.base, row.token)
    if is_singleton:
        raise Conflict(
            str(row.artifact), "it is a singleton by its class; say `singleton = true` for it in its blueprint too"
        )
    return None
