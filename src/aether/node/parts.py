"""The parts of a node that others are built from.

Knows: their types.
Never: how they are built (node/node.py), what for.
"""

from __future__ import annotations

from typing import Protocol

from aether.consensus.service import ConsensusService
from aether.hosting.host import Hosting
from aether.invocation.service import Invoker
from aether.kv.service import KvService
from aether.model.ids import Incarnation
from aether.node.config import NodeConfig
from aether.node.facts import NodeFacts
from aether.transport.values import Transport


class Parts(Protocol):
    """Node has them, once its store and its calls are built."""

    config: NodeConfig
    incarnation: Incarnation
    facts: NodeFacts
    transport: Transport
    consensus: ConsensusService
    kv: KvService
    invoker: Invoker
    hosting: Hosting
