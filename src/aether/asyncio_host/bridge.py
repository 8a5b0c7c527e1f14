"""One crossing: an asyncio task awaits what a trio task does.

Knows: both kinds of cancellation, what each exception becomes on the other side.
Never: what is called.
Holds: a call ends on both sides: cancelled here, it is cancelled there, and the task here waits until it has ended
       there (once: a second cancellation goes on at once, and the call ends by itself). Every task there belongs to the
       bridge's nursery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio

from aether.errors import Draining, OutcomeUnknown
from aether.model.ids import NodeId

T = TypeVar("T")


class CallTooSlow(trio.TooSlowError, TimeoutError):
    """A call's own deadline passed, in the words of both worlds: a trio.TooSlowError, and asyncio's TimeoutError."""


class Bridge:
    """Crossings into one trio run; `serve` is its side there. `node` is named in errors."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self._nursery: trio.Nursery | None = None
        self._closing = trio.Event()

    async def serve(self, drain_s: float, opened: Callable[[], object]) -> None:
        """Run the trio side of crossings until `close`; then let those under way end, within `drain_s`."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            opened()
            try:
                await self._closing.wait()
            finally:
                self._nursery = None
            nursery.cancel_scope.deadline = trio.current_time() + drain_s

    def close(self) -> None:
        """Take no further crossings."""
        self._closing.set()

    async def run(self, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """`await function(*args, **kwargs)` in trio, with this task's context variables.

        Raises what it raises (trio.TooSlowError as CallTooSlow); Draining when the cluster is closed, OutcomeUnknown
        when it closed or failed meanwhile.
        """
        value: T = await self.begin(function, *args, **kwargs).here()
        return value

    def begin(self, function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Crossing:
        """As `run`, for a caller that does more than wait: it must end the crossing. Raises Draining."""
        if self._nursery is None:
            raise Draining(self._node)
        crossing = Crossing(self._node, lambda: function(*args, **kwargs))
        self._nursery.start_soon(crossing.there, name=function)
        return crossing


class Crossing:
    """One call on its way: a trio task that runs it, a future that tells its `result`."""

    def __init__(self, node: NodeId, function: Callable[[], Awaitable[Any]]) -> None:
        self._node = node
        self._function = function
        self._scope = trio.CancelScope()
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._over: asyncio.Future[None] | None = None
        self._ended = False

    async def there(self) -> None:
        """The trio side. Never raises an Exception: a call's error is its caller's, not the cluster's."""
        try:
            with self._scope:
                self._tell(self.result.set_result, await self._function())
        except Exception as error:  # noqa: BLE001 - raised on the other side
            self._tell(self.result.set_exception, crossed(error))
        finally:  # cancelled from here, or by the end of the cluster
            lost = OutcomeUnknown(f"the cluster (node {self._node}) was closed while the call ran")
            self._tell(self.result.set_exception, lost)
            self._ended = True
            if self._over is not None and not self._over.done():
                self._over.set_result(None)

    def _tell(self, how: Callable[[Any], None], what: object) -> None:
        if not self.result.done():
            how(what)

    async def here(self) -> Any:
        """The asyncio side."""
        try:
            return await self.result
        except asyncio.CancelledError:
            await self._cancel()
            raise

    async def cancelled(self) -> None:
        """End it, if it runs, and wait for its end; what came of it is nobody's business any more."""
        await self._cancel()
        if not self.result.cancelled():
            self.result.exception()

    async def _cancel(self) -> None:
        if not self._ended:
            self._over = self.result.get_loop().create_future()
            self._scope.cancel()
            await self._over


def crossed(error: Exception) -> Exception:
    """`error` as it is raised on asyncio's side."""
    if not isinstance(error, trio.TooSlowError):
        return error
    slow = CallTooSlow(*error.args)
    for note in getattr(error, "__notes__", ()):
        slow.add_note(note)
    slow.__cause__ = error
    return slow
