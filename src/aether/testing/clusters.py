"""A whole cluster in memory: real nodes, real Raft, no sockets, no disks, and time that jumps.

Knows: nodes under the in-memory network, trio's virtual clock.
Never: real time; under `trio.testing.MockClock` thirty seconds of elections take none.
Holds: faults, delays, ids and jitter come from the seed. The order in which trio runs tasks that are ready together
       does not, so a schedule is not replayed exactly; assert outcomes, not orders.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import trio

from aether.cluster.local import LocalCluster, open_local
from aether.model.ids import NodeId
from aether.model.security import Verify
from aether.node.config import NodeConfig
from aether.node.node import Node
from aether.node.seams import Seams
from aether.slice_api.binding import Binding
from aether.slice_api.contract import contract_of
from aether.testing.memory_http import MemoryPorts, client_of
from aether.testing.processes import ScriptedProcess
from aether.testing.recording import Record
from aether.testing.watching import CallWatch, WatchedInvoker
from aether.transport.memory import MemoryTransport
from aether.transport.network import MemoryNetwork
from aether.transport.values import Transport
from aether.wire.session import Admission, Identity
from aether.wire.table import MessageTable
from aether.work import InlineWork

EPOCH_S = 1_700_000_000.0
DISK_S_MAX = 0.002


class MemoryCluster(LocalCluster):
    """A LocalCluster with a network that can be cut. `kill`, `restart`, `get` and `leader` are LocalCluster's.

    `aether.testing.recorded(cluster)` tells the calls that were made in it, those of slices to each other included.
    """

    network: MemoryNetwork
    watch: CallWatch
    processes: Mapping[str, ScriptedProcess]
    """What the nodes measure of their processes, by name of the node."""

    ports: MemoryPorts

    def http(self, name: str) -> httpx.AsyncClient:
        """A client of the routes that node `name` serves, in real HTTP bytes; it outlives restarts of the node.

        Relative URLs are enough. Where the node does not run, a request raises httpx.ConnectError.
        """
        return client_of(self.ports, lambda: self._address(name, "http_address"))

    def management(self, name: str) -> httpx.AsyncClient:
        """A client of the admin API of node `name`, as its local administrator unless a request says otherwise."""
        return client_of(self.ports, lambda: self._address(name, "management_address"), admin=True)

    def _address(self, name: str, kind: str) -> str:
        running = {str(node.node): node for node in self.nodes}
        return getattr(running[name].addresses, kind) if name in running else ""

    @property
    def __aether_recorded__(self) -> Record:
        return self.watch.record

    def partition(self, *groups: Sequence[str]) -> None:
        """Cut the network between `groups` of node names; nodes of one group still reach each other."""
        for n, group in enumerate(groups):
            for other in groups[n + 1 :]:
                for a in group:
                    for b in other:
                        self.network.partition(NodeId(a), NodeId(b))

    def heal(self) -> None:
        """Undo every partition."""
        self.network.heal()

    async def start(self, name: NodeId) -> Node:
        """As in LocalCluster; a node that was killed while it was stalled starts afresh."""
        self.resume(name)
        return await super().start(name)

    def stall(self, name: str) -> None:
        """Nothing that a node sends arrives, and nothing reaches it, its HTTP clients included, until `resume`.

        To all others it is a process that was stopped; its own clock goes on.
        """
        self.network.stall(NodeId(name))
        self.ports.valve(NodeId(name)).turn(False)

    def resume(self, name: str) -> None:
        """End what `stall` began: what was under way arrives."""
        self.network.resume(NodeId(name))
        self.ports.valve(NodeId(name)).turn(True)


@asynccontextmanager
async def memory_cluster(
    *slices: type,
    nodes: int = 3,
    seed: int = 0,
    config: Mapping[str, object] | None = None,
    secrets: Mapping[str, object] | None = None,
    bind: Sequence[Binding] = (),
    calls: str = "wire",
    verify: Verify | None = None,
    started: bool = True,
) -> AsyncGenerator[MemoryCluster]:
    """A cluster of `nodes` whose `slices` are ACTIVE. Run it under a virtual clock (fixture `aether_cluster` does).

    seed   of everything random: elections, jitter, placement ids, disk and network delays
    calls  "wire" by default: co-located calls go through the codec too
    started  False: no node runs until `start`, and no slice is deployed by opening
    verify  says who makes a request to a route that is not public, as for `Cluster.open`
    Raises what opening a node raises: ContractError, NoInstance.
    """
    network, ports = MemoryNetwork(seed), MemoryPorts()
    processes = defaultdict[str, ScriptedProcess](ScriptedProcess)
    watch = CallWatch(map(contract_of, slices))
    seams = _seams(network, ports, seed, nodes, watch, processes)

    def make(*parts: Any) -> MemoryCluster:
        cluster = MemoryCluster(*parts)
        cluster.network, cluster.ports, cluster.watch, cluster.processes = network, ports, watch, processes
        return cluster

    opened = open_local(
        slices,
        nodes=nodes,
        config=config or {},
        secrets=secrets or {},
        bind=bind,
        calls=calls,
        http=True,
        seams=lambda node: attrs.evolve(seams(node), verify=verify),
        tcp=False,
        make=make,
        started=started,
    )
    async with opened as cluster:
        assert isinstance(cluster, MemoryCluster)
        yield cluster


def _seams(
    network: MemoryNetwork,
    ports: MemoryPorts,
    seed: int,
    nodes: int,
    watch: CallWatch,
    processes: Mapping[str, ScriptedProcess],
) -> Callable[[NodeId], Seams]:
    names = tuple(NodeId(f"node-{n + 1}") for n in range(nodes))

    def make_transport(
        config: NodeConfig, identity: Identity, table: MessageTable, admit: Admission, wrap: object = None
    ) -> Transport:
        return MemoryTransport(identity, network, names, table, admit=admit)

    def make_invoker(*args: Any, **kwargs: Any) -> WatchedInvoker:
        invoker = WatchedInvoker(*args, **kwargs)
        invoker.watch = watch
        return invoker

    starts: dict[NodeId, int] = {}

    def seams(node: NodeId) -> Seams:
        starts[node] = starts.get(node, 0) + 1
        stream = f"{seed}/{node}/{starts[node]}"
        ids, disk = random.Random(f"{stream}/ids"), random.Random(f"{stream}/disk")
        return Seams(
            make_transport=make_transport,
            make_invoker=make_invoker,
            work=InlineWork(lambda: disk.uniform(0, DISK_S_MAX)),
            slice_work=InlineWork(),
            controller_work=InlineWork(),
            worker_processes=False,
            listen=ports.listen(node),
            publish=ports.publish,
            process_probe=lambda: processes[node].read,
            wall=lambda: EPOCH_S + trio.current_time(),
            rng=random.Random(f"{stream}/choices"),
            new_id=lambda: f"{ids.getrandbits(48):012x}",
            new_uuid=lambda: f"{ids.getrandbits(128):032x}",
        )

    return seams
