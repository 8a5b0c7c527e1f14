"""What the core persists and hands out: entries, hard state, snapshots by name, and the Ready that carries them.

Knows: the shapes shared by core, storage and service.
Never: how any of it is computed or written.
Holds: an entry is encoded once, and these bytes serve the WAL and every peer; of a snapshot only one piece at a time
       is in memory.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import attrs

from aether.consensus.entry import Entry
from aether.consensus.messages import Message, SnapshotChunk
from aether.consensus.quorum import Configuration
from aether.model.ids import LogIndex, NodeId, Term


class Role(enum.StrEnum):
    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


@attrs.frozen
class HardState:
    """What must be durable before any promise: the term and the vote in it; the commit index only helps restart."""

    term: Term = attrs.field(default=Term(0))
    vote: NodeId | None = None
    commit: LogIndex = attrs.field(default=LogIndex(0))


@attrs.frozen
class SnapshotMeta:
    """A snapshot covers the log up to `index`, included, whose entry had `term`.

    configuration  in force there; configuration_index  of its entry, 0 for the founding one
    """

    index: LogIndex
    term: Term
    configuration: Configuration
    configuration_index: LogIndex = attrs.field(default=LogIndex(0))


@attrs.frozen
class StoredSnapshot:
    """A snapshot by name: its bytes lie in a storage, or are on their way to one, and never in the core.

    total_bytes, checksum  of the state machine's own encoding; CRC-32. Equal: the same snapshot, wherever it lies
    """

    meta: SnapshotMeta
    total_bytes: int
    checksum: int


@attrs.frozen
class PartialSnapshot:
    """The first `arrived_bytes` of a snapshot that is on its way to this node; their own checksum."""

    snapshot: StoredSnapshot
    arrived_bytes: int
    checksum: int


@attrs.frozen
class SnapshotPart:
    """Bytes `offset` .. of a snapshot that arrives. From offset 0 a new one begins, in place of any before it."""

    snapshot: StoredSnapshot
    offset: int
    chunk: bytes


@attrs.frozen
class ChunkOrder:
    """What a leader wants sent: `length` bytes of `snapshot` from `offset`, to `to`. The driver reads them."""

    to: NodeId
    term: Term
    snapshot: StoredSnapshot
    offset: int
    length: int

    def fill(self, chunk: bytes) -> SnapshotChunk:
        """The message, with the bytes that were read."""
        meta = self.snapshot.meta
        return SnapshotChunk(
            term=self.term,
            index=meta.index,
            snapshot_term=meta.term,
            configuration=meta.configuration,
            configuration_index=meta.configuration_index,
            offset=self.offset,
            total_bytes=self.snapshot.total_bytes,
            checksum=self.snapshot.checksum,
            chunk=chunk,
        )


@attrs.frozen
class Persisted:
    """Everything a store held at start. entries follow the snapshot without a gap, or begin before its end.

    partial  a snapshot that was arriving: its transfer goes on where it stopped, if the leader offers the same again
    """

    hard_state: HardState = HardState()
    snapshot: StoredSnapshot | None = None
    entries: tuple[Entry, ...] = ()
    partial: PartialSnapshot | None = None


@attrs.frozen
class StorageWrite:
    """One atomic step for the WAL: truncate to before the first entry (when it overlaps), append, note the hard state.

    number      strictly increasing; `core.persisted(number)` acknowledges this write and all before it
    parts       of an arriving snapshot, to be appended in order before the rest; they need no sync of their own
    snapshot    all of it has arrived: make it durable *before* the WAL record that refers to it; the log restarts
                behind it
    """

    number: int
    hard_state: HardState | None = None
    entries: tuple[Entry, ...] = ()
    snapshot: StoredSnapshot | None = None
    parts: tuple[SnapshotPart, ...] = ()


@attrs.frozen
class Ready:
    """One turn of the core, to be carried out by its driver in any order: every promise is already safe to send.

    write        to be made durable, then acknowledged by `core.persisted(write.number)`; None when nothing is new
    messages     send now. Acks and votes that depend on a write stay inside the core until that write is acknowledged
    chunks       of snapshots for followers: read each from storage and send it; one that is lost is ordered again
    restore      a received snapshot that is durable now: give it to the state machine, then tell `core.restored`.
                 Nothing is committed to the machine meanwhile; everything else goes on
    committed    apply in order; then tell `core.applied(index)`
    reads        (context, index): a read is linearizable once `index` is applied here
    reads_refused  contexts that nobody confirmed, because leadership was lost: ask again
    """

    write: StorageWrite | None = None
    messages: tuple[tuple[NodeId, Message], ...] = ()
    chunks: tuple[ChunkOrder, ...] = ()
    restore: StoredSnapshot | None = None
    committed: tuple[Entry, ...] = ()
    reads: tuple[tuple[int, LogIndex], ...] = ()
    reads_refused: tuple[int, ...] = ()

    def is_final(self, commit_index: LogIndex) -> bool:
        """Whether nothing in here, carried out, gives the core something more to hand out. commit_index  of the core"""
        if self.restore or self.reads or self.reads_refused:
            return False
        return not self.committed or self.committed[-1].index >= commit_index


class SnapshotReader(Protocol):
    """One stored snapshot, held fast: it can be read to its end even when newer ones have replaced it."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Blocks. Raises StorageFailed."""
        ...

    def close(self) -> None: ...


class LogStorage(Protocol):
    """Bytes that survive. All methods block; the service calls them through the Work seam.

    `save_snapshot` and readers may run beside `write`.
    """

    def load(self) -> Persisted:
        """What is there. Raises StorageCorrupt when a complete record is wrong; a torn tail is cut off."""
        ...

    def write(self, writes: Sequence[StorageWrite]) -> None:
        """Append all, durably, with one sync. Raises StorageFailed; then the store is never written again."""
        ...

    def save_snapshot(self, meta: SnapshotMeta, pieces: Iterable[bytes], keep_from: LogIndex) -> StoredSnapshot | None:
        """Make a local snapshot of `pieces` durable, one piece in memory at a time.

        Then drop entries before `keep_from` and all but the newest two snapshots. None: a newer one is here already.
        """
        ...

    def open_snapshot(self, snapshot: StoredSnapshot) -> SnapshotReader | None:
        """For reading it piece by piece; None when it is not here (any more)."""
        ...

    def close(self) -> None: ...


class PreparingStorage(LogStorage, Protocol):
    """A LogStorage that can get space ready beside its writes."""

    @property
    def wants_preparation(self) -> bool:
        """Whether `prepare` would spare a later write from preallocating space. Cheap; does not block."""
        ...

    def prepare(self) -> None:
        """Preallocate. Blocks; may run beside `write`."""
        ...


class Restoration(Protocol):
    """A new state that grows beside the present one, which stays readable until `finish`."""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes, cut anywhere. Synchronous: small pieces keep the loop free. Raises BadInput."""
        ...

    def finish(self) -> None:
        """Put the new state in place of the present one. Raises BadInput when it is incomplete; nothing changed."""
        ...


class StateMachine(Protocol):
    """What committed entries drive. Synchronous and deterministic; called by the consensus task alone."""

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply in order. Every kind of entry is passed, the empty ones too, so that indexes have no gap."""
        ...

    def freeze(self) -> Iterator[bytes]:
        """The whole state after the last applied entry, held fast at little cost.

        The pieces are made as they are asked for, in another thread, while further entries are applied; each is of
        bounded size. The same state gives the same bytes on every node.
        """
        ...

    def restoration(self, index: LogIndex) -> Restoration:
        """Begin to replace the whole state by what was frozen at `index`. No entries come before it is finished."""
        ...
