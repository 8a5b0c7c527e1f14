"""What the core persists and hands out: entries, hard state, snapshots, and the Ready that carries them.

Knows: the shapes shared by core, storage and service.
Never: how any of it is computed or written.
Holds: an entry is encoded once, and these bytes serve the WAL and every peer.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from aether.consensus.entry import Entry
from aether.consensus.messages import Message
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
class Snapshot:
    """`data` is opaque: the state machine's own encoding."""

    meta: SnapshotMeta
    data: bytes


@attrs.frozen
class StoredSnapshot:
    """A snapshot by name: its bytes lie in a storage, or are on their way to one, and never in the core.

    total_bytes, checksum  of the state machine's own encoding; CRC-32. All four equal: the same snapshot, wherever it is
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


@attrs.frozen
class Persisted:
    """Everything a store held at start. entries follow the snapshot without a gap, or begin before its end."""

    hard_state: HardState = HardState()
    snapshot: Snapshot | None = None
    entries: tuple[Entry, ...] = ()


@attrs.frozen
class StorageWrite:
    """One atomic step for the WAL: truncate to before the first entry (when it overlaps), append, note the hard state.

    number      strictly increasing; `core.persisted(number)` acknowledges this write and all before it
    snapshot    received from the leader: save it *before* the WAL record that refers to it; the log restarts behind it
    """

    number: int
    hard_state: HardState | None = None
    entries: tuple[Entry, ...] = ()
    snapshot: Snapshot | None = None


@attrs.frozen
class Ready:
    """One turn of the core, to be carried out by its driver in any order: every promise is already safe to send.

    write        to be made durable, then acknowledged by `core.persisted(write.number)`; None when nothing is new
    messages     send now. Acks and votes that depend on a write stay inside the core until that write is acknowledged
    restore      a received snapshot that is durable now: hand it to the state machine before `committed`
    committed    apply in order; then tell `core.applied(index)`
    reads        (context, index): a read is linearizable once `index` is applied here
    reads_refused  contexts that nobody confirmed, because leadership was lost: ask again
    """

    write: StorageWrite | None = None
    messages: tuple[tuple[NodeId, Message], ...] = ()
    restore: Snapshot | None = None
    committed: tuple[Entry, ...] = ()
    reads: tuple[tuple[int, LogIndex], ...] = ()
    reads_refused: tuple[int, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether nothing in here, carried out, gives the core something more to hand out."""
        return not (self.committed or self.restore or self.reads or self.reads_refused)


class SnapshotReader(Protocol):
    """One stored snapshot, held fast: it can be read to its end even when newer ones have replaced it."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Blocks. Raises StorageFailed."""
        ...

    def close(self) -> None: ...


class LogStorage(Protocol):
    """Bytes that survive. All methods block; the service calls them through the Work seam, one at a time."""

    def load(self) -> Persisted:
        """What is there. Raises StorageCorrupt when a complete record is wrong; a torn tail is cut off."""
        ...

    def write(self, writes: Sequence[StorageWrite]) -> None:
        """Append all, durably, with one sync. Raises StorageFailed; then the store is never written again."""
        ...

    def save_snapshot(self, snapshot: Snapshot, keep_from: LogIndex) -> None:
        """Make a local snapshot durable; then drop entries before `keep_from` and all but the newest two snapshots."""
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

    def freeze(self) -> Callable[[], bytes]:
        """The whole state after the last applied entry, held fast at little cost.

        The function encodes it: called once, in another thread, while further entries are applied.
        """
        ...

    def restore(self, data: bytes, index: LogIndex) -> None:
        """Replace the whole state by what was frozen at `index`."""
        ...
