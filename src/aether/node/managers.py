"""The managers of one node, built and started in the order of their dependencies.

Knows: constructors; which manager needs which part.
Never: decisions of any manager.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

import trio

from aether.deployment.apply_manager import ApplyManager
from aether.deployment.cluster_manager import ClusterDeploymentManager
from aether.deployment.duty_manager import DutyManager
from aether.deployment.duty_operator import DutyOperator
from aether.deployment.health_source import HealthSource
from aether.deployment.managers import ClusterManager, NodeManager, manager_name
from aether.deployment.node_manager import NodeDeploymentManager
from aether.deployment.operator import Operator
from aether.deployment.placement_operator import PlacementOperator
from aether.deployment.rollout_manager import RolloutManager
from aether.deployment.rollout_operator import RolloutOperator
from aether.deployment.sleep_manager import SleepManager
from aether.deployment.slice_store import SliceStore, route_row
from aether.hosting.host import Hosting
from aether.kv.service import KvService
from aether.management.actors import Actors
from aether.management.view import Members, Trees
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.rows import RouteRow
from aether.node.contract_publisher import ContractPublisher
from aether.node.operations import Operations
from aether.node.seams import Seams
from aether.slice_api.described import AnySlice, description_of
from aether.slice_api.description import ContractDescription


class Managers:
    """What runs on every node for the sake of deployments. `operator` carries out what people ask for.

    live       the members that answer, this node included
    known      what this process knows of an artifact without waiting
    health     how the calls of all members to each version of a slice went
    voters     of the group; gone  of members that do not answer, those whose process is known to have ended
    """

    def __init__(
        self,
        node: NodeId,
        incarnation: Incarnation,
        kv: KvService,
        hosting: Hosting,
        store: SliceStore,
        live: Callable[[], Mapping[NodeId, Incarnation]],
        seams: Seams,
        known: Callable[[Artifact], AnySlice | None],
        health: HealthSource,
        voters: Callable[[], Collection[NodeId]],
        gone: Callable[[], Collection[NodeId]],
    ) -> None:
        self._store = store
        self._known = known
        self.health: HealthSource = health
        self.rollouts: RolloutOperator = RolloutOperator(
            kv,
            live,
            wall=seams.wall,
            new_id=seams.new_id,
            health=health,
            voters=voters,
            contracts=self._description,
        )
        self._rollouts = RolloutManager(kv, live, wall=seams.wall, new_id=seams.new_id, health=health, voters=voters)
        self.operator: Operator = Operator(kv, seams.wall, self._description, seams.new_id, voters)
        self.duties: DutyOperator = DutyOperator(kv, live, voters, seams.wall)
        self._duty_manager = DutyManager(kv, wall=seams.wall)
        make_cluster_manager = seams.cluster_manager or partial(ClusterDeploymentManager, gone=gone)
        self.cluster: ClusterManager = make_cluster_manager(
            kv,
            live,
            wall=seams.wall,
            new_id=lambda: InstanceId(seams.new_id()),
            placement=seams.placement,
            voters=voters,
        )
        self.name: str = manager_name(self.cluster)
        self.placements: PlacementOperator = PlacementOperator(kv, lambda: InstanceId(seams.new_id()))
        make_node_manager = seams.node_manager or NodeDeploymentManager
        self.node: NodeManager = make_node_manager(node, incarnation, kv, hosting, self._route_row, wall=seams.wall)
        self._sleep = SleepManager(node, incarnation, kv, hosting.usage, wall=seams.wall)
        self._applies = ApplyManager(kv, self.operator.blueprints, self.rollouts.rollback)
        self._publisher = ContractPublisher(node, incarnation, kv, store)

    async def begin(self, nursery: trio.Nursery) -> None:
        """Start every manager in `nursery`; returns once each of them watches the store."""
        await nursery.start(self.cluster.run)
        await nursery.start(self._rollouts.run)
        await nursery.start(self.node.run)
        await nursery.start(self._sleep.run)
        await nursery.start(self._publisher.run)
        await nursery.start(self._duty_manager.run)
        await nursery.start(self._applies.run)

    def actors(self, members: Members, trees: Trees, operations: Operations) -> Actors:
        """Whoever carries out what the admin API is asked for. members, trees, operations  what of it runs elsewhere"""
        return Actors(
            operator=self.operator,
            members=members,
            duties=self.duties,
            trees=trees,
            blueprints=self.operator.blueprints,
            placements=self.placements,
            rollouts=self.rollouts,
            events=operations.events,
            tokens=operations.access.tokens,
            audit=operations.access.audit,
            certificates=operations.access.certificates,
            calls=operations.calls,
            traces=operations.traces,
            log_levels=operations.log_levels,
            figures=operations.figures,
            invocations=operations.call_metrics,
            controller=operations.controller.operator,
            exposition=operations.exposition,
            alerts=operations.alerting.operator,
        )

    def members_changed(self) -> None:
        """The set of live members may have changed. Never blocks."""
        self.cluster.members_changed()

    def _description(self, artifact: Artifact) -> ContractDescription | None:
        contract = self._known(artifact)
        return None if contract is None else description_of(contract)

    async def _route_row(self, artifact: Artifact) -> RouteRow:
        return await route_row(self._store, artifact)
