"""What calls need from the room that runs instances.

Knows: the two Protocols at the seam to hosting.
Never: how an instance is built, started or stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aether.invocation.reply import Abandoned, Done, Failed, Faulted, Form, NotStarted
from aether.model.ids import InstanceId

if TYPE_CHECKING:
    import trio


class LocalInstance(Protocol):
    """A running instance of this node."""

    @property
    def name(self) -> str:
        """The contract's name, as in `PlaceOrder`."""
        ...

    async def serve(
        self, method: str, payload: object, form: Form, scope: trio.CancelScope
    ) -> Done | Faulted | Failed | NotStarted | Abandoned | None:
        """Run one call in the current task, inside `scope`, which carries the deadline and is entered here.

        None when `scope` was cancelled: by its deadline, by whoever made it, or by the instance when its drain is over.
        Abandoned when the process that it lived in died. Every exception of the method becomes an outcome, but
        trio.TooSlowError and cancellation from outside propagate.
        """
        ...


class LocalHost(Protocol):
    """Finds running instances of this node."""

    def find(self, instance: InstanceId) -> LocalInstance | None: ...


class NoHost:
    """A node that hosts nothing: a client, or a test of the caller's side."""

    def find(self, instance: InstanceId) -> LocalInstance | None:
        return None
