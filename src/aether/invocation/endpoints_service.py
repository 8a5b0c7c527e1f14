"""Keeps the endpoint registry equal to what the store and the transport show.

Knows: which rows matter; a watch only wakes, the whole table is rebuilt.
Never: how rows came to be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import trio

from aether.invocation.endpoints import EndpointRegistry, View
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.service import KvService
from aether.model.ids import NodeId


class EndpointWatcher:
    """Rebuilds `registry` after each change of the store, and when told that connections changed.

    connected  peers that calls can be sent to, now; changed  called after a rebuild that changed anything
    """

    def __init__(
        self,
        registry: EndpointRegistry,
        kv: KvService,
        connected: Callable[[], frozenset[NodeId]],
        changed: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._kv = kv
        self._connected = connected
        self._changed = changed
        self._instances = CachedRows(kv, keys.INSTANCES)
        self._members = CachedRows(kv, keys.MEMBERS)
        self._routes = CachedRows(kv, keys.ROUTES)
        self._traffic = CachedRows(kv, keys.TRAFFIC)
        self._desired = CachedRows(kv, keys.DESIRED)

    def refresh(self) -> None:
        """Rebuild now. Cheap enough for each connection that comes or goes; never blocks."""
        view = View(
            instances=self._instances.look(),
            members=self._members.look(),
            routes=self._routes.look(),
            traffic=self._traffic.look(),
            desired=self._desired.look(),
            connected=self._connected(),
        )
        if self._registry.rebuild(view):
            self._changed()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled. `started()` once the registry shows the store as it is."""
        async with self._kv.watch(keys.INSTANCES, keys.MEMBERS, keys.ROUTES, keys.TRAFFIC, keys.DESIRED) as watch:
            self.refresh()
            task_status.started()
            while True:
                await watch.changed()
                self.refresh()
