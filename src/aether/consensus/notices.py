"""News of the commit index, held back for a moment: the next entries to the same follower mostly tell as much.

Knows: which messages only tell the commit index, which tell it beside something else.
Never: when to let them go (the service does), whether they arrive: the next heartbeat repeats them.
Holds: at most one for each follower, the newest.
"""

from __future__ import annotations

from aether.consensus.messages import AppendEntries, Heartbeat, Message
from aether.model.ids import NodeId


class CommitNotices:
    """Between the core's messages and the transport."""

    def __init__(self) -> None:
        self._held: dict[NodeId, Heartbeat] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def holds_back(self, to: NodeId, message: Message) -> bool:
        """Whether `message` may wait for `take`. One that carries entries makes those held for `to` needless."""
        if type(message) is Heartbeat and not message.round:
            self._held[to] = message
            return True
        if type(message) is AppendEntries:
            self._held.pop(to, None)
        return False

    def take(self) -> list[tuple[NodeId, Heartbeat]]:
        """What nothing else has told meanwhile."""
        taken = list(self._held.items())
        self._held.clear()
        return taken
