"""What calls need from the room that runs instances.

Knows: the two Protocols at the seam to hosting.
Never: how an instance is built, started or stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aether.invocation.reply import Abandoned, Done, Failed, Faulted, Form, NotStarted, TimedOut
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
    ) -> Done | Faulted | Failed | NotStarted | TimedOut | Abandoned:
        """Run one call in the current task, inside `scope`, which the caller has entered and which carries the deadline.

        The instance may cancel `scope` when its drain is over; the call then counts as Abandoned. Every exception
        of the method becomes an outcome; only cancellation propagates.
        """
        ...


class LocalHost(Protocol):
    """Finds running instances of this node."""

    def find(self, instance: InstanceId) -> LocalInstance | None: ...


class NoHost:
    """A node that hosts nothing: a client, or a test of the caller's side."""

    def find(self, instance: InstanceId) -> LocalInstance | None:
        return None
