"""What the endpoints of events ask for.

Knows: the protocol.
Never: where events come from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from aether.metrics.event_log import EventLog, Selection, Wanted
from aether.metrics.events import Event, Since


class EventSource(Protocol):
    """The events of the cluster and of this node. aether.metrics.events_service.Events is one."""

    @property
    def log(self) -> EventLog: ...
    def select(self, since: Since | None, wanted: Wanted, limit: int) -> Selection: ...
    def follow(self, since: Since | None = None) -> AsyncIterator[Event]:
        """From `since` on, or from now on. Cancelling a wait loses nothing. Raises FellBehind."""
        ...
