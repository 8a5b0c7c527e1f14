"""One node: every room built and started in the order of its dependencies.

Knows: constructors, addresses, who tells whom what.
Never: decisions of any room.
Holds: every task lives in the nursery of `run`; a service that fails takes the node down: half a node is worse than
       none.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NoReturn

import trio

from aether.consensus.service import ConsensusService
from aether.consensus.spelling import MESSAGES as CONSENSUS_MESSAGES
from aether.deployment.operator import Operator
from aether.deployment.slice_store import SliceStore
from aether.deployment.waking_manager import Waker
from aether.errors import AetherError
from aether.hosting.host import Hosting
from aether.invocation.endpoints import EndpointRegistry
from aether.invocation.endpoints_service import EndpointWatcher
from aether.invocation.keyed_service import KeptKeys
from aether.invocation.service import Invoker
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.messages import MESSAGES as KV_MESSAGES
from aether.kv.service import KvService
from aether.management.service import ManagementApi
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.features import FEATURE_LEVEL
from aether.model.ids import Incarnation, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import ZONE_LABEL, MemberRow
from aether.node.backups import NodeBackups
from aether.node.cluster_health import MembersHealth
from aether.node.config import NodeConfig
from aether.node.duty_keeper import DutyKeeper
from aether.node.enrolment import ending
from aether.node.facts import NodeFacts
from aether.node.http_port import slice_handler
from aether.node.leaving import announce_drain, hand_over, wait_relieved
from aether.node.management_port import management_api
from aether.node.managers import Managers
from aether.node.membership import Membership
from aether.node.messages_table import delivering
from aether.node.operations import Operations
from aether.node.ports import Ports
from aether.node.replication import Replication
from aether.node.seams import OpenedStorage, Seams
from aether.node.shelf import Shelf
from aether.node.shown_settings import shown_settings
from aether.slice_api.binding import Binding
from aether.slice_api.contract import Contract
from aether.transport.address import join_address, split_address
from aether.transport.values import Handlers, Transport
from aether.web.slices_service import SliceHandler
from aether.wire.session import Refused

_log = logging.getLogger("aether.node")

RELIEF_SHARE = 0.5


class Node:
    """One member of a cluster. `await nursery.start(node.run)` starts it; cancelling the nursery stops it.

    Attributes of use to whoever embeds it: `kv`, `invoker`, `operator`, `facts`, `consensus`, `contracts` (registered),
    `asked_to_leave` (the process shall end, says whoever sets it).
    """

    config: NodeConfig
    facts: NodeFacts
    consensus: ConsensusService
    kv: KvService
    hosting: Hosting
    registry: EndpointRegistry
    invoker: Invoker

    def __init__(
        self,
        config: NodeConfig,
        slices: Sequence[type],
        opened: OpenedStorage,
        seams: Seams,
        bind: Sequence[Binding] = (),
    ) -> None:
        config.check()
        self.config = config
        self.facts = NodeFacts(config.node)
        self.facts.show_settings(shown_settings(config))
        self.incarnation: Incarnation = seams.incarnation()
        self.ready: trio.Event = trio.Event()
        self._seams = seams
        self._opened = opened
        self._bind = tuple(bind)
        self._failure: AetherError | None = None
        self._failed = trio.Event()
        self.asked_to_leave: trio.Event = trio.Event()
        self._drained = trio.Event()
        self._left: trio.Event | None = None
        self._build_store(opened)
        self._build_calls(slices)
        self._build_managers()
        self._ports = Ports(config, self.facts, self.slice_handler, self._management, seams, self._certification)
        self.operations.figures.count_http(self._ports)

    def see_instances(self) -> None:
        """Let calls from now on go by the rows that this node has applied."""
        self._endpoints.refresh()

    # --- construction, in the order of dependencies ---

    def _build_store(self, opened: OpenedStorage) -> None:
        config = self.config
        parts = Replication(config, opened, self._seams, self.incarnation)
        self.transport: Transport = parts.transport
        self.facts.count_refusals(lambda: self.transport.statistics().refused)
        self.consensus: ConsensusService = parts.consensus
        self.facts.watch_disk(lambda: self.consensus.disk_is_full)
        self.kv: KvService = parts.kv
        self._certification = parts.certification
        self._members = CachedRows(self.kv, keys.MEMBERS)
        self._live_of: tuple[Sequence[MemberRow], frozenset[NodeId], Mapping[NodeId, Incarnation]] = (), frozenset(), {}
        self.membership: Membership = Membership(
            config,
            parts.founders,
            self.kv,
            self.consensus,
            self.transport,
            self._member,
            self._reached,
            self._seams.wall,
        )

    def _build_calls(self, slices: Sequence[type]) -> None:
        config, seams = self.config, self._seams
        self.shelf: Shelf = Shelf(config, seams, slices)
        self.contracts: dict[Artifact, Contract] = self.shelf.contracts
        self.store: SliceStore = self.shelf.store
        self.facts.show_trees(self.shelf.report)
        self.hosting = Hosting(
            config.node,
            self.store,
            self.kv,
            seams.slice_work,
            config=config.settings,
            secrets=config.secrets,
            bindings=self._bind,
            drain_s=config.drain_s,
            middleware=seams.middleware,
            worker_processes=seams.worker_processes,
        )
        self.registry = EndpointRegistry(config.node)
        self._waker = Waker(config.node, self.kv, wall=seams.wall)
        self.invoker = seams.make_invoker(
            config.node,
            self.registry,
            self.transport.send,
            self.hosting,
            rng=seams.rng,
            wire=config.wire_calls,
            balancer=seams.balancer,
            keys=KeptKeys(config.node, self.incarnation, self.kv),
            wake=self._waker.wake,
            wall=seams.wall,
            steps_aside=self._steps_aside,
        )
        self._endpoints = EndpointWatcher(self.registry, self.kv, self._connected, self.invoker.endpoints_changed)

    def _steps_aside(self, target: str | ArtifactBase, attempt: int) -> bool:
        """While nothing becomes durable here, others serve calls; if it is so everywhere, whoever is asked again."""
        return self.consensus.disk_stands_still and attempt <= self.registry.elsewhere(ArtifactBase.parse(str(target)))

    def _build_managers(self) -> None:
        self.managers: Managers = Managers(
            self.config.node,
            self.incarnation,
            self.kv,
            self.hosting,
            self.store,
            self._live,
            self._seams,
            self.shelf.known,
            MembersHealth(self.kv, self.invoker.healths),
            lambda: self.consensus.status.voters,
            self.transport.gone,
        )
        self.operator: Operator = self.managers.operator
        self.operations: Operations = Operations(self, self._seams, self._members.look, self._reached, self._live)

    # --- life ---

    async def run(self, *, task_status: trio.TaskStatus[NodeFacts] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Run until cancelled. `started(facts)` once every port accepts; `ready` is set once the node has caught up.

        Raises what the first failing service raised: StorageFailed, AddressInUse, IdentityMismatch.
        """
        async with trio.open_nursery() as nursery:
            with ExitStack() as stack:
                nursery.start_soon(self._raise_failure)
                nursery.start_soon(self.facts.run)
                await nursery.start(self.consensus.run)
                await nursery.start(self.kv.run)
                await self.membership.begin(nursery)
                await self.shelf.begin(nursery)
                if self._certification is not None:
                    await self._certification.begin(nursery)
                nursery.start_soon(self._waker.run)
                await nursery.start(self.invoker.run)
                await nursery.start(self.hosting.run, self.invoker, self.managers.node)
                await nursery.start(self._endpoints.run)
                self.facts.cluster_address = await nursery.start(self.transport.run, self._handlers())
                await self._ports.open(nursery, stack)
                task_status.started(self.facts)
                await self.membership.enter(nursery)
                nursery.start_soon(self.membership.leave_when_removed, self.leave)
                await self.shelf.looked()
                await nursery.start(self.shelf.publish, self.kv, self._member)
                await self.managers.begin(nursery)
                await self.operations.begin(nursery)
                await nursery.start(self._duty_keeper().run)
                self.facts.ready = True
                self.ready.set()
                _log.info("%s is ready, incarnation %s", self.config.node, self.incarnation)
                await trio.sleep_forever()
        raise AssertionError("a node ends only by cancellation or failure")

    async def drain(self) -> None:
        """Take no new work, finish what runs, within `config.drain_s`, or that of its slices; cancel `run` afterwards.

        Half of that time at most is spent on waiting for others to take over: calls in flight need the rest.
        Whoever asks again waits for the same end.
        """
        if self.facts.draining:
            await self._drained.wait()
            return
        self.facts.draining = True
        drain_s = max(self.config.drain_s, self.hosting.drain_s)
        _log.info("%s drains for at most %.0f s", self.config.node, drain_s)
        try:
            with trio.move_on_after(drain_s):
                if self.ready.is_set() and self._connected():
                    await announce_drain(self.kv, self._member)
                    with trio.move_on_after(drain_s * RELIEF_SHARE):
                        await wait_relieved(self.kv, self.incarnation, self._connected)
                await self._ports.drain(drain_s)
                await self.hosting.drain()
        finally:
            self._drained.set()

    async def leave(self) -> None:
        """Drain, let the cluster forget this process's session, and let another lead; propose nothing afterwards."""
        if self._left is not None:
            await self._left.wait()
            return
        self._left = trio.Event()
        try:
            await self._leave()
        finally:
            self._left.set()

    async def _leave(self) -> None:
        await self.drain()
        if self.ready.is_set() and self._opened.ephemeral:
            await self.membership.retire()
        if self.ready.is_set():
            try:
                self.kv.end_session()
            except AetherError as error:
                _log.debug("%s leaves a session behind: %s", self.config.node, error)
            await hand_over(self.consensus, self.kv, self._reached)

    def _duty_keeper(self) -> DutyKeeper:
        async def another_leads() -> None:
            await hand_over(self.consensus, self.kv, self._reached, leaves=False)

        async def end() -> None:
            self.asked_to_leave.set()
            await self.leave()

        return DutyKeeper(self.kv, self._member, retire=self._ports.retire, hand_over=another_leads, leave=end)

    def slice_handler(self) -> SliceHandler:
        """What answers requests to slices, whoever brings them."""
        ready, tokens = (lambda: self.facts.ready), self.operations.access.tokens.find
        return slice_handler(self.config, self.kv, self.invoker, ready, self._state, tokens, self._seams)

    def _management(self, token: str) -> ManagementApi:
        actors = self.managers.actors(self.membership.operator, self.shelf.operator(self.kv), self.operations)
        backups = NodeBackups(self.config, self.kv, self.consensus, self._seams)
        hosts = self._certification.credentials.certificate.hosts if self._certification else ()
        return management_api(
            self.config, self.kv, self.consensus, self.transport, self.facts, actors, backups, token, self.operations,
            self._seams, hosts,
        )  # fmt: skip

    # --- what rooms are told of each other ---

    def _handlers(self) -> Handlers:
        return Handlers(
            message={
                **delivering(self.consensus.deliver, CONSENSUS_MESSAGES),
                **delivering(self.kv.deliver, KV_MESSAGES),
                **self.invoker.handlers(),
                **self.membership.handlers,
                **self.operations.figures.handlers,
                **(self._certification.handlers if self._certification is not None else {}),
                **self.operations.controller.handlers(),
            },
            connected=self._peer_connected,
            disconnected=self._peer_lost,
            refused=self._peer_refused,
        )

    def _peer_connected(self, peer: NodeId) -> None:
        self.consensus.peer_opened(peer)
        self.operations.local_events.connected(peer)
        self._endpoints.refresh()
        self.managers.members_changed()

    def _peer_lost(self, peer: NodeId) -> None:
        self.consensus.peer_closed(peer)
        self.operations.local_events.disconnected(peer)
        self.invoker.peer_lost(peer)
        self.operations.controller.peer_lost(peer)
        self._endpoints.refresh()
        self.managers.members_changed()

    def _peer_refused(self, peer: NodeId, refused: Refused) -> None:
        ready, newcomer = self.ready.is_set(), self.membership.is_newcomer
        error = ending(self.config.node, peer, refused, ready=ready, newcomer=newcomer)
        if error is not None and self._failure is None:
            self._failure = error
            self._failed.set()

    async def _raise_failure(self) -> NoReturn:
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    # --- facts that rooms ask for ---

    def _connected(self) -> frozenset[NodeId]:
        return self.transport.connected()

    def _reached(self) -> frozenset[NodeId]:
        return self._connected() | {self.config.node}

    def _live(self) -> Mapping[NodeId, Incarnation]:
        """Members that this node reaches, itself included, with their incarnations."""
        rows, connected = self._members.look(), self._connected()
        if rows is not self._live_of[0] or connected is not self._live_of[1]:
            here = (row for row in rows if row.node in connected or row.node == self.config.node)
            self._live_of = rows, connected, {row.node: row.incarnation for row in here}
        return self._live_of[2]

    def _member(self) -> MemberRow:
        facts = self.facts
        return MemberRow(
            node=self.config.node,
            incarnation=self.incarnation,
            cluster_address=self._dialled_at(),
            http_address=facts.http_address,
            management_address=facts.management_address,
            store=self._opened.store,
            boots=self._opened.boots,
            ephemeral=self._opened.ephemeral,
            available=self.store.available(),
            labels={**self.config.labels, **({ZONE_LABEL: self.config.zone} if self.config.zone else {})},
            feature_level=FEATURE_LEVEL,
            cluster_manager=self.managers.name,
            draining=facts.draining,
        )

    def _dialled_at(self) -> str:
        """Where peers reach this node: the advertised host, when one was given."""
        bound, host = self.facts.cluster_address, self.config.advertise
        return join_address(host, split_address(bound)[1]) if bound and host else bound

    def _state(self, base: ArtifactBase) -> tuple[str, str]:
        """State of an artifact in this node's view; anything but ACTIVE is looked at again before it is said."""
        state = self.registry.state(base)
        if state[0] != SliceState.ACTIVE:
            self._endpoints.refresh()
            state = self.registry.state(base)
        return state
