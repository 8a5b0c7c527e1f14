"""What may be replaced when a node is assembled: storage, transport, work, clocks, randomness, managers.

Knows: the production choice for each.
Never: when they are used.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import attrs

from aether.deployment.managers import ClusterManager, NodeManager
from aether.deployment.placement import Placement, spread
from aether.deployment.slice_store import SliceStore
from aether.failpoints import Reach, nothing
from aether.invocation.balance import Balancer
from aether.invocation.service import Invoker
from aether.metrics.own_figures import Reading
from aether.model.ids import Incarnation, NodeId, StoreId
from aether.model.limits import BLOCKING_THREADS_MAX
from aether.model.security import Verify
from aether.node.boots import count_boot
from aether.node.config import NodeConfig
from aether.node.founders import founders_of
from aether.node.tokens import published
from aether.slice_api.middleware import Middleware
from aether.storage.disk import DiskStorage
from aether.storage.memory import MemoryStorage
from aether.transport.address import join_address
from aether.transport.memory import MemoryTransport
from aether.transport.network import MemoryNetwork
from aether.transport.secured import Wrap
from aether.transport.tcp import TcpTransport
from aether.transport.values import Transport
from aether.web.gate_service import Guard
from aether.web.listen_service import Listen, listen_tcp
from aether.wire.session import Admission, Identity
from aether.wire.table import MessageTable
from aether.work import AbandoningWork, BareThreadWork, ThreadWork, Work


@attrs.frozen
class OpenedStorage:
    """A store and its random id: a node that comes back with another id has lost its disk.

    boots      how often it was opened, this time included; 0 when nobody counts
    founders   the voters that its log began with, () when it joined; None: those of the configuration
    ephemeral  nothing of it survives this process
    """

    storage: DiskStorage | MemoryStorage
    store: StoreId
    boots: int = 0
    founders: tuple[NodeId, ...] | None = None
    ephemeral: bool = False


class MakeTransport(Protocol):
    """Builds the transport of one node."""

    def __call__(
        self, config: NodeConfig, identity: Identity, table: MessageTable, admit: Admission, wrap: Wrap | None = None
    ) -> Transport: ...


def open_storage(config: NodeConfig, reach: Reach = nothing) -> OpenedStorage:
    """A data directory when one is configured, else memory that lives as long as this node. Blocks.

    Raises DataDirectoryInUse, IdentityMismatch, StorageCorrupt, StorageFull, StorageFailed, BadInput.
    """
    if config.data is None:
        return OpenedStorage(MemoryStorage(), StoreId(secrets.token_hex(8)), ephemeral=True)
    disk = DiskStorage(config.data, config.cluster, config.node, reach=reach)
    try:
        founders, boots = founders_of(config.data, config.voters), count_boot(config.data)
    except BaseException:
        disk.close()
        raise
    return OpenedStorage(disk, disk.store_id, boots, founders)


def make_transport(
    config: NodeConfig, identity: Identity, table: MessageTable, admit: Admission, wrap: Wrap | None = None
) -> Transport:
    """TCP when the node has a cluster port, else a transport that reaches nobody."""
    if config.port is None:
        return MemoryTransport(identity, MemoryNetwork(), (), table)
    bind = join_address(config.bind, config.port)
    return TcpTransport(identity, bind, config.peers, table, contacts=config.join, admit=admit, wrap=wrap)


def process_probe() -> Callable[[], Reading]:
    """What looks at this process. Blocks."""
    from aether.metrics.process_service import ProcessProbe  # psutil is read by a node, not by `import aether`

    return ProcessProbe().read


@attrs.frozen(kw_only=True)
class Seams:
    """The replaceable parts of a node; every default is the production one.

    work    the node's own blocking work; slice_work  that of slices' blocking methods, so that slow ones cannot starve
            the disk; controller_work  that of a controller of a third party, which may be left alone
    wall    seconds since the epoch
    rng     jitter, choice, election time-outs
    new_id  fresh random text: incarnations, instance ids; new_uuid  of a cluster
    make_invoker  the Invoker, or a subclass of it: tests watch calls, and lose them
    listen  opens the HTTP ports; publish  tells tools of this user, while it is entered, the token of an admin API
    process_probe  gives what looks at this process once a second
    reach   told at each place of `aether.failpoints` (that of storage: see open_storage)
    middleware  around each call that this node serves, the first outermost
    worker_processes  False: what asks for host="process" lives in the node, where virtual time reaches it
    verify  says who makes a request to a route that is not public; None: tokens of the cluster do
    guard   asked before each request to a slice over HTTP; None lets all pass
    cluster_manager, node_manager, slice_store  None = the built-in ones; else given the parts that assembly has built
    """

    open_storage: Callable[[NodeConfig], OpenedStorage] = open_storage
    make_transport: MakeTransport = make_transport
    make_invoker: Callable[..., Invoker] = Invoker
    balancer: Balancer | None = None
    work: Work = attrs.field(factory=BareThreadWork)
    controller_work: Work = attrs.field(factory=AbandoningWork)
    slice_work: Work = attrs.field(factory=lambda: ThreadWork(BLOCKING_THREADS_MAX))
    wall: Callable[[], float] = time.time
    rng: random.Random = attrs.field(factory=random.SystemRandom)
    new_id: Callable[[], str] = lambda: secrets.token_hex(6)
    new_uuid: Callable[[], str] = lambda: secrets.token_hex(16)
    listen: Listen = listen_tcp
    publish: Callable[[str, str, Path | None], AbstractContextManager[None]] = published
    process_probe: Callable[[], Callable[[], Reading]] = process_probe
    reach: Reach = nothing
    placement: Placement = spread
    cluster_manager: Callable[..., ClusterManager] | None = None
    node_manager: Callable[..., NodeManager] | None = None
    slice_store: SliceStore | None = None
    worker_processes: bool = True
    verify: Verify | None = None
    guard: Guard | None = None
    middleware: tuple[Middleware, ...] = ()

    def incarnation(self) -> Incarnation:
        return Incarnation(self.new_id())
