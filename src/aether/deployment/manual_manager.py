"""The cluster manager for operators who want no automation: instances live where somebody ordered each of them.

Knows: which decision takes the place of reconcile's.
Never: places by itself; the loop, the fence and the writing are those of ClusterDeploymentManager.
Holds: rows of lost nodes are forgotten, loaded instances activated, what is ordered no longer is unloaded.
"""

from __future__ import annotations

from typing import Final

from aether.deployment.cluster_manager import ClusterDeploymentManager, gathered
from aether.deployment.manual import carry_out
from aether.deployment.orders import Order, View

MANUAL: Final = "manual"


class ManualDeploymentManager(ClusterDeploymentManager):
    """Takes what ClusterDeploymentManager takes; a placement strategy has nothing to choose.

    Every node of a cluster wants the same cluster manager, because any of them may lead.
    """

    name: str = MANUAL

    async def _decide(self, view: View) -> list[Order]:
        orders: list[Order] = []
        await self._in_steps(gathered(carry_out(view, self._new_id), orders))
        return orders
