"""The replaceable parts of a node, as whoever opens it names them: an object, or a registered name.

Knows: the entry point group of each part.
Never: what a part does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs

from aether.deployment.managers import ClusterManager, NodeManager
from aether.deployment.placement import Placement
from aether.deployment.plugins import BALANCERS, CLUSTER_MANAGERS, NODE_MANAGERS, PLACEMENT, SLICE_STORES, load_plugin
from aether.deployment.slice_store import SliceStore
from aether.invocation.balance import Balancer
from aether.model.security import Verify
from aether.node.seams import Seams
from aether.slice_api.middleware import Middleware


@attrs.frozen(kw_only=True)
class Parts:
    """None = as the seams say. A name is looked up among the built-in parts and the entry points of its group.

    cluster_manager, node_manager  the class (or any callable that takes what the built-in class takes), or a name
    placement                      ranks a candidate, or a name
    slice_store                    a store, or the name of a callable that makes one of the registered classes
    balancer                       a balancer, or the name of a callable that makes one
    middleware                     around each call that the node serves, the first outermost
    verify                         says who makes a request to a route that is not public
    """

    cluster_manager: Callable[..., ClusterManager] | str | None = None
    node_manager: Callable[..., NodeManager] | str | None = None
    placement: Placement | str | None = None
    slice_store: SliceStore | str | None = None
    balancer: Balancer | str | None = None
    middleware: Sequence[Middleware] | None = None
    verify: Verify | None = None


def replaced(seams: Seams, parts: Parts, slices: Sequence[type]) -> Seams:
    """`seams` with `parts`. Raises NotFound with the known names, BadInput, ContractError, or what an import raised."""
    changes: dict[str, Any] = {
        "cluster_manager": _loaded(CLUSTER_MANAGERS, parts.cluster_manager),
        "node_manager": _loaded(NODE_MANAGERS, parts.node_manager),
        "placement": _loaded(PLACEMENT, parts.placement),
        "slice_store": parts.slice_store,
        "balancer": parts.balancer,
        "verify": parts.verify,
        "middleware": None if parts.middleware is None else tuple(parts.middleware),
    }
    if isinstance(parts.balancer, str):
        changes["balancer"] = load_plugin(BALANCERS, parts.balancer)()
    if isinstance(parts.slice_store, str):
        make = cast("Callable[[Sequence[type]], SliceStore]", load_plugin(SLICE_STORES, parts.slice_store))
        changes["slice_store"] = make(slices)
    return attrs.evolve(seams, **{name: part for name, part in changes.items() if part is not None})


def _loaded(group: str, part: object) -> object:
    return load_plugin(group, part) if isinstance(part, str) else part
