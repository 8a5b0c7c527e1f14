"""The instances of this node.

Knows: loaded contracts, running instances, what a starting one waits for.
Never: which instances should run here, or for how long a start may last (deployment cancels it).
Holds: an instance is found from its activation to the end of its drain, and never before its lifespan started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, Protocol

import trio

from aether.invocation.local import LocalInstance
from aether.invocation.service import Invoker
from aether.kv.service import KvService
from aether.model.artifact import Artifact
from aether.model.ids import InstanceId, NodeId
from aether.model.limits import DRAIN_S
from aether.model.rows import DesiredRow, InstanceRow
from aether.work import Work


class Classes(Protocol):
    """Where classes come from: the part of a slice store that hosting needs."""

    def available(self) -> tuple[Artifact, ...]: ...
    async def load(self, artifact: Artifact) -> type: ...


class Reports(Protocol):
    """Who hears of instances between orders: the node's deployment manager."""

    def instance_crashed(self, instance: InstanceId, error: BaseException) -> None: ...
    def instance_waits(self, instance: InstanceId, reason: str) -> None: ...


class Hosting:
    """Starts, finds and stops instances. Implements LocalHost for the Invoker and InstanceHost for deployment."""

    def __init__(
        self,
        node: NodeId,
        classes: Classes,
        kv: KvService,
        work: Work,
        *,
        config: Mapping[str, str],
        drain_s: float = DRAIN_S,
    ) -> None:
        raise NotImplementedError

    async def run(
        self, invoker: Invoker, reports: Reports, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Own every instance until cancelled. `invoker` carries the calls of injected proxies."""
        raise NotImplementedError

    def find(self, instance: InstanceId) -> LocalInstance | None:
        raise NotImplementedError

    async def load(self, artifact: Artifact) -> None:
        """Make the class of `artifact` ready. Raises whatever loading it raised."""
        raise NotImplementedError

    async def activate(self, row: InstanceRow, desired: DesiredRow) -> None:
        """Construct and start one instance; returns once it serves. Raises what its start raised."""
        raise NotImplementedError

    async def deactivate(self, instance: InstanceId) -> None:
        """Refuse new calls, let running ones finish for drain_s, cancel the rest, leave the lifespan."""
        raise NotImplementedError

    async def unload(self, instance: InstanceId) -> None:
        """Forget the instance, and its class when it was the last one."""
        raise NotImplementedError
