"""When a node saves its state and shortens its log.

Knows: how much was applied since the last snapshot, how large that was.
Never: taking or saving one.
Holds: saving costs at most about as many bytes as the log that it replaces, however large the state grows; the log
       grows to no more bytes than the state or the limits ask for, however few entries hold them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aether.consensus.entry import Entry
from aether.consensus.values import StoredSnapshot
from aether.model.ids import LogIndex
from aether.model.limits import LOG_BYTES_BETWEEN_SNAPSHOTS, LOG_BYTES_BETWEEN_SNAPSHOTS_MAX

_NONE: Final = LogIndex(0)


class SnapshotPlan:
    """Counts what is applied. entries_between: the least distance of two snapshots."""

    def __init__(self, entries_between: int) -> None:
        self._entries_between = entries_between
        self._index = _NONE
        self._bytes = 0
        self._applied_bytes = 0
        self.applied_index: LogIndex = _NONE

    def applied(self, entries: Sequence[Entry]) -> None:
        """The state machine has applied `entries`."""
        self.applied_index = entries[-1].index
        self._applied_bytes += sum([len(entry.payload) for entry in entries])

    def is_due(self) -> bool:
        """Whether to take one now: enough entries or bytes, and for a large state enough bytes in any case."""
        if self._applied_bytes < min(self._bytes, LOG_BYTES_BETWEEN_SNAPSHOTS_MAX):
            return False
        many = self.applied_index - self._index >= self._entries_between
        return many or self._applied_bytes >= LOG_BYTES_BETWEEN_SNAPSHOTS

    def begun(self) -> None:
        """The state of now is being saved; when that fails for want of space, the next is due as after a success."""
        self._index, self._applied_bytes = self.applied_index, 0

    def weighed(self, snapshot: StoredSnapshot) -> None:
        """How large the state is shows when it is encoded."""
        self._bytes = snapshot.total_bytes

    def restored(self, snapshot: StoredSnapshot) -> None:
        """The state machine was restored from `snapshot`."""
        self.applied_index = snapshot.meta.index
        self.begun()
        self.weighed(snapshot)
