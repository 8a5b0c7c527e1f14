"""What everything in one simulated cluster shares.

Knows: who is there.
Never: behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from aether.model.ids import NodeId
from aether.testing.simulation.atlas import Atlas
from aether.testing.simulation.faults import Faults
from aether.testing.simulation.loop import Loop
from aether.testing.simulation.network import Network
from aether.testing.simulation.node import Node
from aether.testing.simulation.schedule import Schedule


class Turn(Protocol):
    """Note an event of a node, carry out what it does there, then what the core wants; the oracle looks."""

    def __call__(
        self, node: Node, act: Callable[[], None], event: str, peer: str = "", detail: object = ""
    ) -> None: ...


@attrs.frozen(kw_only=True)
class Site:
    """core  who is healed for the liveness phase; empty before it."""

    seed: int
    faults: Faults
    loop: Loop
    schedule: Schedule
    nodes: Mapping[NodeId, Node]
    network: Network
    atlas: Atlas
    core: set[NodeId] = attrs.field(factory=set[NodeId])
