"""What the store asks of its neighbours, as Protocols.

Knows: the few members of consensus that proposing and reading need.
Never: who provides them (aether.consensus.service.ConsensusService, or a fake in a test).
"""

from __future__ import annotations

from typing import Any, Protocol

from aether.consensus.values import Role
from aether.model.ids import NodeId


class Status(Protocol):
    """Consensus at one moment, frozen."""

    @property
    def role(self) -> Role: ...
    @property
    def term(self) -> int: ...
    @property
    def leader(self) -> NodeId | None: ...
    @property
    def voters(self) -> tuple[NodeId, ...]: ...
    @property
    def reachable(self) -> int:
        """Voters connected with this node, itself included."""
        ...


class Consensus(Protocol):
    """Who orders the log."""

    def propose(self, payload: bytes, *, asker: NodeId | None = None) -> None:
        """Ask for an entry, for a caller on the node `asker`; None = on this one.

        Raises NotLeader, Overloaded: no entry. The store sees it when it commits, or never.
        """
        ...

    async def read_index(self) -> int:
        """An index that covers all that was committed anywhere before the call. Raises Draining, Overloaded."""
        ...

    @property
    def status(self) -> Status: ...

    async def status_changed(self, since: Any) -> Status:
        """The status, once it differs from `since`."""
        ...
