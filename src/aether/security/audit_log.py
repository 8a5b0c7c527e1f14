"""Who was allowed to change what, and who was refused, for people to read.

Knows: the rows of the audit in the order of the log, the refusals of this node, their count in the cluster.
Never: writes; a row is written by the batch of the change itself.
Holds: whoever reads on from `next` misses no change, as long as its row is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from aether.kv import keys
from aether.kv.service import KvService
from aether.model.access import AuditRow
from aether.model.ids import Revision
from aether.security.denials import Denial, Denials


@attrs.frozen
class AuditPage:
    """Changes with the revision of each, the oldest first. next  `since` of the page after it"""

    changes: Sequence[tuple[AuditRow, Revision]]
    next: Revision
    revision: Revision


class AuditLog:
    """Of one node."""

    def __init__(self, kv: KvService, denials: Denials) -> None:
        self._kv = kv
        self._denials = denials

    def page(self, since: Revision | None, limit: int) -> AuditPage:
        """At most `limit` changes after `since`; None: the newest ones."""
        revision = self._kv.revision
        found = sorted(
            (version, text) for text, _, version in self._kv.scan(keys.AUDIT) if since is None or version > since
        )
        kept = found[-limit:] if since is None else found[:limit]
        whole = since is None or len(kept) == len(found)
        rows = ((self._kv.versioned(text, keys.AUDIT), version) for version, text in kept)
        changes = [(row[1], version) for row, version in rows if row is not None]
        return AuditPage(changes, revision if whole else kept[-1][0], revision)

    def refused_here(self) -> Sequence[Denial]:
        """Requests that this node refused, the oldest first, as far as it remembers."""
        return self._denials.kept

    def refused_by_minute(self) -> Mapping[int, int]:
        """Minute since the epoch -> how many requests all nodes refused in it. They tell it once a minute."""
        return {row.minute: row.count for row in self._kv.rows(keys.DENIALS)}
