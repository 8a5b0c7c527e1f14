"""The two rows of a slice that falls asleep or wakes, as one compare-and-set batch.

Knows: the rows that say how many instances are wanted, and on which others that was decided.
Never: decides; waits.
Holds: both rows are written, or none; and only while all that were looked at stand as they did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aether.deployment.sleeping import Changed
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.key_kinds import Key
from aether.kv.service import KvService
from aether.model.rows import InstanceRow


def batch_of(kv: KvService, changed: Changed) -> Batch:
    """To be made before anything waits: on the versions that the rows have now."""
    base = changed.desired.artifact.base
    written = on_versions(kv, [(keys.desired(base), changed.desired), (keys.override(base), changed.override)])
    seen = tuple(Compare(key, kv.version(key)) for key in map(instance_key, changed.seen))
    return Batch((*written.compares, *seen), written.changes)


def on_versions(kv: KvService, rows: Iterable[tuple[Key[Any], object]]) -> Batch:
    """Each row, on the version that it has now."""
    pairs = tuple(rows)
    return Batch(tuple(Compare(key, kv.version(key)) for key, _ in pairs), tuple(Put(key, row) for key, row in pairs))


def instance_key(row: InstanceRow) -> Key[InstanceRow]:
    return keys.instance(row.artifact.base, row.instance)
