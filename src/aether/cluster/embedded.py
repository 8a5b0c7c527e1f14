"""One node of a cluster, inside the application's own process.

Knows: opening, waiting for slices, typed access, leaving.
Never: hidden tasks; everything runs in the nursery of the `async with` block.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from typing_extensions import TypeForm

from aether.cluster.opening import new_node_name, open_node, opening, resolve
from aether.cluster.own_slices import deploy_own
from aether.cluster.replaced import Parts, replaced
from aether.deployment.managers import ClusterManager, NodeManager
from aether.deployment.operator import BlueprintApplied
from aether.deployment.placement import Placement
from aether.deployment.rollout_operator import RolloutApplied, RolloutOperator
from aether.deployment.slice_store import SliceStore
from aether.errors import BadInput
from aether.hosting.replicated_map import replicated_map
from aether.invocation.balance import Balancer
from aether.invocation.proxy import bind_proxy
from aether.kv.service import KvService
from aether.model.ids import NodeId, Revision, node_id
from aether.model.rollout import Cleanup, Gates, RolloutPlan, Strategy
from aether.model.security import Verify
from aether.node.config import NodeConfig
from aether.node.config_sources import flatten
from aether.node.facts import NodeFacts
from aether.node.node import Node
from aether.node.peer_addresses import parse_contacts, parse_peers
from aether.node.seams import Seams
from aether.node.standing import ClusterEvent, ClusterMetrics, events_of, metrics_of
from aether.slice_api.binding import Binding
from aether.slice_api.contract import contract_of
from aether.slice_api.maps import Map
from aether.slice_api.middleware import Middleware
from aether.slice_api.route_options import Cors
from aether.web.asgi_service import AsgiApplication

if TYPE_CHECKING:
    from aether.cluster.local import LocalCluster

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class Cluster:
    """A node that is open. Made by `Cluster.open`; every method may be used while its block runs."""

    def __init__(self, node: Node, bind: Sequence[Binding] = ()) -> None:
        self._node = node
        self._bind = tuple(bind)

    @staticmethod
    def open(
        *slices: type,
        name: str | None = None,
        cluster: str = "aether",
        peers: str | Mapping[str, str] = "",
        join: str | Sequence[str] = (),
        data: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
        http: int | None = None,
        management: int | None = None,
        config: Mapping[str, object] | None = None,
        secrets: Mapping[str, object] | None = None,
        bind: Sequence[Binding] = (),
        calls: str = "direct",
        insecure: bool = False,
        docs: bool = True,
        cluster_manager: Callable[..., ClusterManager] | str | None = None,
        node_manager: Callable[..., NodeManager] | str | None = None,
        placement: Placement | str | None = None,
        slice_store: SliceStore | str | None = None,
        balancer: Balancer | str | None = None,
        zone: str = "",
        labels: Mapping[str, str] | None = None,
        middleware: Sequence[Middleware] = (),
        cors: Cors | None = None,
        verify: Verify | None = None,
        tls: str | Path | None = None,
        ca_key: str | Path | None = None,
        join_token: str | Path | None = None,
        seams: Seams | None = None,
    ) -> AbstractAsyncContextManager[Cluster]:
        """Open one node of a cluster that runs `slices`; it returns when they are ACTIVE.

        name        of the node; needed with peers, else made up
        peers       the founding nodes as `id:host:port,...` or a mapping; empty = alone
        join        `host:port` of any member of a cluster to join, or several of them
        data        directory that survives; without it the node never votes beside others, has a new name at each
                    start, and leaves its cluster when the block ends
        host        address of every listener; port, http, management  None = no listener, 0 = any free port
        config      what slices read through `aether.config`, dotted names or nested; secrets  through `aether.secret`
        bind        which slice implements a Protocol, where several could
        calls       "wire" sends co-located calls through the codec, as tests do
        docs        /openapi.json and the page /docs on the HTTP port, where no slice has these paths
        insecure    whoever reaches the management port may do almost anything, and `host` need not be loopback
        zone        where this node stands, such as a rack: calls prefer instances of their own zone
        labels      what the placement of slices may ask for; `capacity` limits the instances of this node
        cluster_manager, node_manager, placement, slice_store, balancer
                    an object, or a name that is built in or registered as an entry point: see `aether.cluster.replaced`
        middleware  async context managers around each call that this node serves, over HTTP or not, the first outermost
        cors        which pages of other origins may read answers of routes that say nothing themselves; None: none
        verify      `await verify(credentials)` says who makes a request to a route that is not public (`[security]` of
                    a blueprint), None for nobody known; without it only tokens of the cluster do
        tls         directory with ca.pem, node.pem and node.key (`aether ca`): every port speaks TLS
        ca_key      file with the key of the authority: this node signs certificates
        join_token  file with a token of `aether ca token`: gets a node that joins its first certificate
        seams       further replaceable parts, for tests: storage, transport, clocks, randomness

        Opening registers the code of `slices`. A slice that nobody wants yet is wanted from now on, by the blueprint
        `app`, with its own count; what is wanted already stays as it is, in the version in force.
        Leaving the block drains the node. An error of the body leaves it unwrapped and at once; later failures of the
        node are a group. Raises BadInput, ContractError, AddressInUse, DataDirectoryInUse, IdentityMismatch,
        StorageCorrupt, NotFound (an unknown name); alone also NoInstance when a slice does not become ACTIVE.
        """
        contacts = parse_contacts([join] if isinstance(join, str) else join)
        node, known = _group(name, peers, joins=bool(contacts), data=data, port=port)
        settings = NodeConfig(
            node=node, cluster=cluster, peers=known, join=contacts, bind=host, http_port=http,
            port=0 if contacts and port is None else port, management_port=management, data=_path(data),
            settings=flatten(config or {}), secrets=flatten(secrets or {}),
            insecure=insecure, docs=docs, wire_calls=by_wire(calls), zone=zone, labels=flatten(labels or {}), cors=cors,
            tls=_path(tls), ca_key=_path(ca_key), join_token=_path(join_token),
        )  # fmt: skip
        settings.check()  # before the data directory is touched
        parts = Parts(
            cluster_manager=cluster_manager, node_manager=node_manager, placement=placement, slice_store=slice_store,
            balancer=balancer, middleware=middleware or None, verify=verify,
        )  # fmt: skip
        return _open(settings, slices, bind, replaced(seams or Seams(), parts, slices))

    @staticmethod
    def local(
        *slices: type,
        nodes: int = 3,
        config: Mapping[str, object] | None = None,
        secrets: Mapping[str, object] | None = None,
        bind: Sequence[Binding] = (),
        http: bool = False,
        calls: str = "wire",
        middleware: Sequence[Middleware] = (),
        verify: Verify | None = None,
        tls: bool = False,
        labels: Mapping[str, Mapping[str, str]] | None = None,
    ) -> AbstractAsyncContextManager[LocalCluster]:
        """Open `nodes` nodes in this process, over real loopback TCP, for experiments and tests; see LocalCluster.

        http   give each node an HTTP and a management port, any free ones
        calls  "wire" by default, so that a missing codec shows at once
        middleware, verify  of each node, as for `open`
        tls    every port speaks TLS, with certificates of an authority that is forgotten when the block ends:
               `LocalCluster.authorities` is the file for clients
        labels  of single nodes, by name: `{"node-1": {"disk": "ssd"}}`. Raises BadInput: there is no such node
        """
        from aether.cluster.local import open_local

        return open_local(
            slices,
            nodes=nodes,
            config=config or {},
            secrets=secrets or {},
            bind=bind,
            http=http,
            calls=calls,
            tls=tls,
            labels=labels or {},
            seams=lambda _: Seams(middleware=tuple(middleware), verify=verify),
        )

    @property
    def node(self) -> NodeId:
        """The name of this node."""
        return self._node.config.node

    @property
    def addresses(self) -> NodeFacts:
        """Addresses of the listeners: `cluster_address`, `http_address`, `management_address`; "" when closed."""
        return self._node.facts

    @property
    def http_url(self) -> str:
        """`http://host:port` of the slices' routes, `https` with `tls=`. Raises BadInput: opened without `http=`."""
        if not self._node.facts.http_address:
            raise BadInput("this node has no HTTP port", ("open it with http=0 for any free one",))
        config = self._node.config
        scheme = "http" if config.tls is None or config.plain_http else "https"
        return f"{scheme}://{self._node.facts.http_address}"

    @property
    def kv(self) -> KvService:
        """The replicated store."""
        return self._node.kv

    @overload
    def get(self, target: type[T], /) -> T: ...
    @overload
    def get(self, target: TypeForm[T], /) -> T: ...
    def get(self, target: object, /) -> object:
        """A typed proxy for a slice class or a Protocol: its methods call an ACTIVE instance, wherever it is.

        Raises ContractError when nothing, or more than one slice, implements a Protocol.
        """
        return self.proxy(target)

    def proxy(self, target: Any, /) -> Any:
        """`get` without types, for callers that learn the class at run time."""
        contract, base = resolve(self._node, target, self._bind)
        return bind_proxy(contract, base, self._node.invoker)

    @property
    def metrics(self) -> ClusterMetrics:
        """How the nodes and the calls of the whole cluster go, as this node knows it now. Never waits."""
        return metrics_of(self._node.operations)

    def events(self, since: str = "") -> AsyncIterator[ClusterEvent]:
        """What happens in the cluster: from now on, or from `since` on and then what comes. Leave the loop to end it.

        since  the `id` of an event, a revision or a moment in ISO 8601; `"0"` = everything that is still kept

        Raises BadInput. Whoever reads too slowly, so that events are forgotten before they are taken, gets a TryAgain:
        ask again with the id of the last event of the cluster that came (`ordered`).
        """
        return events_of(self._node.operations, since)

    def asgi(self) -> AsgiApplication:
        """What the HTTP port answers, as an ASGI application: for hypercorn's trio worker, or below a path of yours.

        It runs in this trio run, while the block runs. WebSockets are not served.
        """
        handler = self._node.slice_handler()
        return AsgiApplication(handler, handler.streams_body)

    def map(self, name: str, key: type[K], value: type[V] | TypeForm[V]) -> Map[K, V]:
        """The replicated map `name`, typed. All nodes and slices that name it share it."""
        return replicated_map(self._node.kv, name, key, value)

    async def deploy(self, artifact: str | type, instances: int | None = None) -> Revision:
        """Want `instances` of an artifact (`group:artifact:version`, or a slice class). Returns once applied here.

        instances  None keeps the count in force, else takes the slice's own
        """
        return (await self._node.operator.deploy(_text(artifact), instances)).revision

    async def scale(self, artifact: str | type, instances: int, *, for_s: float = 0.0) -> Revision:
        """Change how many instances are wanted. Raises NotFound when nobody wants the artifact.

        for_s  after so many seconds the count of the blueprint holds again; 0.0 = this one stays
        """
        return (await self._node.operator.scale(_text(artifact), instances, for_s=for_s)).revision

    async def undeploy(self, artifact: str | type) -> Revision:
        """Want no instance any more. Calls in flight finish. Does nothing when the artifact is not deployed."""
        return (await self._node.operator.undeploy(_text(artifact))).revision

    async def rollout(
        self,
        artifact: str | type,
        version: str = "",
        *,
        strategy: str = "rolling",
        steps: Sequence[int] = (),
        hold_s: float = 0.0,
        batch: int = 1,
        instances: int | None = None,
        rules: Sequence[str] = (),
        gates: Gates | None = None,
        manual_approval: bool = False,
        cleanup: str = "IMMEDIATE",
        force: bool = False,
    ) -> RolloutApplied:
        """Begin to update a slice to another version; a slice class stands for its own version.

        The options are those of `aether rollout start`. Returns once the update is written; the leader carries it out,
        and `rollouts` says where it stands. Raises NotFound, BadInput, Conflict.
        """
        try:
            plan = RolloutPlan(
                strategy=Strategy(strategy.replace("-", "_")), steps=tuple(steps), hold_s=hold_s, batch=batch,
                instances=instances, rules=tuple(rules), gates=gates or Gates(), manual_approval=manual_approval,
                cleanup=Cleanup(cleanup), force=force,
            )  # fmt: skip
        except ValueError as error:
            raise BadInput("the plan of the update does not fit", (str(error),)) from error
        return await self.rollouts.start(_text(artifact), version, plan, by=f"node {self.node}")

    @property
    def rollouts(self) -> RolloutOperator:
        """The updates: get, route, approve, complete, rollback, pause, resume, health."""
        return self._node.managers.rollouts

    async def apply(self, blueprint: str) -> BlueprintApplied:
        """Apply the text of a blueprint (TOML): all of it, or nothing. Raises BadInput with every problem, Conflict."""
        return await self._node.operator.apply(blueprint, applied_by=f"node {self.node}")

    async def drain(self, node: str | None = None, *, force: bool = False) -> Revision:
        """Without a name: this node takes no new work and finishes what runs, for good; leaving the block does it too.

        With one: that node gives its instances to others and takes none, until `activate`; it stays a member. Returns
        once the word is applied here; `aether nodes` shows how far it is. force  without regard to `min_available`,
        and to whether others can take over. Raises NotFound, Conflict.
        """
        if node is not None:
            return (await self._node.managers.duties.drain(node, by=f"node {self.node}", force=force)).revision
        await self._node.drain()
        return self._node.kv.revision

    async def activate(self, node: str) -> Revision:
        """Let a node that drains, or is empty, work again. Returns once applied here. Raises NotFound, Conflict."""
        return (await self._node.managers.duties.activate(node, by=f"node {self.node}")).revision

    async def shutdown(self, node: str, *, force: bool = False) -> Revision:
        """Let the process of a node drain and end: there `wait_closed` returns. Raises NotFound, Conflict.

        force  also when no other node is on duty, or too few voters would answer without it
        """
        return (await self._node.managers.duties.shutdown(node, by=f"node {self.node}", force=force)).revision

    async def wait_ready(self) -> None:
        """Return once this node has caught up with the cluster."""
        await self._node.ready.wait()

    async def wait_closed(self) -> None:
        """Return when the node has been asked to leave, by `close` or by an operator; a main program sleeps here."""
        await self._node.asked_to_leave.wait()

    def close(self) -> None:
        """Wake `wait_closed`. The node leaves when its block ends."""
        self._node.asked_to_leave.set()


