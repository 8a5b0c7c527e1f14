"""The loop of one node: carry out the orders for its own instances.

Knows: which step follows which order, how long each may take, what to write after it.
Never: decides what should run; touches rows of other nodes or of an earlier incarnation.
Holds: one task per instance; every step is visible as a row before it begins; what a step raised stands in the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

import trio

from aether.deployment.managers import InstanceHost
from aether.kv.service import KvService
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import TIMEOUTS_S, SliceState
from aether.model.rows import RouteRow


class NodeDeploymentManager:
    """Owns the instances of one node process.

    route_row   the routes row of an artifact that is loaded here
    timeouts_s  how long each transitional state may last
    """

    def __init__(
        self,
        node: NodeId,
        incarnation: Incarnation,
        kv: KvService,
        host: InstanceHost,
        route_row: Callable[[Artifact], RouteRow],
        *,
        wall: Callable[[], float],
        timeouts_s: Mapping[SliceState, float] = TIMEOUTS_S,
    ) -> None: ...

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        raise NotImplementedError

    def instance_crashed(self, instance: InstanceId, error: BaseException) -> None:
        raise NotImplementedError

    def instance_waits(self, instance: InstanceId, reason: str) -> None:
        raise NotImplementedError
