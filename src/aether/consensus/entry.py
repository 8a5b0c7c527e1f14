"""One entry of the replicated log.

Knows: index, term, kind, opaque payload, and its one encoding.
Never: what the payload means.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgpack

from aether.errors import BadInput
from aether.model.ids import LogIndex, Term


class EntryKind(enum.IntEnum):
    """What an entry carries. Numbers are part of the format and never reused."""

    COMMAND = 0
    NO_OP = 1  # a new leader's first entry: commits what earlier terms left (Raft 8)
    CONFIGURATION = 2  # reserved for membership changes


class Entry(NamedTuple):
    """`payload` is opaque. A NamedTuple, because a busy log holds many thousands."""

    index: LogIndex
    term: Term
    kind: EntryKind
    payload: bytes


def encode_entry(entry: Entry) -> bytes:
    """msgpack array [index, term, kind, payload]."""
    return msgpack.packb((entry.index, entry.term, int(entry.kind), entry.payload))


def decode_entry(raw: bytes) -> Entry:
    """The entry in `raw`. Raises BadInput that says what is wrong."""
    try:
        index, term, kind, payload = msgpack.unpackb(raw)
        if not (type(index) is int and index > 0 and type(term) is int and term > 0 and isinstance(payload, bytes)):
            raise ValueError(f"index {index!r}, term {term!r}, payload {type(payload).__name__}")
        return Entry(LogIndex(index), Term(term), EntryKind(kind), payload)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadInput("malformed log entry", (str(error),)) from error
