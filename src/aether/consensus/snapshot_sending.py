"""Snapshots for followers whose entries are compacted.

Knows: the newest snapshot, the transfers under way, how much log they still need.
Never: entries, quorums, the bytes: it orders them, and the driver reads and sends.
Holds: nothing is pushed to a silent peer; a transfer keeps its snapshot to the end, however many newer ones are taken;
       the log stays long enough for a receiver to go on with it, up to a limit.
Paper: Raft 7, figure 13.
"""

from __future__ import annotations

from collections.abc import Iterable

from aether.consensus.config import RaftConfig
from aether.consensus.log import RaftLog
from aether.consensus.messages import SnapshotReply
from aether.consensus.outbox import Sending
from aether.consensus.progress import Progress
from aether.consensus.quorum import EVERYTHING
from aether.consensus.values import ChunkOrder, StoredSnapshot
from aether.model.ids import LogIndex, NodeId, Term


class SnapshotSending:
    """newest  what a follower gets that needs one now."""

    def __init__(
        self, config: RaftConfig, term: Term, log: RaftLog, sending: Sending, newest: StoredSnapshot | None
    ) -> None:
        self.newest = newest
        self._config = config
        self._term = term
        self._log = log
        self._sending = sending

    def start(self, progress: Progress, now: int) -> None:
        """The follower of `progress` needs what the log has no more."""
        assert self.newest is not None, "entries are compacted, but there is no snapshot"
        if progress.active_tick >= now - self._config.election_ticks_max:
            progress.become_snapshot(self.newest)
        else:  # we would push megabytes into the void
            progress.probe_sent = True

    def send_chunks(self, peer: NodeId, progress: Progress) -> None:
        """As many as its window allows."""
        transfer = progress.transfer
        assert transfer is not None
        config = self._config
        while (piece := transfer.next_chunk(config.snapshot_chunk_bytes, config.snapshot_window)) is not None:
            self._sending.order(ChunkOrder(peer, self._term, transfer.snapshot, *piece))

    def reply(self, progress: Progress, reply: SnapshotReply) -> None:
        """A follower says which byte of the snapshot it wants next."""
        transfer = progress.transfer
        if (
            transfer is not None
            and reply.index == transfer.snapshot.meta.index
            and reply.offset <= transfer.total_bytes
        ):
            transfer.acknowledge(reply.offset, gap=reply.gap)

    def is_caught_up(self, progress: Progress) -> bool:
        """Whether entries can follow now: it installed the snapshot, or did not need it after all."""
        assert progress.transfer is not None
        return progress.match >= progress.transfer.snapshot.meta.index or self._log.term_at(progress.match) is not None

    def wanted_from(self, followers: Iterable[Progress], now: int) -> LogIndex:
        """From here the log should stay, if it is not too long: a snapshot travels to a follower that still lives."""
        oldest = now - self._config.election_ticks_max
        held = [p.transfer.snapshot.meta.index for p in followers if p.transfer is not None and p.active_tick >= oldest]
        if not held or self._log.bytes_after(min(held)) > self._config.held_bytes_max:
            return EVERYTHING
        return LogIndex(min(held) + 1)
