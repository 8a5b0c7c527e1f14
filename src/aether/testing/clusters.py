"""A whole cluster in memory: real nodes, real Raft, no sockets, no disks, and time that jumps.

Knows: nodes under the in-memory network, trio's virtual clock.
Never: real time; under `trio.testing.MockClock` thirty seconds of elections take none.
Holds: faults, delays, ids and jitter come from the seed. The order in which trio runs tasks that are ready together
       does not, so a schedule is not replayed exactly; assert outcomes, not orders.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from aether.cluster.local import LocalCluster, open_local
from aether.model.ids import NodeId
from aether.node.config import NodeConfig
from aether.node.seams import Seams
from aether.slice_api.binding import Binding
from aether.slice_api.contract import contract_of
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


@asynccontextmanager
async def memory_cluster(
    *slices: type,
    nodes: int = 3,
    seed: int = 0,
    config: Mapping[str, object] | None = None,
    secrets: Mapping[str, object] | None = None,
    bind: Sequence[Binding] = (),
    calls: str = "wire",
) -> AsyncGenerator[MemoryCluster]:
    """A cluster of `nodes` whose `slices` are ACTIVE. Run it under a virtual clock (fixture `aether_cluster` does).

    seed   of everything random: elections, jitter, placement ids, disk and network delays
    calls  "wire" by default: co-located calls go through the codec too
    Raises what opening a node raises: ContractError, NoInstance.
    """
    network = MemoryNetwork(seed)
    watch = CallWatch(map(contract_of, slices))
    opened = open_local(
        slices,
        nodes=nodes,
        config=config or {},
        secrets=secrets or {},
        bind=bind,
        calls=calls,
        seams=_seams(network, seed, nodes, watch),
        tcp=False,
        make=MemoryCluster,
    )
    async with opened as cluster:
        assert isinstance(cluster, MemoryCluster)
        cluster.network, cluster.watch = network, watch
        yield cluster


def _seams(network: MemoryNetwork, seed: int, nodes: int, watch: CallWatch) -> Callable[[NodeId], Seams]:
    names = tuple(NodeId(f"node-{n + 1}") for n in range(nodes))

    def make_transport(config: NodeConfig, identity: Identity, table: MessageTable, admit: Admission) -> Transport:
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
            worker_processes=False,
            wall=lambda: EPOCH_S + trio.current_time(),
            rng=random.Random(f"{stream}/choices"),
            new_id=lambda: f"{ids.getrandbits(48):012x}",
            new_uuid=lambda: f"{ids.getrandbits(128):032x}",
        )

    return seams
