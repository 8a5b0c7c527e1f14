"""The whole state of the store as a stream of bytes, and back, a piece at a time.

Knows: the versioned msgpack layout of rows and sessions.
Never: usage of maps or watches: they follow from the rows; files, the present state.
Holds: the same state gives the same bytes; no piece is much longer than SNAPSHOT_PIECE_BYTES and one row; what is read
       back has the order and the types that were written.

Layout, msgpack arrays one after the other:
    [FORMAT, revision, log time in ms, state hash, number of rows, number of sessions]
    [key, value, version] for each row, sorted by key
    [id, node, incarnation, number, used ms, answered below, number of answers] for each session, the longest idle
    first, and behind each its answers, [sequence, outcome], sorted
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import attrs

from aether.errors import BadInput
from aether.kv.commands import OpenSession
from aether.kv.outcome import decode_outcome, encode_outcome
from aether.kv.packing import UNPACK_ERRORS, Packer, Unpacker
from aether.kv.sessions import Session
from aether.model.ids import Incarnation, NodeId
from aether.model.limits import SNAPSHOT_PIECE_BYTES

FORMAT: Final = 2
HASH_BYTES: Final = 16
RowPlain = tuple[str, bytes, int]


@attrs.frozen
class State:
    """keys in order; rows[key] is (value, version)."""

    revision: int
    log_time_ms: int
    hash: bytes
    keys: Sequence[str]
    rows: Mapping[str, tuple[bytes, int]]
    sessions: Sequence[Session]


@attrs.frozen
class Head:
    """What a stream begins with."""

    revision: int
    log_time_ms: int
    hash: bytes


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_pieces(state: State) -> Iterator[bytes]:
    """The pieces of a whole state."""
    rows = ((key, *state.rows[key]) for key in state.keys)
    return encode_stream(Head(state.revision, state.log_time_ms, state.hash), len(state.keys), rows, state.sessions)


def encode_stream(
    head: Head, rows_count: int, rows: Iterable[RowPlain], sessions: Sequence[Session]
) -> Iterator[bytes]:
    """Each piece is made when it is asked for: in a thread it keeps no other thread waiting longer than one takes.

    rows  so many, in the order of their keys
    """
    packer = Packer()
    for plain in _plain(head, rows_count, rows, sessions):
        packer.pack(plain)
        if packer.getbuffer().nbytes >= SNAPSHOT_PIECE_BYTES:
            yield packer.bytes()
            packer.reset()
    if packer.getbuffer().nbytes:
        yield packer.bytes()


def _plain(
    head: Head, rows_count: int, rows: Iterable[RowPlain], sessions: Sequence[Session]
) -> Iterator[tuple[object, ...]]:
    yield FORMAT, head.revision, head.log_time_ms, head.hash, rows_count, len(sessions)
    yield from rows
    for session in sessions:
        answered = (session.used_ms, session.answered_below, len(session.answers))
        yield (session.id, *session.opened_by, *answered)
        for sequence, outcome in sorted(session.answers.items()):
            yield sequence, encode_outcome(outcome)


# --- reading ----------------------------------------------------------------------------------------------------------


class StateReader:
    """Takes a stream apart as it comes. head  once that has come; sessions  as far as they have."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.sessions: list[Session] = []
        self._unpacker = Unpacker()
        self._fed = 0
        self._rows_left = 0
        self._sessions_left = 0
        self._answers_left = 0
        self._last_key = ""

    def take(self, piece: bytes) -> Iterator[RowPlain]:
        """The rows that `piece` completes; read them all before the next piece. Raises BadInput."""
        try:
            self._fed += len(piece)
            self._unpacker.feed(piece)
            if self.head is None:
                self._take_head()
            for key, value, version in islice(self._unpacker, self._rows_left):
                if type(key) is not str or type(value) is not bytes or type(version) is not int or version < 0:
                    raise TypeError(f"the row {str(key)[:80]!r} is malformed")
                if key <= self._last_key:
                    raise ValueError(f"the row {key[:80]!r} follows {self._last_key[:80]!r}")
                self._last_key = key
                self._rows_left -= 1
                yield key, value, version
            if not self._rows_left:
                self._take_sessions()
        except UNPACK_ERRORS as error:
            raise _malformed(str(error)) from error

    def finish(self, index: int | None = None) -> Head:
        """All has come. Raises BadInput when it has not, when there is more, or when it is not the state at `index`."""
        incomplete = self._rows_left or self._sessions_left or self._answers_left
        if self.head is None or incomplete:
            raise _malformed(f"it ends after {self._fed} bytes, before all rows and sessions have come")
        if self._unpacker.tell() != self._fed:
            raise _malformed(f"{self._fed - self._unpacker.tell()} bytes follow its end")
        if index is not None and self.head.revision != index:
            raise _malformed(f"it is of revision {self.head.revision}, not of {index}")
        return self.head

    def _take_head(self) -> None:
        plain: Any = next(self._unpacker, None)
        if plain is None:
            return
        if not _is_head(plain):
            raise ValueError(f"not format {FORMAT} of a store snapshot: restore it with the aether that wrote it")
        _, revision, log_time_ms, state_hash, rows, sessions = plain
        if type(state_hash) is not bytes or len(state_hash) != HASH_BYTES:
            raise ValueError("its state hash is malformed")
        self._rows_left, self._sessions_left = _count(rows), _count(sessions)
        self.head = Head(_count(revision), _count(log_time_ms), state_hash)

    def _take_sessions(self) -> None:
        while self._answers_left or self._sessions_left:
            plain: Any = next(self._unpacker, None)
            if plain is None:
                return
            if self._answers_left:
                sequence, outcome = plain
                self.sessions[-1].answers[_count(sequence)] = decode_outcome(outcome)
                self._answers_left -= 1
            else:
                session, self._answers_left = _session(*plain)
                self.sessions.append(session)
                self._sessions_left -= 1


def decode_state(pieces: Iterable[bytes]) -> State:
    """All of a stream at once, for tools. Raises BadInput for another format or a malformed one."""
    reader = StateReader()
    small = (
        piece[at : at + SNAPSHOT_PIECE_BYTES] for piece in pieces for at in range(0, len(piece), SNAPSHOT_PIECE_BYTES)
    )
    rows = {key: (value, version) for piece in small for key, value, version in reader.take(piece)}
    head = reader.finish()
    return State(head.revision, head.log_time_ms, head.hash, list(rows), rows, reader.sessions)


def _malformed(why: str) -> BadInput:
    return BadInput("malformed store snapshot", (why,))


def _is_head(plain: object) -> bool:
    return type(plain) is tuple and plain[:1] == (FORMAT,)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _session(
    session: object,
    node: object,
    incarnation: object,
    number: object,
    used_ms: object,
    answered_below: object,
    answers: object,
) -> tuple[Session, int]:
    """A session without its answers, and how many follow."""
    if type(node) is not str or type(incarnation) is not str:
        raise TypeError(f"the owner of session {session!r} is malformed")
    opened_by = OpenSession(NodeId(node), Incarnation(incarnation), _count(number))
    return Session(_count(session), opened_by, _count(used_ms), _count(answered_below)), _count(answers)
