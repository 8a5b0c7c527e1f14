"""Where the members are: follows their rows, so that each node dials every other where it is now.

Knows: member rows, the row that names the cluster.
Never: how peers are dialled; who votes.
Holds: an address is the one that its owner last wrote; a peer whose row is gone is dialled no more.
"""

from __future__ import annotations

import logging
from typing import NoReturn, Protocol

import trio

from aether.errors import BadInput
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.service import KvService
from aether.model.ids import NodeId

_log = logging.getLogger("aether.node")


class Dialler(Protocol):
    """The part of a transport that is needed here."""

    def remember_peer(self, node: NodeId, address: str) -> None: ...
    def forget_peer(self, node: NodeId) -> None: ...
    def set_cluster_uuid(self, uuid: str) -> None: ...


class AddressBook:
    """`run` keeps the transport's peers as the rows say; `look` does it once, before anybody dials."""

    def __init__(self, node: NodeId, kv: KvService, dialler: Dialler) -> None:
        self._node = node
        self._kv = kv
        self._dialler = dialler
        self._rows = CachedRows(kv, keys.MEMBERS)
        self._known: dict[NodeId, str] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Follow the rows until cancelled."""
        async with self._kv.watch(keys.MEMBERS, keys.cluster.text) as watch:
            self.look()
            task_status.started()
            while True:
                await watch.changed()
                self.look()

    def look(self) -> None:
        """Take over what the rows say now. From then on peers of another cluster are refused, whatever its name."""
        cluster = self._kv.get(keys.cluster)
        if cluster is not None:
            self._dialler.set_cluster_uuid(cluster.uuid)
        rows = {row.node: row.cluster_address for row in self._rows.look() if row.node != self._node}
        unreadable = {node for node in self._known if keys.member(node).text in self._kv.unreadable}
        for node in self._known.keys() - rows.keys() - unreadable:
            del self._known[node]
            self._dialler.forget_peer(node)
        for node, address in rows.items():
            if self._known.get(node) != address:
                self._known[node] = address
                self._remember(node, address)

    def _remember(self, node: NodeId, address: str) -> None:
        try:
            self._dialler.remember_peer(node, address)
        except BadInput as error:
            _log.warning("%s has no address that could be dialled, and has to dial by itself: %s", node, error)

    @property
    def is_empty(self) -> bool:
        """Whether no other member is known."""
        return not self._known
