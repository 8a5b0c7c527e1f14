"""One entry of the replicated log.

Knows: index, term, kind, opaque payload, and its one encoding.
Never: what the payload means.
Holds: an entry that was built by `new_entries` or `decode_entry` carries its encoding, and nobody encodes it again.
"""

from __future__ import annotations

import enum
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

import msgpack

from aether.errors import BadInput
from aether.model.ids import LogIndex, Term

_msgpack: Final = cast("Any", msgpack)
_pack: Final[Callable[[object], bytes]] = _msgpack.packb
_unpack: Final[Callable[[bytes], Any]] = _msgpack.unpackb


class EntryKind(enum.IntEnum):
    """What an entry carries. Numbers are part of the format and never reused."""

    COMMAND = 0
    NO_OP = 1  # a new leader's first entry: commits what earlier terms left (Raft 8)
    CONFIGURATION = 2  # who belongs to the group from here on (see membership)


_KINDS = tuple(EntryKind)


class Entry(NamedTuple):
    """`payload` is opaque. A NamedTuple, because a busy log holds many thousands.

    encoded  what `encode_entry` gives, when it is known already; no part of the value: two entries that differ in
             it alone are equal
    """

    index: LogIndex  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    term: Term
    kind: EntryKind
    payload: bytes
    encoded: bytes = b""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self[:4] == other[:4]

    def __ne__(self, other: object) -> bool:  # a tuple has its own, which would compare `encoded`
        return not self == other

    def __hash__(self) -> int:
        return hash(self[:4])


# Built from a tuple by C alone: half the price of the constructor. Every node makes one for every write.
_new_entry: Final = cast("Callable[[tuple[Any, ...]], Entry]", functools.partial(cast("Any", tuple).__new__, Entry))


def new_entries(start: LogIndex, term: Term, kind: EntryKind, payloads: Sequence[bytes]) -> list[Entry]:
    """Consecutive entries with their encodings, one for each payload. One packer serves all: half the cost of each."""
    pack: Callable[[object], bytes] = _msgpack.Packer().pack
    number = int(kind)
    indexes = cast("Iterator[LogIndex]", itertools.count(start))
    return [
        _new_entry((index, term, kind, payload, pack((index, term, number, payload))))
        for index, payload in zip(indexes, payloads, strict=False)
    ]


def new_entry(index: LogIndex, term: Term, kind: EntryKind, payload: bytes) -> Entry:
    """One entry with its encoding."""
    return new_entries(index, term, kind, (payload,))[0]


def encode_entry(entry: Entry) -> bytes:
    """msgpack array [index, term, kind, payload]."""
    return entry.encoded or _pack((entry.index, entry.term, int(entry.kind), entry.payload))


def decode_entry(raw: bytes) -> Entry:
    """The entry in `raw`, which it keeps as its encoding. Raises BadInput that says what is wrong."""
    try:
        index, term, kind, payload = _unpack(raw)
        if type(index) is not int or type(term) is not int or index <= 0 or term <= 0 or type(payload) is not bytes:
            raise ValueError(f"index {index!r:.40}, term {term!r:.40}, payload {type(payload).__name__}")
        if type(kind) is not int or not 0 <= kind < len(_KINDS):
            raise ValueError(f"kind {kind!r:.40} is unknown")
        return _new_entry((index, term, _KINDS[kind], payload, raw))
    except (ValueError, TypeError, _msgpack.UnpackException) as error:
        raise BadInput("malformed log entry", (str(error),)) from error
