"""The two deployment managers as small Protocols, and the hosting they drive.

Knows: what assembly needs to run a manager, and what a node manager needs from the room that hosts instances.
Never: how they decide or wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from aether.model.artifact import Artifact
from aether.model.ids import InstanceId
from aether.model.rows import DesiredRow, InstanceRow

if TYPE_CHECKING:
    import trio


class ClusterManager(Protocol):
    """Turns desired rows into orders. Runs on every node; acts only on the leader."""

    async def run(self, *, task_status: trio.TaskStatus[None] = ...) -> NoReturn:
        """Serve until cancelled. `started()` once it watches the store."""
        ...

    def members_changed(self) -> None:
        """The set of live members may have changed: look again now. Never blocks."""
        ...


def manager_name(manager: ClusterManager) -> str:
    """How a cluster manager calls itself: its `name`, else that of its class."""
    name = getattr(manager, "name", "")
    return name if isinstance(name, str) and name else type(manager).__name__


class NodeManager(Protocol):
    """Carries out the orders for the instances of its own node."""

    async def run(self, *, task_status: trio.TaskStatus[None] = ...) -> NoReturn:
        """Serve until cancelled. `started()` once it watches the store."""
        ...

    def instance_crashed(self, instance: InstanceId, error: BaseException) -> None:
        """Hosting reports that a running instance failed by itself. Never blocks."""
        ...

    def instance_waits(self, instance: InstanceId, reason: str) -> None:
        """Hosting reports what a starting instance waits for ("" = nothing any more). Never blocks."""
        ...


NOT_RUNNING: Final = "running instance"
"""`kind` of the NotFound that `deactivate` raises for an instance that does not run here."""


class InstanceHost(Protocol):
    """What a node manager needs from hosting. A method raises what went wrong; cancellation undoes a half-done step."""

    async def load(self, artifact: Artifact) -> None: ...

    async def activate(self, row: InstanceRow, desired: DesiredRow) -> None: ...

    async def deactivate(self, instance: InstanceId) -> None: ...

    async def unload(self, instance: InstanceId) -> None: ...
