"""The health of versions over all members of the cluster, for the managers of a node.

Knows: rows of members, the node's Invoker, which counts and asks.
Never: what is decided by the answer.
"""

from __future__ import annotations

from aether.invocation.health_service import HealthOfVersions
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.health import ClusterHealth


class MembersHealth:
    """Implements HealthSource. A member that is not reached is named in the answer."""

    def __init__(self, kv: KvService, healths: HealthOfVersions) -> None:
        self._kv = kv
        self._healths = healths

    async def health(self, base: ArtifactBase, share: str = "") -> ClusterHealth:
        """As HealthSource. Raises Overloaded when too many ask at a time."""
        return await self._healths.health(base, share, [row.node for row in self._kv.rows(keys.MEMBERS)])
