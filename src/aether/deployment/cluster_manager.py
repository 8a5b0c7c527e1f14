"""The leader's loop: look at everything, decide, write one fenced batch; again when anything changed.

Knows: the watch, the fence, when a silent member counts as lost.
Never: decides (reconcile does); hosts.
Holds: level-triggered: a lost wake-up costs RECONCILE_FLOOR_S, nothing else; a deposed leader's batch is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

import trio

from aether.deployment.placement import Placement, spread
from aether.kv.service import KvService
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.limits import MEMBER_LOST_S, RECONCILE_FLOOR_S


class ClusterDeploymentManager:
    """Runs on every node, acts only while `kv.leadership` is this node's.

    live    the members that answer right now, this node included, each with its incarnation
    wall    wall-clock seconds; new_id  a fresh instance id
    """

    def __init__(
        self,
        kv: KvService,
        live: Callable[[], Mapping[NodeId, Incarnation]],
        *,
        wall: Callable[[], float],
        new_id: Callable[[], InstanceId],
        placement: Placement = spread,
        floor_s: float = RECONCILE_FLOOR_S,
        lost_s: float = MEMBER_LOST_S,
    ) -> None: ...

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        raise NotImplementedError

    def members_changed(self) -> None:
        raise NotImplementedError
