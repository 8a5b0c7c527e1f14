"""What an update left behind whose row is gone: deleted by hand, or lost with an old backup.

Knows: traffic rows name the update that wrote them; such a row stands from its update's first moment to its last.
Never: traffic that people wrote; updates that are known (rollout).
Holds: the version in force gets its full count back in the batch that takes the other one away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from aether.deployment.merging import merged_count, without_update
from aether.kv import keys
from aether.kv.commands import Batch, Change, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.rows import TrafficRow


def orphans(traffic: Iterable[TrafficRow], under_way: Collection[str]) -> list[TrafficRow]:
    """Rows of updates that are not under way. under_way  ids"""
    return [row for row in traffic if row.update and row.update not in under_way]


def cleared(kv: KvService, base: ArtifactBase, now: float) -> Batch:
    """The rows of `base` as without an update, as long as nobody changes them. now  wall-clock seconds"""
    row_key, traffic_key = keys.desired(base), keys.traffic(base)
    row = kv.get(row_key)
    changes: list[Change] = [Delete(traffic_key)]
    if row is not None:
        count = merged_count(row, kv.get(keys.override(base)), now)
        changes.append(Put(row_key, without_update(row, count)))
    compares = (Compare(row_key, kv.version(row_key)), Compare(traffic_key, kv.version(traffic_key)))
    return Batch(compares, tuple(changes))
