"""What the leader believes about one follower's log, and what may be sent to it now.

Knows: match and next index, the three states, what is on its way and unacknowledged.
Never: the log, messages, other followers.
Holds: next > match; match never falls in one leadership; at most `window` appends are unacknowledged.
Paper: dissertation 10.2.1 (pipelining); Raft 5.3 (nextIndex, matchIndex), 7 (snapshots).
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import attrs

from aether.consensus.values import StoredSnapshot
from aether.model.ids import LogIndex, NodeId

_PATIENCE_MAX: Final = 64  # heartbeats


class Mode(enum.StrEnum):
    """PROBE: one append until it is answered, to find where the logs agree. REPLICATE: many at once, optimistically.
    SNAPSHOT: the log lacks what the follower needs; chunks go instead of entries."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class FollowerState(NamedTuple):
    """What a leader knows of one member. silent_ticks  since it was heard last."""

    mode: Mode
    match: LogIndex
    next: LogIndex
    silent_ticks: int


def heir_of(followers: Mapping[NodeId, FollowerState], among: Collection[NodeId]) -> NodeId | None:
    """Who should lead next: the longest log of those `among`, of equals the one heard last; None: there is nobody."""
    heirs = [(state.match, -state.silent_ticks, node) for node, state in followers.items() if node in among]
    return max(heirs)[2] if heirs else None


