"""What the admin API needs of whoever remembers calls, as values of its own.

Knows: the facts that it shows.
Never: how calls are remembered, how other nodes are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from aether.model.ids import NodeId


@attrs.frozen(kw_only=True)
class ShownCall:
    """One line: a call that is over. at  seconds since the epoch, by the clock of `node`; depth  of a waterfall"""

    request_id: str
    trace_id: str
    name: str
    node: NodeId
    instance: str
    at: float
    spent_s: float
    outcome: str
    running: bool = False
    depth: int = 0


@attrs.frozen(kw_only=True)
class ShownTrace:
    """All lines of one request, each below what caused it. unheard  nodes that did not say what they know"""

    lines: Sequence[ShownCall]
    unheard: Sequence[NodeId]


class TraceSource(Protocol):
    """The last calls of this node; what all nodes know of one request."""

    def recent(self, limit: int) -> Sequence[ShownCall]: ...
    async def of(self, request_id: str) -> ShownTrace:
        """Raises Overloaded when too many ask at a time."""
        ...
