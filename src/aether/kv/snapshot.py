"""The whole state of the store as bytes, and back.

Knows: the versioned msgpack layout of rows and sessions.
Never: usage of maps or watches: they follow from the rows.
Holds: encode(decode(data)) == data.

Layout: [FORMAT, revision, log time in ms, state hash, rows, sessions]; rows are [key, value, version] sorted by key;
sessions [id, node, incarnation, number, used ms, answered below, [[sequence, outcome], ...]], the longest idle first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import attrs

from aether.errors import BadInput
from aether.kv.commands import OpenSession
from aether.kv.outcome import decode_outcome, encode_outcome
from aether.kv.packing import UNPACK_ERRORS, Packer, unpack
from aether.kv.sessions import Session
from aether.model.ids import Incarnation, NodeId

FORMAT: Final = 1
HASH_BYTES: Final = 16


@attrs.frozen
class State:
    """keys in order; rows[key] is (value, version)."""

    revision: int
    log_time_ms: int
    hash: bytes
    keys: Sequence[str]
    rows: Mapping[str, tuple[bytes, int]]
    sessions: Sequence[Session]


def encode_state(state: State) -> bytes:
    """Row by row: in a thread it keeps no other thread waiting, and gives the garbage collector nothing to look at."""
    packer = Packer()
    packer.pack_array_header(6)
    for value in (FORMAT, state.revision, state.log_time_ms, state.hash):
        packer.pack(value)
    packer.pack_array_header(len(state.keys))
    rows = state.rows
    for key in state.keys:
        packer.pack((key, *rows[key]))
    packer.pack([_plain_session(session) for session in state.sessions])
    return cast("bytes", packer.bytes())


def decode_state(data: bytes) -> State:
    """Raises BadInput for another format or a malformed one."""
    try:
        plain = cast("tuple[Any, ...]", unpack(data))
        if type(plain) is not tuple or not plain or plain[0] != FORMAT:
            raise ValueError(f"not format {FORMAT} of a store snapshot: restore it with the aether that wrote it")
        _, revision, log_time_ms, state_hash, rows, sessions = plain
        if type(state_hash) is not bytes or len(state_hash) != HASH_BYTES:
            raise ValueError("its state hash is malformed")
        return State(
            _count(revision),
            _count(log_time_ms),
            state_hash,
            [row[0] for row in rows],
            dict([_row(*row) for row in rows]),
            [_session(*session) for session in sessions],
        )
    except UNPACK_ERRORS as error:
        raise BadInput("malformed store snapshot", (str(error),)) from error


def _plain_session(session: Session) -> tuple[object, ...]:
    answers = [(sequence, encode_outcome(outcome)) for sequence, outcome in sorted(session.answers.items())]
    return (session.id, *session.opened_by, session.used_ms, session.answered_below, answers)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _row(key: object, value: object, version: object) -> tuple[str, tuple[bytes, int]]:
    if type(key) is not str or type(value) is not bytes:
        raise TypeError(f"the row {str(key)[:80]!r} is malformed")
    return key, (value, _count(version))


def _session(
    session: object,
    node: object,
    incarnation: object,
    number: object,
    used_ms: object,
    answered_below: object,
    answers: Iterable[tuple[object, object]],
) -> Session:
    if type(node) is not str or type(incarnation) is not str:
        raise TypeError(f"the owner of session {session!r} is malformed")
    opened_by = OpenSession(NodeId(node), Incarnation(incarnation), _count(number))
    kept = {_count(sequence): decode_outcome(outcome) for sequence, outcome in answers}
    return Session(_count(session), opened_by, _count(used_ms), _count(answered_below), kept)
