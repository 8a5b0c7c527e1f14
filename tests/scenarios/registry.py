"""All scenarios by name: bodies register themselves, the two harnesses and the table of docs/design/validation.md read.

A body is a coroutine function that takes a `World`; its docstring says what it proves.
"""

from __future__ import annotations

import enum
import importlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
from tests.scenarios.world import World

Body = Callable[[World], Awaitable[None]]

COUNTS: Final = {
    "Bootstrap": 4,
    "Chaos": 5,
    "ClusterFormation": 4,
    "Controller": 7,
    "GracefulShutdown": 4,
    "ManagementApi": 19,
    "Metrics": 6,
    "NetworkPartition": 4,
    "NodeFailure": 6,
    "RollingUpdate": 6,
    "SliceDeployment": 6,
    "SliceInvocation": 9,
}
"""How many scenarios each class of the original suite has: eighty in all."""

MODULES = (
    "bootstrap",
    "chaos",
    "cluster_formation",
    "controller",
    "graceful_shutdown",
    "management_api",
    "metrics",
    "network_partition",
    "node_failure",
    "rolling_update",
    "slice_deployment",
    "slice_invocation",
)
"""One for each class of the original."""

ORDINARY: frozenset[str] = frozenset(
    {
        "Bootstrap.node_restart_recovers_state",
        "Bootstrap.rolling_restart_maintains_availability",
        "Chaos.leader_kill_spree_cluster_survives",
        "ClusterFormation.cluster_metrics_available_after_formation",
        "ClusterFormation.cluster_nodes_visible_to_all_members",
        "ClusterFormation.three_node_cluster_forms_quorum_and_elects_leader",
        "Controller.controller_config_persists_across_requests",
        "Controller.controller_evaluate_triggers_immediately",
        "Controller.controller_survives_leader_failure",
        "GracefulShutdown.leader_shutdown_new_leader_elected",
        "GracefulShutdown.node_shutdown_cluster_remains_functional",
        "GracefulShutdown.shutdown_during_deployment_handled_gracefully",
        "ManagementApi.invocation_metrics_tracks_calls_per_method",
        "ManagementApi.nodes_lists_all_cluster_members",
        "ManagementApi.slices_status_returns_detailed_health",
        "ManagementApi.thresholds_set_and_get_persisted",
        "Metrics.metrics_snapshot_received_by_all_nodes",
        "Metrics.prometheus_metrics_available_on_all_nodes",
        "NetworkPartition.majority_partition_continues_operating",
        "NetworkPartition.partition_healing_cluster_reconverges",
        "NodeFailure.leader_failure_new_leader_elected",
        "NodeFailure.node_recovery_rejoins_cluster",
        "RollingUpdate.rolling_update_maintains_request_continuity",
        "RollingUpdate.rolling_update_rollback_restores_old_version",
        "SliceDeployment.blueprint_apply_deploys_multiple_slices",
        "SliceDeployment.deploy_slice_multiple_instances_distributed_across_nodes",
        "SliceDeployment.deploy_slice_survives_node_failure",
        "SliceDeployment.scale_slice_adjusts_instance_count",
        "SliceInvocation.invoke_after_slice_undeploy_returns_not_found",
        "SliceInvocation.multiple_nodes_all_can_handle_requests",
    }
)
"""Those that every run of the tests does on processes; `nox -s e2e` does all."""


class Network(enum.Enum):
    """What may happen to the ways between nodes. CUT: really cut by the kernel where that is allowed"""

    SOUND = "sound"
    CUT = "cut"
    DELAY = "delay"


@attrs.frozen
class Scenario:
    """One scenario.

    name      `Bootstrap.node_restart_rejoins_cluster`: the original's class without E2ETest, its method in snake_case
    nodes     of the cluster; `started` says whether they run, and are ready, when the body begins
    within_s  after which the harness gives up: of the world's clock
    network   what the body does to the ways between nodes
    settings  `--set name=value` of every node
    """

    name: str
    body: Body
    nodes: int
    started: bool
    within_s: float
    network: Network
    settings: tuple[tuple[str, str], ...]

    @property
    def proves(self) -> str:
        return " ".join((inspect.getdoc(self.body) or "").split())

    @property
    def ordinary(self) -> bool:
        return self.name in ORDINARY


SCENARIOS: dict[str, Scenario] = {}
"""Filled by `all_scenarios`."""


def scenario(
    *,
    nodes: int = 3,
    started: bool = True,
    within_s: float = 180.0,
    network: Network = Network.SOUND,
    settings: tuple[tuple[str, str], ...] = (),
) -> Callable[[Body], Body]:
    """Registers a body of one of MODULES."""

    def register(body: Body) -> Body:
        kind = body.__module__.rpartition(".")[2].title().replace("_", "")
        name = f"{kind}.{body.__name__}"
        assert name not in SCENARIOS or SCENARIOS[name].body.__module__ == body.__module__, f"{name} is there already"
        assert inspect.getdoc(body), f"{name} does not say what it proves"
        SCENARIOS[name] = Scenario(name, body, nodes, started, within_s, network, settings)
        return body

    return register


def all_scenarios() -> tuple[Scenario, ...]:
    """Every scenario, by class and in the order in which its module tells them."""
    for module in MODULES:
        importlib.import_module(f"tests.scenarios.{module}")
    return tuple(SCENARIOS.values())
