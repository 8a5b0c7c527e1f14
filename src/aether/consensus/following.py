"""Obeying a leader: what a follower does with entries, heartbeats and snapshots of its term.

Knows: the log, the promises that its answers are, a snapshot that is arriving or not yet durable.
Never: terms and roles (the core has checked them), elections, what a leader does.
Holds: an answer waits until everything that it rests on is durable; what is committed here is never compared again;
       one snapshot at a time is with the state machine, and the next waits for it.
Paper: Raft 5.3 (AppendEntries receiver), 7 (InstallSnapshot receiver).
"""

from __future__ import annotations

from aether.consensus.log import RaftLog
from aether.consensus.messages import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    SnapshotChunk,
    SnapshotReply,
)
from aether.consensus.outbox import Outbox
from aether.consensus.snapshot_inbox import SnapshotInbox
from aether.consensus.values import PartialSnapshot, SnapshotPart, StoredSnapshot
from aether.model.ids import LogIndex, NodeId


class Following:
    """unwritten  a received snapshot that no write holds yet; restoring  the one that the machine is given now."""

    def __init__(
        self,
        log: RaftLog,
        outbox: Outbox,
        snapshot_bytes_max: int,
        partial: PartialSnapshot | None,
        *,
        leases: bool = False,
    ) -> None:
        self.unwritten: StoredSnapshot | None = None
        self.restoring: StoredSnapshot | None = None
        self._log = log
        self._outbox = outbox
        self._leases = leases
        self._inbox = SnapshotInbox(snapshot_bytes_max, partial)
        self._inbox.forget_until(log.committed)
        self._restore: tuple[int, StoredSnapshot] | None = None  # received; with the write that makes it durable

    # --- messages of the leader ---------------------------------------------------------------------------------------

    def append(self, leader: NodeId, message: AppendEntries) -> None:
        """Store entries that fit, or say where the logs may agree."""
        prev_index, prev_term, entries = message.prev_index, message.prev_term, message.entries
        last = LogIndex(prev_index + len(entries))
        committed = self._log.committed
        if prev_index < committed:
            # What is committed here is the same there, and may be compacted: only the rest is compared.
            entries = entries[committed - prev_index :]
            prev_index, prev_term = committed, self._log.term_at(committed) or prev_term
            last = max(last, prev_index)
        if not self._log.merge(prev_index, prev_term, entries):
            hint_index, hint_term = self._log.last_at_most(prev_index, prev_term)
            refusal = AppendReply(
                term=message.term,
                match_index=prev_index,
                rejected=True,
                hint_index=hint_index,
                hint_term=hint_term,
            )
            self._outbox.promise(leader, refusal)
            return
        self._log.commit_to(min(message.commit_index, last))
        self._inbox.forget_until(self._log.committed)
        self._outbox.promise(leader, AppendReply(term=message.term, match_index=last))

    def heartbeat(self, leader: NodeId, message: Heartbeat, *, hangs: bool) -> None:
        """Learn the commit index. The leader only names what this node acknowledged: if it is gone, stop loudly.

        hangs  the disk does not answer: this node lives, and is of no use to a leader who needs a majority
        """
        self._log.commit_to(message.commit_index)
        if message.round:
            number, leases = (0, False) if hangs else (message.round, self._leases)
            self._outbox.send(leader, HeartbeatReply(term=message.term, round=number, leases=leases))

    def chunk(self, leader: NodeId, message: SnapshotChunk) -> None:
        """Take a piece of a snapshot; install that when it is whole and new. The answer names what storage holds."""
        log = self._log
        if message.index > log.committed and log.matches(message.index, message.snapshot_term):
            log.commit_to(message.index)  # the entries are here already
        if message.index <= log.committed:
            self._inbox.forget_until(log.committed)
            self._outbox.promise(leader, AppendReply(term=message.term, match_index=log.committed))
            return
        if self.unwritten is not None:
            return  # a newer one right behind: not before storage has this one; it is sent again
        progress = self._inbox.add(message)
        if isinstance(progress, StoredSnapshot):
            log.restart_behind(progress.meta)
            self.unwritten = progress
            self._outbox.promise(leader, AppendReply(term=message.term, match_index=message.index))
        elif progress is not None:
            gap = self._inbox.found_gap(message)
            reply = SnapshotReply(term=message.term, index=message.index, offset=progress, gap=gap)
            self._outbox.promise(leader, reply)

    # --- a received snapshot on its way to the state machine ----------------------------------------------------------

    @property
    def has_unwritten(self) -> bool:
        """Whether something of a snapshot has arrived that no write holds yet."""
        return self.unwritten is not None or self._inbox.has_parts

    def hand_to_storage(self, number: int) -> tuple[StoredSnapshot | None, tuple[SnapshotPart, ...]]:
        """The received snapshot that belongs into write `number`, and what arrived of one."""
        snapshot, self.unwritten = self.unwritten, None
        if snapshot is not None:
            self._restore = (number, snapshot)
        return snapshot, self._inbox.take_parts()

    def hand_to_restore(self, durable_number: int) -> StoredSnapshot | None:
        """The received snapshot, once its write is durable; not when a newer one has arrived meanwhile."""
        if self._restore is None or self.unwritten is not None or self._restore[0] > durable_number:
            return None
        if self.restoring is not None:
            return None
        self.restoring, self._restore = self._restore[1], None
        return self.restoring

    def restored(self, snapshot: StoredSnapshot) -> None:
        """The state machine holds `snapshot`. When a newer one has arrived meanwhile, the log waits for that."""
        assert snapshot == self.restoring, f"the snapshot at {snapshot.meta.index} was never handed out, or twice"
        self.restoring = None
        self._log.restored(snapshot.meta.index)
