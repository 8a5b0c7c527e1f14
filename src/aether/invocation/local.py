"""What calls need from the room that runs instances.

Knows: the two Protocols at the seam to hosting.
Never: how an instance is built, started or stopped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aether.invocation.reply import Abandoned, Done, Failed, Faulted, Form, NotStarted
from aether.model.ids import InstanceId

if TYPE_CHECKING:
    import trio

    from aether.invocation.streaming import InputStream, ServedSink
    from aether.slice_api.described import AnyMethod

Ran: TypeAlias = Done | Faulted | Failed | NotStarted | Abandoned | None
"""What came of serving one call; None when its scope was cancelled."""
RanAtOnce: TypeAlias = Done | Faulted | Failed | None
"""What came of a call that was served before anything else ran; None when nothing was done."""


class Around(Protocol):
    """What a call needs beside its method: a key that is kept, an acceptance that is sent.

    It is asked when a slot is taken and the arguments fit, in place of the method, and runs that by `run`, or does not.
    Exceptions of the method are outcomes of `run` already; trio.TooSlowError and cancellation propagate.
    method  None where the class is not loaded in this process
    """

    async def __call__(self, method: AnyMethod | None, run: Callable[[], Awaitable[Ran]], /) -> Ran: ...


class LocalInstance(Protocol):
    """A running instance of this node."""

    @property
    def name(self) -> str:
        """The contract's name, as in `PlaceOrder`."""
        ...

    async def serve(
        self, method: str, payload: object, form: Form, scope: trio.CancelScope, around: Around | None = None
    ) -> Ran:
        """Run one call in the current task, inside `scope`, which carries the deadline and is entered here.

        None when `scope` was cancelled: by its deadline, by whoever made it, or by the instance when its drain is over.
        Abandoned when the process that it lived in died. Every exception of the method becomes an outcome, but
        trio.TooSlowError and cancellation from outside propagate. `around` carries out the call when its turn has come.
        """
        ...

    def awaits_nothing(self, method: str) -> bool:
        """Whether `serve_at_once` may serve `method`."""
        return False

    def serve_at_once(self, method: str, payload: object, form: Form, began: float) -> RanAtOnce:
        """Run one call, which `began` just now, before this returns; None = nothing was done, and `serve` has to do it.

        For methods that await nothing, and compute briefly: they cannot be cancelled, so they need neither a task nor
        a scope. Otherwise as `serve`.
        """
        return None

    async def serve_stream(
        self,
        method: str,
        payload: object,
        form: Form,
        scope: trio.CancelScope,
        sink: ServedSink,
        inputs: Mapping[str, InputStream],
    ) -> Ran:
        """Run one stream, or a method that takes some, in the current task, as `serve` does.

        sink.opened() comes once nothing stands between the method and its first line, then one sink.put for each item,
        as plain data (Form.HTTP: as JSON text). Done carries None for a stream, the encoded result for another method.
        inputs  by parameter, as plain items; the instance decodes them
        """
        ...


class LocalHost(Protocol):
    """Finds running instances of this node."""

    def find(self, instance: InstanceId) -> LocalInstance | None: ...


class NoHost:
    """A node that hosts nothing: a client, or a test of the caller's side."""

    def find(self, instance: InstanceId) -> LocalInstance | None:
        return None
