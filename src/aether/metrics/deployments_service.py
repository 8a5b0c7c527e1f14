"""Follows the rows of instances, for how long they take to start.

Knows: the store of this node.
Never: writing anything.
"""

from __future__ import annotations

from typing import NoReturn

import trio

from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.service import KvService
from aether.metrics.deployments import Deployments


class DeploymentWatch:
    """Of one node. `run` until cancelled."""

    def __init__(self, kv: KvService) -> None:
        self.deployments: Deployments = Deployments()
        self._kv = kv
        self._rows = CachedRows(kv, keys.INSTANCES)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled."""
        async with self._kv.watch(keys.INSTANCES) as watch:
            task_status.started()
            while True:
                for _ in self._rows.catch_up():
                    await trio.lowlevel.checkpoint()
                self.deployments.see(self._rows.look())
                await watch.changed()
