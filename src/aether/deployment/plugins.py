"""Replaceable parts of a node by name: our own, and those that other distributions register.

Knows: the entry point groups, the names that are built in.
Never: what a plugin does.
Holds: a built-in name cannot be taken over by another distribution.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from typing import Any, Final

from aether.deployment.placement import STRATEGIES
from aether.errors import BadInput, NotFound

CLUSTER_MANAGERS: Final = "aether.cluster_managers"
NODE_MANAGERS: Final = "aether.node_managers"
PLACEMENT: Final = "aether.placement"
SLICE_STORES: Final = "aether.slice_stores"
BALANCERS: Final = "aether.balancers"
CONTROLLERS: Final = "aether.controllers"

BUILT_IN: Final[Mapping[str, Mapping[str, str]]] = {
    CLUSTER_MANAGERS: {
        "reconcile": "aether.deployment.cluster_manager:ClusterDeploymentManager",
        "manual": "aether.deployment.manual_manager:ManualDeploymentManager",
    },
    NODE_MANAGERS: {
        "host": "aether.deployment.node_manager:NodeDeploymentManager",
        "idle": "aether.deployment.idle_manager:IdleNodeManager",
    },
    PLACEMENT: {name: f"aether.deployment.placement:{name}" for name in STRATEGIES},
    SLICE_STORES: {  # called with the registered classes
        "classes": "aether.deployment.slice_store:ClassStore",
    },
    BALANCERS: {  # called without arguments
        "power_of_two": "aether.invocation.balance:PowerOfTwo",
        "least_busy": "aether.invocation.balance:LeastBusy",
    },
    CONTROLLERS: {  # called without arguments
        "decision_tree": "aether.control.decision_tree:DecisionTreeController",
    },
}


def load_plugin(group: str, name: str) -> Any:
    """The object that `name` stands for in `group`. Loading may import code of an installed distribution.

    Raises NotFound with the known names, BadInput when two distributions claim the name, or what the import raised.
    """
    built_in = BUILT_IN.get(group, {})
    if name in built_in:
        module, _, attribute = built_in[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    found = importlib.metadata.entry_points(group=group)
    matching = {point.value: point for point in found if point.name == name}
    if len(matching) > 1:
        raise BadInput(f"several distributions register {name!r} as {group}", tuple(sorted(matching)))
    for point in matching.values():
        return point.load()
    known = sorted({*built_in, *(point.name for point in found)})
    raise NotFound(group, name, f"known names: {', '.join(known)}")
