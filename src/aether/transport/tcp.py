"""Skeleton; bodies follow."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import NoReturn

import trio

from aether.model.ids import NodeId
from aether.transport.values import Handlers, TransportStatistics
from aether.wire.session import Admission, Identity, everyone
from aether.wire.table import MessageTable


class TcpTransport:
    """Each node dials its own connections, one per lane, and only sends on them; accepted ones are only read."""

    def __init__(
        self,
        identity: Identity,
        bind: str,
        peers: Mapping[NodeId, str],
        table: MessageTable,
        *,
        jitter: Callable[[], float],
        admit: Admission = everyone,
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
    ) -> None:
        raise NotImplementedError

    def send(self, to: NodeId, message: object, request_id: str = "") -> bool:
        raise NotImplementedError

    def connected(self) -> frozenset[NodeId]:
        raise NotImplementedError

    def statistics(self) -> TransportStatistics:
        raise NotImplementedError

    def set_peer(self, node: NodeId, address: str) -> None:
        raise NotImplementedError

    def forget_peer(self, node: NodeId) -> None:
        raise NotImplementedError

    def set_cluster_uuid(self, uuid: str) -> None:
        raise NotImplementedError

    async def run(
        self, handlers: Handlers, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        raise NotImplementedError
