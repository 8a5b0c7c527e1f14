"""Sending one log to some members: entries as far as each one's window allows, or a snapshot.

Knows: the progress of every receiver, the log, how far of it may be sent.
Never: quorums, commitment, who leads: a leader replicates all that it has, a relay what is committed.
Holds: a message is at most `append_bytes_max` of entries, or one entry; what is on its way to one receiver is bounded
       in messages and in bytes; what was lost is found by heartbeats.
Paper: Raft 5.3; dissertation 10.2.1 (pipelining).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from aether.consensus.config import RaftConfig
from aether.consensus.log import RaftLog
from aether.consensus.messages import AppendEntries, AppendReply, Heartbeat, SnapshotReply
from aether.consensus.outbox import Sending
from aether.consensus.progress import FollowerState, Mode, Progress
from aether.consensus.snapshot_sending import SnapshotSending
from aether.consensus.values import StoredSnapshot
from aether.model.ids import LogIndex, NodeId, Term


class Replication:
    """progress  of each receiver; now  in ticks, moved by the owner; last  the last entry that may be sent."""

    def __init__(
        self,
        config: RaftConfig,
        term: Term,
        log: RaftLog,
        sending: Sending,
        snapshot: StoredSnapshot | None,
        last: Callable[[], LogIndex],
    ) -> None:
        self._receivers: dict[NodeId, Progress] = {}
        self.progress: Mapping[NodeId, Progress] = self._receivers
        self.snapshots: SnapshotSending = SnapshotSending(config, term, log, sending, snapshot)
        self.now: int = 0
        self._direct: list[tuple[NodeId, Progress]] | None = None
        self._config = config
        self._term = term
        self._log = log
        self._sending = sending
        self._last = last

    def follow(self, peers: Iterable[NodeId], start: LogIndex) -> None:
        """Send to `peers` as well, and find out from `start` downwards what they hold."""
        for peer in peers:
            self._receivers[peer] = Progress(start, active_tick=self.now, able_tick=self.now)
        self._direct = None

    def forget(self, peer: NodeId) -> None:
        """Send it nothing more."""
        del self._receivers[peer]
        self._direct = None

    def serve(self, peer: NodeId, *, by_relay: bool) -> None:
        """Another node sends `peer` the log from now on, or does so no more."""
        progress = self.progress[peer]
        if progress.is_relayed is not by_relay:
            progress.serve(by_relay=by_relay)
            self._direct = None

    @property
    def direct(self) -> list[tuple[NodeId, Progress]]:
        """Those whom nobody else sends the log: few, however many there are. It is looked over at every turn."""
        if self._direct is None:
            self._direct = [(peer, progress) for peer, progress in self.progress.items() if not progress.is_relayed]
        return self._direct

    def is_heard(self, peer: NodeId, ticks: int) -> bool:
        """Whether `peer` answered within the last `ticks`."""
        return self.progress[peer].active_tick >= self.now - ticks

    def is_able(self, peer: NodeId, ticks: int) -> bool:
        """Whether `peer`, within the last `ticks`, gave an answer that its disk does not contradict."""
        return self.progress[peer].able_tick >= self.now - ticks

    # --- sending ------------------------------------------------------------------------------------------------------

    def send_all(self) -> None:
        """To each receiver everything that its window allows; a new commit index to those who get nothing else."""
        for peer, progress in self.direct:
            if progress.mode is not Mode.SNAPSHOT:
                self._send_entries(peer, progress)
            if progress.transfer is not None:
                self.snapshots.send_chunks(peer, progress)
            commit = min(self._log.committed, progress.match)
            if progress.commit_sent < commit:
                progress.commit_sent = commit
                self._sending.send(peer, Heartbeat(term=self._term, commit_index=commit))

    def _send_entries(self, peer: NodeId, progress: Progress) -> None:
        while progress.can_append(self._config.inflight_appends_max):
            if progress.mode is Mode.REPLICATE and (progress.next > self._last() or self._is_full(progress)):
                return
            if self._log.term_at(LogIndex(progress.next - 1)) is None:
                self._send_snapshot(progress)
                return
            self._append_to(peer, progress, progress.next, self._config.append_bytes_max)

    def _is_full(self, progress: Progress) -> bool:
        """Whether as many bytes are on their way as may be: what lies between match and next of one that replicates."""
        on_their_way = self._log.bytes_after(progress.match) - self._log.bytes_after(LogIndex(progress.next - 1))
        return on_their_way >= self._config.inflight_bytes_max

    def _send_snapshot(self, progress: Progress) -> None:
        if self.snapshots.newest is not None:
            self.snapshots.start(progress, self.now)
        else:
            progress.probe_sent = True  # a relay has none; the leader will take this receiver over

    def _append_to(self, peer: NodeId, progress: Progress, start: LogIndex, bytes_max: int) -> None:
        """Send entries from `start`; none at all when `bytes_max` is 0."""
        prev_index = LogIndex(start - 1)
        prev_term = self._log.term_at(prev_index)
        assert prev_term is not None, f"entry {prev_index} is compacted"
        entries = self._log.slice(start, bytes_max, self._last()) if bytes_max else ()
        last = LogIndex(prev_index + len(entries))
        self._sending.send(
            peer,
            AppendEntries(
                term=self._term,
                prev_index=prev_index,
                prev_term=prev_term,
                commit_index=self._log.committed,
                entries=entries,
            ),
        )
        progress.commit_sent = LogIndex(max(progress.commit_sent, min(self._log.committed, last)))
        progress.sent(last, len(entries))

    def heartbeat(self, peer: NodeId, number: int) -> None:
        """Say that the leader lives, and which of the receiver's entries are committed."""
        commit = min(self._log.committed, self.progress[peer].match)
        self._sending.send(peer, Heartbeat(term=self._term, commit_index=commit, round=number))

    # --- answers ------------------------------------------------------------------------------------------------------

    def append_reply(self, peer: NodeId, reply: AppendReply) -> bool:
        """A receiver stored entries, or does not hold the one before them. True when its match index moved."""
        progress = self.progress[peer]
        if reply.rejected:
            hint, _ = self._log.last_at_most(reply.hint_index, reply.hint_term)
            progress.rejected(reply.match_index, LogIndex(min(hint, reply.hint_index) + 1))
            return False
        if reply.match_index > self._log.last_index:
            return False  # more than was ever sent: not believed, or one broken peer would end the leader
        moved = progress.accepted(reply.match_index)
        if not moved and reply.match_index < progress.match:
            return False
        if progress.mode is Mode.PROBE or (progress.transfer is not None and self.snapshots.is_caught_up(progress)):
            progress.become_replicate()
        return moved

    def heard_heartbeat(self, peer: NodeId) -> None:
        """A receiver answered a heartbeat: send again what may have been lost."""
        progress = self.progress[peer]
        if progress.is_relayed or not progress.heard_heartbeat(self._last()):
            return
        start = progress.next if progress.transfer is None else LogIndex(progress.transfer.snapshot.meta.index + 1)
        if self._log.term_at(LogIndex(start - 1)) is not None:
            self._append_to(peer, progress, start, 0)
        else:
            progress.become_probe(progress.next)

    def snapshot_reply(self, peer: NodeId, reply: SnapshotReply) -> None:
        """A receiver says which byte of the snapshot it wants next."""
        self.snapshots.reply(self.progress[peer], reply)

    def peer_closed(self, peer: NodeId) -> None:
        """What was on its way to `peer` is lost."""
        progress = self.progress.get(peer)
        if progress is None:
            return
        if progress.transfer is not None:
            progress.transfer.resend()
        elif progress.mode is Mode.REPLICATE:
            progress.become_probe(LogIndex(progress.match + 1))

    # --- snapshots ----------------------------------------------------------------------------------------------------

    @property
    def snapshots_travelling(self) -> frozenset[StoredSnapshot]:
        """Those on their way."""
        return frozenset([p.transfer.snapshot for p in self.progress.values() if p.transfer is not None])

    def snapshot_gone(self, snapshot: StoredSnapshot) -> None:
        """Storage does not hold it any more: its receivers start anew, with the newest."""
        for progress in self.progress.values():
            if progress.transfer is not None and progress.transfer.snapshot == snapshot:
                progress.become_probe(progress.next)
                progress.probe_sent = True  # not before its next heartbeat, or this would go round and round

    # --- looking ------------------------------------------------------------------------------------------------------

    def wanted_from(self) -> LogIndex:
        """From here the log should stay for those who receive a snapshot."""
        return self.snapshots.wanted_from(self.progress.values(), self.now)

    def describe(self) -> dict[NodeId, FollowerState]:
        """Every receiver."""
        now = self.now
        return {peer: FollowerState(p.mode, p.held, p.next, now - p.active_tick) for peer, p in self.progress.items()}

    def check(self) -> None:
        """Assert the invariants of every receiver's progress."""
        relayed = [peer for peer, progress in self.progress.items() if progress.is_relayed]
        assert {*relayed, *dict(self.direct)} == self.progress.keys(), "somebody is served by nobody"
        assert not any(progress.is_relayed for _, progress in self.direct), "somebody is served twice"
        for progress in self.progress.values():
            progress.check(self._log.last_index, self._config.inflight_appends_max)
