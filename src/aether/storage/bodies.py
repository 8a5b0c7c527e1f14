"""Bodies of records and snapshots: consensus values ↔ msgpack bytes.

Knows: HardState, Entry, SnapshotMeta, and their one encoding on disk.
Never: framing, checksums, files.
Holds: one StorageWrite is one body, so a write is wholly there or not at all.

    WRITE            [[term, vote, commit] or nil, [index, term] of a received snapshot or nil, [encoded entry, ...]]
    SNAPSHOT_SAVED   [index, term]
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import attrs
import msgpack

from aether.consensus.entry import Entry, decode_entry, encode_entry
from aether.consensus.membership import configuration_of, plain_configuration
from aether.consensus.values import HardState, SnapshotMeta, StorageWrite
from aether.errors import BadInput, StorageCorrupt
from aether.model.ids import LogIndex
from aether.storage.record import Record, RecordKind

Position: TypeAlias = tuple[int, int]
"""Index and term of the last entry that a snapshot covers."""

_UNREADABLE: Final = (ValueError, TypeError, LookupError)  # msgpack's own errors are ValueErrors


@attrs.frozen
class Step:
    """What one record changes. restart: a received snapshot replaced the log up to there; saved: a local one exists."""

    hard_state: HardState | None = None
    restart: Position | None = None
    entries: tuple[Entry, ...] = ()
    saved: Position | None = None


def step_of(write: StorageWrite) -> Step:
    meta = write.snapshot.meta if write.snapshot is not None else None
    return Step(write.hard_state, (meta.index, meta.term) if meta is not None else None, write.entries)


def encode_step(step: Step) -> bytes:
    """The body of a WRITE record. Entries bring their encoding along: nothing of them is packed again."""
    state = step.hard_state
    plain = (state.term, state.vote, state.commit) if state is not None else None
    return _pack((plain, step.restart, [entry.encoded or encode_entry(entry) for entry in step.entries]))


def encode_position(position: Position) -> bytes:
    return _pack(position)


def decode_write(body: bytes) -> Step:
    """Raises BadInput when a body with a right checksum has another shape: a newer format, or a bug."""
    try:
        state, restart, entries = _unpack(body)
        return Step(
            None if state is None else HardState(*state),
            None if restart is None else _position(restart),
            tuple([decode_entry(raw) for raw in entries]),
        )
    except _UNREADABLE as error:
        raise BadInput("undecodable record", (repr(error),)) from error


def decode_saved(body: bytes) -> Step:
    """Raises BadInput."""
    try:
        return Step(saved=_position(_unpack(body)))
    except _UNREADABLE as error:
        raise BadInput("undecodable record", (repr(error),)) from error


def step_in(record: Record, place: str) -> Step:
    """What `record` says, which stands at `place`. Raises StorageCorrupt."""
    try:
        return decode_write(record.body) if record.kind is RecordKind.WRITE else decode_saved(record.body)
    except BadInput as error:
        raise StorageCorrupt(place, record.end, str(error)) from error


def _position(plain: Any) -> Position:
    index, term = plain
    if type(index) is not int or type(term) is not int:
        raise TypeError(f"index {index!r}, term {term!r}")
    return index, term


def encode_meta(meta: SnapshotMeta) -> bytes:
    return _pack((meta.index, meta.term, plain_configuration(meta.configuration), meta.configuration_index))


def decode_meta(raw: bytes) -> SnapshotMeta:
    """Raises BadInput."""
    try:
        index, term, configuration, configuration_index = _unpack(raw)
        return SnapshotMeta(index, term, configuration_of(configuration), LogIndex(configuration_index))
    except _UNREADABLE as error:
        raise BadInput("undecodable snapshot", (repr(error),)) from error


def _pack(plain: object) -> bytes:
    return msgpack.packb(plain)


def _unpack(raw: bytes) -> Any:
    return msgpack.unpackb(raw)
