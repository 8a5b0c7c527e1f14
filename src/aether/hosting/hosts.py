"""Where instances live, as one small Protocol with an implementation for each kind of place.

Knows: what an instance is made from, what the node asks of one wherever it lives, which place the options name.
Never: processes, sockets; each implementation has modules of its own.
Holds: a living instance is served, drained and reported alike, so that callers cannot tell the place by what they see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

import attrs

from aether.errors import BadInput, ContractError
from aether.hosting.chain import Chain
from aether.hosting.failures import Place
from aether.hosting.fencing import Fence
from aether.hosting.given import Given, constructed
from aether.hosting.instance import RunningInstance
from aether.invocation.local import LocalInstance
from aether.invocation.service import Invoker
from aether.model.hosts import IN_PROCESS, WORKER, host_problem
from aether.model.ids import InstanceId
from aether.model.rows import DesiredRow
from aether.slice_api.contract import Contract
from aether.slice_api.described import AnySlice, DescribedSlice
from aether.slice_api.maps import MapBackend
from aether.slice_api.middleware import Middleware
from aether.work import Work

if TYPE_CHECKING:
    import trio


@attrs.frozen(kw_only=True)
class Birth:
    """What one instance is made from.

    given      values of its fields, resolved; place  how its failures name it
    drain_s    how long running calls may last after it was told to stop
    memory_mb  most MiB that it may use, where the place can tell; None = no limit
    fence      of a singleton
    """

    instance: InstanceId
    contract: AnySlice
    given: Mapping[str, Given]
    place: Place
    drain_s: float
    memory_mb: int | None = None
    fence: Fence | None = None


Backends: TypeAlias = Callable[[str, Fence | None], MapBackend]
"""The bytes of a map, by its name, for whoever writes with that fence."""


class Living(LocalInstance, Protocol):
    """An instance from its start to its end. RunningInstance is the one in this process."""

    async def live(self, *, task_status: trio.TaskStatus[None] = ...) -> None:
        """Start, serve until `stop`, drain, stop. `started()` once it serves.

        Raises what user code raised, or how its place failed. Cancelled, it ends at once, and nothing is left of it.
        """
        ...

    def stop(self) -> None:
        """Refuse new calls and begin to drain. Never blocks; `live` returns when all is over."""
        ...

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        ...

    @property
    def running(self) -> int:
        """Calls and streams that run now."""
        ...

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        ...


class Host(Protocol):
    """A kind of place."""

    def instance(self, birth: Birth) -> Living:
        """An instance that has not started. Raises what constructing it raised, or ContractError: it cannot live here.

        Nothing is left behind when `live` of what is returned is never called.
        """
        ...


@attrs.frozen
class InProcess:
    """Instances in this process, in the loop of the node: co-located calls are awaits."""

    invoker: Invoker
    backend: Backends
    work: Work
    middleware: tuple[Middleware, ...] = ()

    def instance(self, birth: Birth) -> RunningInstance:
        """As Host promises."""
        contract, place = birth.contract, birth.place
        if not isinstance(contract, Contract):
            raise ContractError(
                f"{contract.artifact} is not imported here, so it lives in a worker process, and this node starts none"
            )
        arguments = constructed(contract, birth.given, self.invoker, lambda name: self.backend(name, birth.fence))
        chain = Chain(self.middleware, contract, place) if self.middleware else None
        return RunningInstance(contract.cls(**arguments), contract, place, self.work, birth.drain_s, chain)


@attrs.frozen
class Wanted:
    """Which place, and what of it, an instance shall have."""

    host: str
    memory_mb: int | None


def wanted_place(contract: AnySlice, desired: DesiredRow) -> Wanted:
    """The desired row's word, else the slice's own. Raises BadInput when the two together make no sense.

    What is not imported here lives in a worker process, whatever the row says of the version that is.
    """
    options = contract.options
    host = desired.host or options.host
    if isinstance(contract, DescribedSlice) and host == IN_PROCESS:
        host = WORKER
    memory_mb = desired.memory_mb
    if memory_mb is None and host == options.host:
        memory_mb = options.memory_mb  # a slice that was moved to another place leaves its own limit behind
    problem = host_problem(host, memory_mb)
    if problem:
        raise BadInput(f"host={host!r}, memory_mb={memory_mb!r}", (problem,))
    return Wanted(host, memory_mb)
