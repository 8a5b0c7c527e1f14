"""Several nodes in this process, for experiments and tests: kill one, start it again, see what happens.

Knows: nodes whose storage outlives them, the network between them.
Never: virtual time (room testing brings the network and the clock).
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar, overload

import attrs
import trio
from typing_extensions import TypeForm

from aether.cluster.embedded import Cluster, by_wire
from aether.cluster.opening import open_node, opening, unwrapped_body
from aether.cluster.own_slices import deploy_own
from aether.deployment.slice_store import contracts_of
from aether.errors import BadInput, NotFound, TryAgain
from aether.kv import keys
from aether.model.artifact import Artifact
from aether.model.ids import NodeId, StoreId
from aether.node.config import NodeConfig
from aether.node.config_sources import flatten
from aether.node.node import Node
from aether.node.seams import OpenedStorage, Seams
from aether.node.throwaway_authority import ThrowawayAuthority, make_throwaway
from aether.slice_api.binding import Binding
from aether.storage.memory import MemoryStorage
from aether.work import Work

T = TypeVar("T")
NODES_MAX = 9
CLUSTER = "local"
OFFERED_S = 10.0


@attrs.define
class _Member:
    """A node of the local cluster: its settings and disk outlive its runs."""

    config: NodeConfig
    storage: OpenedStorage
    node: Node | None = None
    cluster: Cluster | None = None
    running: bool = False
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ended: trio.Event = attrs.field(factory=trio.Event)


class LocalCluster:
    """Nodes `node-1` to `node-N` of one cluster in this process. Made by `Cluster.local`."""

    authorities: Path | None = None
    """With `tls=True` the file that clients of the nodes' ports believe; it goes with the cluster."""

    def __init__(
        self,
        members: Mapping[NodeId, _Member],
        slices: Sequence[type],
        bind: Sequence[Binding],
        seams: Callable[[NodeId], Seams],
        nursery: trio.Nursery,
    ) -> None:
        self._members = members
        self._slices = list(slices)
        self._bind = bind
        self._seams = seams
        self._nursery = nursery

    @property
    def nodes(self) -> tuple[Cluster, ...]:
        """The running nodes, by name."""
        return tuple(m.cluster for _, m in sorted(self._members.items()) if m.cluster is not None)

    def node(self, name: str) -> Cluster:
        """The running node `name`. Raises NotFound."""
        member = self._member(name)
        if member.cluster is None:
            raise NotFound("running node", name, "restart it first")
        return member.cluster

    @overload
    def get(self, target: type[T], /) -> T: ...
    @overload
    def get(self, target: TypeForm[T], /) -> T: ...
    def get(self, target: object, /) -> object:
        """A typed proxy through any running node, ready ones first; see `Cluster.get`. It ends with that node."""
        nodes = self.nodes
        if not nodes:
            raise TryAgain("every node of this cluster was killed; restart one")
        return next((node for node in nodes if node.addresses.ready), nodes[0]).proxy(target)

    @property
    def leader(self) -> Cluster | None:
        """The running node that leads now; None in an election. Cut off, an old leader may not know of a newer one."""
        leading = [(row.term, node) for node in self.nodes if (row := node.kv.leadership) is not None]
        return max(leading, key=lambda each: each[0])[1] if leading else None

    async def wait_leader(self) -> Cluster:
        """The leader, as soon as there is one. The caller's scope is the bound: without a majority there is none."""
        while True:
            leader = self.leader
            if leader is not None:
                return leader
            await trio.sleep(0.01)

    async def kill(self, name: str) -> None:
        """End a node at once, as SIGKILL would, even one that is still starting. Its storage survives for `restart`."""
        member = self._member(name)
        if not member.running:
            raise BadInput(f"{name} does not run")
        member.scope.cancel()
        await member.ended.wait()

    async def stop(self, name: str) -> None:
        """Let a node leave, as SIGTERM would: it drains, hands its leadership over and ends. Returns when it has."""
        self.node(name).close()
        await self._member(name).ended.wait()

    async def restart(self, name: str) -> Cluster:
        """Start a node that was killed or stopped again, with the storage it left; returns when it has caught up.

        Raises BadInput when it runs already, TryAgain when it is killed meanwhile.
        """
        node = await self.start(NodeId(name))
        member = self._member(name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_then_cancel, member.ended, nursery.cancel_scope)
            await node.ready.wait()
            nursery.cancel_scope.cancel()
        if member.cluster is None or not node.ready.is_set():
            raise TryAgain(f"{name} was killed while it started")
        return member.cluster

    async def start(self, name: NodeId) -> Node:
        """Start a node that does not run; it may not have caught up yet. Raises BadInput, TryAgain as `restart`."""
        member = self._member(name)
        if member.running:
            raise BadInput(f"{name} runs already")
        member.running, member.scope, member.ended = True, trio.CancelScope(), trio.Event()
        node: Node | None = await self._nursery.start(self._run, name, member)
        if node is None:
            raise TryAgain(f"{name} was killed while it started")
        return node

    async def offer(self, *slices: type) -> None:
        """All nodes bring these classes too from now on, as processes with newer code would; what is deployed stays.

        Returns when all running nodes have told so. Raises ContractError, Conflict when another class has the same
        artifact, and TryAgain when not all have told after OFFERED_S, as without a majority; told they will.
        """
        for cls in slices:
            for member in self._members.values():
                if member.node is not None:
                    member.node.shelf.offer(cls)
            self._slices.append(cls)
        offered = set(contracts_of(slices))
        with trio.move_on_after(OFFERED_S):
            for node in [node for node in self.nodes if node.addresses.ready]:
                async with node.kv.watch(keys.MEMBERS) as watch:
                    while not offered <= _told(node):
                        await watch.changed()
            return
        raise TryAgain(f"after {OFFERED_S:g} s not every node tells of {', '.join(map(str, sorted(offered)))}")

    async def _run(self, name: NodeId, member: _Member, *, task_status: trio.TaskStatus[Node | None]) -> None:
        try:
            with member.scope:
                async with open_node(
                    member.config, self._slices, self._bind, self._seams(name), member.storage
                ) as node:
                    member.node, member.cluster = node, Cluster(node, self._bind)
                    task_status.started(node)
                    await node.asked_to_leave.wait()
            if member.cluster is None:
                task_status.started(None)
        finally:
            member.node, member.cluster, member.running = None, None, False
            member.ended.set()

    def _member(self, name: str) -> _Member:
        if name not in self._members:
            raise NotFound("node", name, f"there are {', '.join(sorted(self._members))}")
        return self._members[NodeId(name)]


