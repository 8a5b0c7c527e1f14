"""How much each user map holds, and whether a batch may make it hold more.

Knows: entries and bytes per map, the limits in its definition row, the limit of all maps together.
Never: control rows: they have no quota, and no map can take their room.
Holds: usage equals what the rows say; a change that does not grow a map is never refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

import attrs

from aether.errors import BadInput
from aether.kv.commands import ChangePlain
from aether.kv.keys import MAP_DEFINITION, MAPS, MapRow
from aether.kv.outcome import Refused, RefusedBy
from aether.model.limits import MAPS_BYTES_MAX

_MAPS_CHARS: Final = len(MAPS)
_DEFAULTS: Final = MapRow()


class Usage(NamedTuple):
    """bytes counts key texts and values."""

    entries: int = 0
    bytes: int = 0


_NOTHING: Final = Usage()


@attrs.define
class Staged:
    """What a batch would change: sizes per entry (None = absent), usage per map, definitions (None = deleted)."""

    sizes: dict[str, int | None] = attrs.field(factory=dict[str, int | None])
    usage: dict[str, Usage] = attrs.field(factory=dict[str, Usage])
    limits: dict[str, MapRow | None] = attrs.field(factory=dict[str, MapRow | None])


class MapQuotas:
    """Usage of all user maps, kept by name as spelt in keys."""

    def __init__(self, bytes_max: int = MAPS_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._usage: dict[str, Usage] = {}
        self._limits: dict[str, MapRow] = {}

    def usage(self, name: str) -> Usage:
        return self._usage.get(name, _NOTHING)

    def change(self, key: str, value: bytes | None, size: int | None) -> Refused | None:
        """`stage` and `commit` of a single change of an entry, which most batches are; None when it is counted."""
        name, _, _ = key[_MAPS_CHARS:].partition("/")
        old = self.usage(name)
        new = _grown(old, size, None if value is None else len(key) + len(value))
        refused = self._refused(name, old, new, self._limits.get(name)) or self._refused_together(new.bytes - old.bytes)
        if refused is None:
            self._count(name, old, new)
        return refused

    def stage(self, changes: Sequence[ChangePlain], size: Callable[[str], int | None]) -> Staged | Refused:
        """What `changes` would do, or why they may not.

        size  of the entry at a key now, key included; None = absent
        """
        staged = Staged()
        for key, value in changes:
            if key.startswith(MAPS):
                name, slash, _ = key[_MAPS_CHARS:].partition("/")
                if slash:
                    self._stage_entry(staged, name, key, value, size)
                elif not self._stage_definition(staged, name, value):
                    return Refused(RefusedBy.MALFORMED, f"{key}: its value is no map definition")
        return self._over(staged) or staged

    def commit(self, staged: Staged) -> None:
        """Make it so."""
        for name, usage in staged.usage.items():
            self._count(name, self.usage(name), usage)
        for name, limits in staged.limits.items():
            self._limits.pop(name, None)
            if limits is not None:
                self._limits[name] = limits

    def emptied(self) -> MapQuotas:
        """With the same limit, and nothing counted."""
        return MapQuotas(self._bytes_max)

    def include(self, key: str, value: bytes) -> None:
        """Count a row of a state that is taken over, within limits or not; each key once. Raises BadInput."""
        if not key.startswith(MAPS):
            return
        name, slash, _ = key[_MAPS_CHARS:].partition("/")
        if slash:
            old = self._usage.get(name, _NOTHING)
            self._count(name, old, _grown(old, None, len(key) + len(value)))
        else:
            self._limits[name] = MAP_DEFINITION.decode(value)

    def _stage_entry(
        self, staged: Staged, name: str, key: str, value: bytes | None, size: Callable[[str], int | None]
    ) -> None:
        old = staged.sizes[key] if key in staged.sizes else size(key)
        new = None if value is None else len(key) + len(value)
        staged.sizes[key] = new
        staged.usage[name] = _grown(staged.usage.get(name) or self.usage(name), old, new)

    def _count(self, name: str, old: Usage, new: Usage) -> None:
        self._bytes += new.bytes - old.bytes
        self._usage[name] = new
        if not new.entries:
            del self._usage[name]

    def _stage_definition(self, staged: Staged, name: str, value: bytes | None) -> bool:
        try:
            staged.limits[name] = None if value is None else MAP_DEFINITION.decode(value)
        except BadInput:
            return False
        return True

    def _over(self, staged: Staged) -> Refused | None:
        total = 0
        for name, new in staged.usage.items():
            old = self.usage(name)
            total += new.bytes - old.bytes
            limits = (staged.limits if name in staged.limits else self._limits).get(name)
            refused = self._refused(name, old, new, limits)
            if refused is not None:
                return refused
        return self._refused_together(total)

    @staticmethod
    def _refused(name: str, old: Usage, new: Usage, limits: MapRow | None) -> Refused | None:
        limits = limits or _DEFAULTS
        if new.entries > limits.entries_max and new.entries > old.entries:
            return Refused(RefusedBy.QUOTA, _title(name), limits.entries_max, "entries")
        if new.bytes > limits.bytes_max and new.bytes > old.bytes:
            return Refused(RefusedBy.QUOTA, _title(name), limits.bytes_max, "bytes")
        return None

    def _refused_together(self, total: int) -> Refused | None:
        if total > 0 and self._bytes + total > self._bytes_max:
            return Refused(RefusedBy.QUOTA, "the user maps together", self._bytes_max, "bytes")
        return None


def is_entry(key: str) -> bool:
    """Whether `key` is of an entry of a user map."""
    return key.startswith(MAPS) and key.find("/", _MAPS_CHARS) >= 0


def _grown(usage: Usage, old: int | None, new: int | None) -> Usage:
    """`usage` after an entry of `old` bytes became one of `new`; None = absent."""
    if old is not None and new is not None:
        return Usage(usage.entries, usage.bytes + new - old)
    return Usage(usage.entries + (new is not None) - (old is not None), usage.bytes + (new or 0) - (old or 0))


def _title(name: str) -> str:
    return f"map {unquote(name)!r}"