@asynccontextmanager
async def _open(
    config: NodeConfig, slices: Sequence[type], bind: Sequence[Binding], seams: Seams
) -> AsyncGenerator[Cluster]:
    with opening() as state:
        async with open_node(config, slices, bind, seams) as node:
            await node.ready.wait()
            await deploy_own([node], slices, bind, closed=len(config.voters) == 1)
            state.done = True
            yield Cluster(node, bind)


def by_wire(calls: str) -> bool:
    """Whether co-located calls go through the codec too. Raises BadInput."""
    if calls not in ("direct", "wire"):
        raise BadInput(f"calls={calls!r}", ('write "direct" or "wire"',))
    return calls == "wire"


def _group(
    name: str | None, peers: str | Mapping[str, str], *, joins: bool, data: str | Path | None, port: int | None
) -> tuple[NodeId, dict[NodeId, str]]:
    """The node's name and its founding peers. Raises BadInput for a node that could not come back, or not be found."""
    known = parse_peers(peers if isinstance(peers, str) else ",".join(f"{n}:{a}" for n, a in peers.items()))
    node = new_node_name() if name is None else node_id(name)
    known.pop(node, None)
    if joins and data is not None and name is None:
        raise BadInput("a node that joins with data= needs name=", ("it has to come back under the same one",))
    if known and (data is None or name is None or port is None):
        raise BadInput("a node with peers needs name=, port= and data=", ("it votes, and must remember its votes",))
    return node, known


def _text(target: str | type) -> str:
    """The coordinates that a text or a slice class names. Raises BadInput."""
    if isinstance(target, str):
        return target
    artifact = contract_of(target).artifact
    if artifact is None:
        raise BadInput(f"{target.__name__} is no slice", ("name a class decorated with @aether.slice",))
    return str(artifact)


def _path(text: str | Path | None) -> Path | None:
    return None if text is None else Path(text)
