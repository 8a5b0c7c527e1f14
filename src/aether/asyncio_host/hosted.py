"""What an asyncio application holds: typed access to slices, awaited by asyncio.

Knows: a Cluster that runs in the guest, the bridge to it.
Never: how a call is made.
Holds: the cluster's end is awaited before the block ends; its failure cancels the block's task and leaves the block as
       itself, as a failed task of an asyncio.TaskGroup does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, ParamSpec, TypeVar, overload

from typing_extensions import TypeForm

from aether.asyncio_host.bridge import Bridge
from aether.asyncio_host.guest import Guest
from aether.asyncio_host.streams import read_from
from aether.cluster.embedded import Cluster
from aether.errors import NotInContract
from aether.model.ids import NodeId
from aether.model.limits import DRAIN_S
from aether.node.facts import NodeFacts
from aether.slice_api.call import PLAIN, CallOptions, with_options
from aether.slice_api.contract import contract_of
from aether.slice_api.methods import MethodSpec
from aether.slice_api.proxy import make_proxy
from aether.slice_api.streams import Unopened

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class HostedCluster:
    """An open Cluster, from asyncio. Made by `open_cluster`; used by any task of its event loop.

    cluster  the Cluster itself. What awaits is awaited through `run`: `await hosted.run(hosted.cluster.deploy, X)`
    """

    def __init__(self, cluster: Cluster, bridge: Bridge) -> None:
        self.cluster: Cluster = cluster
        self._bridge = bridge

    @property
    def node(self) -> NodeId:
        """The name of this node."""
        return self.cluster.node

    @property
    def addresses(self) -> NodeFacts:
        """Addresses of the listeners."""
        return self.cluster.addresses

    @property
    def http_url(self) -> str:
        """`http://host:port` of the slices' routes. Raises BadInput when the node was opened without `http=`."""
        return self.cluster.http_url

    @overload
    def get(self, target: type[T], /) -> T: ...
    @overload
    def get(self, target: TypeForm[T], /) -> T: ...
    def get(self, target: Any, /) -> Any:
        """A typed proxy for a slice class or a Protocol, as `Cluster.get`, whose methods are awaited by asyncio.

        Cancelling the task that awaits one, as asyncio.timeout does, cancels the call at its callee. A call that is
        too slow raises CallTooSlow, which is a TimeoutError; everything else is as with `Cluster.get`, and `Draining`
        or `OutcomeUnknown` where the cluster closes. Streams are opened by `aether.stream`, in asyncio's `async with`.
        """
        there = self.cluster.proxy(target)

        async def call(method: MethodSpec, arguments: dict[str, Any], options: CallOptions = PLAIN, /) -> Any:
            if method.inputs:
                reason = "it takes a stream, which an asyncio task cannot feed; call it from a slice"
                raise NotInContract(method.owner, method.name, reason)
            function = getattr(there, method.name)
            return await self._bridge.run(
                function if options is PLAIN else with_options(function, options), **arguments
            )

        def stream(method: MethodSpec, arguments: dict[str, Any], options: CallOptions = PLAIN, /) -> Unopened[Any]:
            function = getattr(there, method.name)
            source = (function if options is PLAIN else with_options(function, options))(**arguments)
            return Unopened(method.where, lambda ahead: read_from(self._bridge, source, ahead))

        return make_proxy(contract_of(target), call, stream)

    async def run(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """`await function(*args, **kwargs)` in the cluster's trio run: for everything that is no call of a slice.

        Context variables of this task are seen there. Cancelling the task cancels the function.
        """
        return await self._bridge.run(function, *args, **kwargs)


def _with_options_of(
    _: Callable[P, AbstractAsyncContextManager[Cluster]],
) -> Callable[
    [Callable[..., AbstractAsyncContextManager[HostedCluster]]], Callable[P, AbstractAsyncContextManager[HostedCluster]]
]:
    def same(made: Callable[..., AbstractAsyncContextManager[HostedCluster]]) -> Any:
        return made

    return same


@_with_options_of(Cluster.open)
def open_cluster(*slices: type, **options: Any) -> AbstractAsyncContextManager[HostedCluster]:
    """Open one node inside a running asyncio loop: `async with open_cluster(A, B) as hosted`; options as Cluster.open.

    The node shares thread and loop: code that blocks the loop blocks the node, and its peers may take it for dead.
    Leaving the block lets calls under way end, drains the node and waits for its end; an error or cancellation of the
    block ends it at once. A failure of the node cancels the block's task and is raised by the block. No signal handler
    is installed, and one loop hosts one cluster at a time.

    Raises what `Cluster.open` raises, and BadInput when this thread runs trio already.
    """
    return _open(slices, options)


@asynccontextmanager
async def _open(slices: Sequence[type], options: dict[str, Any]) -> AsyncGenerator[HostedCluster]:
    opening = Cluster.open(*slices, **options)
    opened: asyncio.Future[tuple[HostedCluster, Bridge]] = asyncio.get_running_loop().create_future()

    async def main() -> None:
        async with opening as cluster:
            bridge = Bridge(cluster.node)
            await bridge.serve(DRAIN_S, lambda: opened.set_result((HostedCluster(cluster, bridge), bridge)))

    guest = Guest(main)
    guest.start()
    either: list[asyncio.Future[Any]] = [opened, guest.done]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        guest.cancel()
        await guest.ended()
        raise
    if not opened.done():
        raise guest.failed()
    hosted, bridge = opened.result()
    try:
        with _cancelled_by(guest):
            yield hosted
    except BaseException:
        guest.cancel()
        await guest.ended()
        raise
    bridge.close()
    await guest.ended()
    if guest.failure is not None:
        raise guest.failure


@contextmanager
def _cancelled_by(guest: Guest) -> Generator[None]:
    """Cancel the task of the block when the guest ends before it; the guest's failure then leaves the block."""
    task = asyncio.current_task()
    assert task is not None, "whatever awaits runs in a task"
    ended: list[object] = []

    def cancel(_: object) -> None:
        ended.append(task.cancel())

    guest.done.add_done_callback(cancel)
    try:
        yield
    except asyncio.CancelledError:
        if ended and task.uncancel() == 0:
            raise guest.failed() from None
        raise
    finally:
        guest.done.remove_done_callback(cancel)
