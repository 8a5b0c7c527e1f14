"""Who should replace whom among the instances of one version.

Knows: what `replaces` says, the turns in which instances were assigned.
Never: whether the replacement is far enough on.
Holds: an exchange that was made void (more are wanted meanwhile, or another instance failed) leaves its word in the
       row: of several the one that was begun last counts first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aether.model.ids import InstanceId
from aether.model.rows import InstanceRow


def exchanges(rows: Sequence[InstanceRow]) -> list[tuple[InstanceRow, InstanceRow]]:
    """Replacement and replaced where both stand among `rows`, the newest first, nobody replaced twice."""
    by_id = {row.instance: row for row in rows}
    pairs: dict[InstanceId, tuple[InstanceRow, InstanceRow]] = {}
    for row in _newest_first(row for row in rows if row.replaces):
        old = by_id.get(InstanceId(row.replaces))
        if old is not None and old is not row:
            pairs.setdefault(old.instance, (row, old))
    return list(pairs.values())


def _newest_first(rows: Iterable[InstanceRow]) -> list[InstanceRow]:
    return sorted(rows, key=lambda row: (row.turn, row.instance), reverse=True)
