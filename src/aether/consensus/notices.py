"""News of the commit index, held back for a moment: the next entries to the same follower mostly tell as much.

Knows: which messages only tell the commit index, which tell it beside something else.
Never: when to let them go (the service does), whether they arrive: the next heartbeat repeats them.
Holds: at most one for each follower, the newest; none for one where somebody waits for an entry that is not committed.
"""

from __future__ import annotations

from aether.consensus.messages import AppendEntries, Heartbeat, Message
from aether.model.ids import LogIndex, NodeId


class CommitNotices:
    """Between the core's messages and the transport."""

    def __init__(self) -> None:
        self._held: dict[NodeId, Heartbeat] = {}
        self._awaited: set[NodeId] = set()

    def awaited_by(self, follower: NodeId) -> None:
        """It asked for an entry, and its caller wakes when it hears that this is committed."""
        self._awaited.add(follower)

    def await_nothing(self) -> None:
        """This node leads no more: others tell what is committed, to nodes that may be gone from here."""
        self._awaited.clear()

    def __bool__(self) -> bool:
        return bool(self._held)

    def holds_back(self, to: NodeId, message: Message, last_index: LogIndex) -> bool:
        """Whether `message` may wait for `take`. One that carries entries makes those held for `to` needless.

        last_index  of the log: once it is committed, nothing is awaited any more
        """
        if type(message) is Heartbeat and not message.round:
            if to in self._awaited:
                if message.commit_index >= last_index:
                    self._awaited.discard(to)
                self._held.pop(to, None)
                return False
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