@attrs.define
class SnapshotTransfer:
    """A snapshot on its way: bytes up to `acked` have arrived, up to `sent` are sent.

    waited     heartbeats answered since something arrived; beyond resend_at, what is on its way counts as lost. A slow
               link is waited for twice as long as it took before: chunks sent again too early would fill it
    fell_to    a lower byte that it asked for since anything arrived; None when it did not
    """

    snapshot: StoredSnapshot
    acked: int = 0
    sent: int = 0
    waited: int = 0
    resend_at: int = 1
    fell_to: int | None = None

    @property
    def total_bytes(self) -> int:
        return self.snapshot.total_bytes

    @property
    def complete(self) -> bool:
        """Whether every byte has arrived."""
        return self.acked >= self.total_bytes

    def next_chunk(self, chunk_bytes: int, window: int) -> tuple[int, int] | None:
        """Offset and length of the chunk to send now; None: enough are on their way. No bytes are one chunk too."""
        in_flight = -(-(self.sent - self.acked) // chunk_bytes)
        if in_flight >= window or (self.sent >= self.total_bytes and self.sent > 0):
            return None
        offset = self.sent
        length = min(chunk_bytes, self.total_bytes - offset)
        # Past the end counts as sent, so that an empty snapshot goes out once and not for ever.
        self.sent = max(offset + length, 1)
        return offset, length

    def acknowledge(self, offset: int, *, gap: bool = False) -> None:
        """The follower wants byte `offset` next; with `gap` it has had a later one already, and not kept it.

        Less than before: it started anew, or said so long ago.

        The next heartbeat tells. Going back at once would answer each late word with a window of chunks that it has,
        whose answers come late in turn: on a network that reorders, such a storm does not end.
        """
        if offset < self.acked:
            self.fell_to = offset
            return
        self.fell_to = None
        if offset > self.acked:
            self.resend_at = max(1, min(2 * self.waited, _PATIENCE_MAX))
            self.waited = 0
        self.acked = offset
        self.sent = offset if gap else max(self.sent, offset)

    def start_anew(self) -> None:
        """The follower has nothing of it."""
        self.acked = self.sent = 0
        self.fell_to = None

    def heard_heartbeat(self) -> None:
        """Another round of heartbeats: after long enough without progress, send again what is on its way."""
        self.waited += 1
        if self.fell_to is not None:
            self.acked = self.sent = self.fell_to
            self.fell_to = None
        elif self.waited > self.resend_at:
            self.resend()
            self.resend_at = self.waited + min(self.waited, _PATIENCE_MAX)

    def resend(self) -> None:
        """What is on its way is lost: start again at the first byte that did not arrive."""
        self.sent = self.acked


@attrs.define
class Progress:
    """One follower, as its leader sees it.

    match       its log equals ours up to here, durably; next  the first entry to send
    commit_sent the commit index it was told last
    active_tick when it was heard last, in the leader's ticks; able_tick  and its disk answered
    heard_round the newest round of heartbeats that it answered
    match_before  where match stood at the last heartbeat reply
    is_relayed  another node sends it the log
    passed      what that node says it holds: where to go on, never an acknowledgement
    """

    next: LogIndex
    active_tick: int = 0
    able_tick: int = 0
    heard_round: int = 0
    match: LogIndex = attrs.field(default=LogIndex(0))
    mode: Mode = Mode.PROBE
    commit_sent: LogIndex = attrs.field(default=LogIndex(0))
    probe_sent: bool = False
    transfer: SnapshotTransfer | None = None
    match_before: LogIndex = attrs.field(default=LogIndex(-1))
    is_relayed: bool = False
    passed: LogIndex = attrs.field(default=LogIndex(0))
    in_flight: deque[LogIndex] = attrs.field(factory=deque[LogIndex])

    @property
    def held(self) -> LogIndex:
        """How far it is, as far as anybody has said. Only `match` counts where something must be durable."""
        return max(self.match, self.passed)

    def serve(self, *, by_relay: bool) -> None:
        """Another node sends it the log from now on, or does so no more."""
        if self.is_relayed and not by_relay:
            self.become_probe(LogIndex(self.held + 1))
        self.is_relayed = by_relay

    def can_append(self, window: int) -> bool:
        """Whether entries may be sent now."""
        if self.mode is Mode.REPLICATE:
            return len(self.in_flight) < window
        return self.mode is Mode.PROBE and not self.probe_sent

    def sent(self, last: LogIndex, count: int) -> None:
        """An append with `count` entries up to `last` went out."""
        if self.mode is Mode.PROBE:
            self.probe_sent = True
        elif count:
            self.next = LogIndex(last + 1)
            self.in_flight.append(last)

    def accepted(self, index: LogIndex) -> bool:
        """The follower holds everything up to `index`. True when that is news. Late and doubled ones change nothing."""
        while self.in_flight and self.in_flight[0] <= index:
            self.in_flight.popleft()
        self.next = max(self.next, LogIndex(index + 1))
        if index <= self.match:
            return False
        self.match = index
        return True

    def rejected(self, prev_index: LogIndex, retry_from: LogIndex) -> bool:
        """The follower does not hold `prev_index`. False when that is old news; else probe from `retry_from`."""
        if self.transfer is not None:
            if prev_index == self.transfer.snapshot.meta.index:
                self.transfer.start_anew()  # all of it had arrived and is lost again: the follower crashed meanwhile
            return False
        if prev_index <= self.match:
            return False
        if self.mode is Mode.PROBE and prev_index != self.next - 1:
            return False
        self.become_probe(LogIndex(max(self.match + 1, min(retry_from, prev_index))))
        return True

    def become_probe(self, start: LogIndex) -> None:
        self._become(Mode.PROBE)
        self.next = LogIndex(max(start, self.match + 1))

    def become_replicate(self) -> None:
        self._become(Mode.REPLICATE)
        self.next = LogIndex(self.match + 1)

    def become_snapshot(self, snapshot: StoredSnapshot) -> None:
        self._become(Mode.SNAPSHOT)
        self.transfer = SnapshotTransfer(snapshot)

    def _become(self, mode: Mode) -> None:
        self.mode = mode
        self.probe_sent = False
        self.transfer = None
        self.in_flight.clear()

    def heard_heartbeat(self, last_index: LogIndex) -> bool:
        """A heartbeat was answered. True when an empty append should check that nothing was lost.

        In PROBE the one append may be lost: allow another. In REPLICATE nothing was acknowledged since the last
        heartbeat although something is on its way. In SNAPSHOT chunks are sent again from the first that is missing;
        when all have arrived, the word that it is installed may be lost.
        """
        self.probe_sent = False
        stalled = self.match == self.match_before and self.match < last_index
        self.match_before = self.match
        if self.transfer is not None:
            self.transfer.heard_heartbeat()
            return stalled and self.transfer.complete
        return self.mode is Mode.REPLICATE and stalled

    def check(self, last_index: LogIndex, window: int) -> None:
        """Assert the invariants."""
        assert 0 <= self.match < self.next <= last_index + 1, f"match {self.match} next {self.next} last {last_index}"
        assert len(self.in_flight) <= window, f"{len(self.in_flight)} appends in flight, {window} allowed"
        assert (self.mode is Mode.SNAPSHOT) == (self.transfer is not None), f"{self.mode} with transfer {self.transfer}"
