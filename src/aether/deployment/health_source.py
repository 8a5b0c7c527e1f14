"""Where the health of versions comes from, for whoever decides about an update.

Knows: the question and the shape of its answer.
Never: how calls are counted, nodes asked.
"""

from __future__ import annotations

from typing import Protocol

from aether.model.artifact import ArtifactBase
from aether.model.health import ClusterHealth


class HealthSource(Protocol):
    """Asks every live node how its calls to each version of a slice went."""

    async def health(self, base: ArtifactBase, share: str = "") -> ClusterHealth:
        """Of the calls that ended while each node went by `share` (model.health.share_of). "": since each node started.

        Takes a second at most; nodes that said nothing by then are named in the answer. Never raises for them.
        """
        ...
