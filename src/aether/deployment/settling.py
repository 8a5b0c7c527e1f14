"""Overrides whose time has passed are taken back by the leader.

Knows: the fence, rows and their versions.
Never: what is over (merging says so); when to look.
Holds: what changed since it was read is left for the next look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from aether.deployment.merging import Settled, expired
from aether.kv import keys
from aether.kv.commands import Batch, Change, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.rows import DesiredRow, LeadershipRow

_log = logging.getLogger("aether.deployment")


async def settle_overrides(kv: KvService, desired: Iterable[DesiredRow], fence: LeadershipRow, now: float) -> None:
    """Write what follows from overrides that are over. desired  the rows, as of now; now  wall-clock seconds.

    Raises what a fenced proposal raises.
    """
    overrides = {row.artifact: row for row in kv.rows(keys.OVERRIDES)}
    if not overrides:
        return
    wanted: Mapping[ArtifactBase, DesiredRow] = {row.artifact.base: row for row in desired}
    batches = [(base, _batch(kv, base, settled)) for base, settled in expired(overrides, wanted, now).items()]
    for base, batch in batches:  # one at a time: they are rare, and one that lost a race must not stop the others
        result = await kv.propose(batch, fence=fence)
        if result.applied:
            _log.info("override of %s: settled as %s", base, _described(batch))


def _batch(kv: KvService, base: ArtifactBase, settled: Settled) -> Batch:
    row_key, key = keys.desired(base), keys.override(base)
    changes: list[Change] = [] if settled.row is None else [Put(row_key, settled.row)]
    if settled.drop:
        changes.append(Delete(key))
    compares = (Compare(row_key, kv.version(row_key)), Compare(key, kv.version(key)))
    return Batch(compares, tuple(changes))


def _described(batch: Batch) -> str:
    rows = [change.value for change in batch.changes if isinstance(change, Put)]
    return f"{rows[0].instances} instances" if rows else "gone"