def _told(node: Cluster) -> set[Artifact]:
    """What the node itself has read of its row: whoever asks it may rely on that."""
    row = node.kv.get(keys.member(node.node))
    return set() if row is None else set(row.available)


async def _then_cancel(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


@asynccontextmanager
async def open_local(
    slices: Sequence[type],
    *,
    nodes: int,
    config: Mapping[str, object],
    secrets: Mapping[str, object] | None = None,
    bind: Sequence[Binding] = (),
    http: bool = False,
    calls: str = "wire",
    tls: bool = False,
    labels: Mapping[str, Mapping[str, str]] | None = None,
    seams: Callable[[NodeId], Seams] = lambda _: Seams(),
    tcp: bool = True,
    make: Callable[..., LocalCluster] = LocalCluster,
    started: bool = True,
) -> AsyncGenerator[LocalCluster]:
    """A LocalCluster whose slices are ACTIVE. Without `tcp` the seams bring the network; `make` may be a subclass.

    started  False: no node runs yet, and nothing is deployed by opening

    Raises what `Cluster.open` raises.
    """
    wire_calls = by_wire(calls)
    if not 1 <= nodes <= NODES_MAX:
        raise BadInput(f"nodes={nodes}", (f"1 to {NODES_MAX} nodes fit one process",))
    names = [NodeId(f"node-{n + 1}") for n in range(nodes)]
    unknown = sorted((labels or {}).keys() - set(names))
    if unknown:
        raise BadInput(f"labels of {', '.join(unknown)}", (f"the nodes are {', '.join(names)}",))
    ports = dict(zip(names, _free_ports(nodes) if tcp else [0] * nodes, strict=True))
    peers = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    members = {
        name: _Member(
            NodeConfig(
                node=name,
                cluster=CLUSTER,
                peers={other: address for other, address in peers.items() if other != name},
                port=ports[name],
                http_port=0 if http else None,
                management_port=0 if http else None,
                settings=flatten(config),
                secrets=flatten(secrets or {}),
                wire_calls=wire_calls,
                labels=flatten((labels or {}).get(name, {})),
            ),
            OpenedStorage(MemoryStorage(), StoreId(f"memory-{name}")),
        )
        for name in names
    }
    with opening() as state, ExitStack() as stack:
        authority = await _secured(members, seams(names[0]).work, stack) if tls else None
        async with unwrapped_body() as nursery:
            local = make(members, slices, bind, seams, nursery)
            local.authorities = authority.authorities if authority is not None else None
            if started:
                opened = [await local.start(name) for name in names]
                for node in opened:
                    await node.ready.wait()
                await deploy_own(opened, slices, bind, closed=True)
            state.done = True
            yield local
            nursery.cancel_scope.cancel()


async def _secured(members: Mapping[NodeId, _Member], work: Work, stack: ExitStack) -> ThrowawayAuthority:
    """Give each member a certificate of an authority that is forgotten with `stack`. Raises BadInput."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="aether-local-", ignore_cleanup_errors=True))
    authority = await work.run(make_throwaway, Path(folder), CLUSTER, list(members))
    issuer = next(iter(members))
    for name, member in members.items():
        member.config = attrs.evolve(
            member.config, tls=authority.directory(name), ca_key=authority.key if name == issuer else None
        )
    return authority


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
