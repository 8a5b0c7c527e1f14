"""Skeleton; bodies follow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import trio

from aether.model.ids import NodeId
from aether.transport.values import Handlers, TransportStatistics
from aether.wire.lane import Lane
from aether.wire.session import Admission, Identity, everyone
from aether.wire.table import MessageTable


class MemoryNetwork:
    """The cables between transports of one process, with faults drawn from `seed`."""

    def __init__(self, seed: int = 0) -> None:
        raise NotImplementedError

    def partition(self, a: NodeId, b: NodeId, *, one_way: bool = False) -> None:
        raise NotImplementedError

    def heal(self) -> None:
        raise NotImplementedError

    def kill(self, node: NodeId) -> None:
        raise NotImplementedError

    def set_delay(self, min_s: float, max_s: float) -> None:
        raise NotImplementedError

    def set_drop_rate(self, lane: Lane, rate: float) -> None:
        raise NotImplementedError


class MemoryTransport:
    """The Transport contract without sockets, for tests in virtual time."""

    def __init__(
        self,
        identity: Identity,
        network: MemoryNetwork,
        peers: Iterable[NodeId],
        table: MessageTable,
        *,
        admit: Admission = everyone,
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
