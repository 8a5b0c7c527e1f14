"""What an entry of the log asks of the store, and its one encoding.

Knows: batches, sessions, their limits; the stamp in front of each command.
Never: what is in the store.
Holds: whatever decodes is within all limits; a command of unknown tag is refused, never guessed.

Payload of an entry: 8 bytes big-endian milliseconds of log time, then the msgpack array of the command. The stamp
stands apart so that a leader stamps a forwarded command without encoding it again.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar, cast

import attrs

from aether.errors import BadInput
from aether.kv.key_kinds import Key
from aether.kv.packing import UNPACK_ERRORS, pack, unpack
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.limits import (
    BATCH_OPERATIONS_MAX,
    GROUP_REQUESTS_MAX,
    KEY_BYTES_MAX,
    PROPOSAL_BYTES_MAX,
    VALUE_BYTES_MAX,
)

T = TypeVar("T")

STAMP_BYTES: Final = 8
_COMMAND_BYTES_MAX: Final = PROPOSAL_BYTES_MAX - STAMP_BYTES
_INT_MAX: Final = 2**63 - 1
_from_bytes: Final = int.from_bytes  # big-endian by default

ComparePlain: TypeAlias = tuple[str, int]
ChangePlain: TypeAlias = tuple[str, bytes | None]
BatchPlain: TypeAlias = tuple[list[ComparePlain], list[ChangePlain]]


@attrs.frozen
class Compare(Generic[T]):
    """The row of `key` must have this version; 0 = absent."""

    key: Key[T]
    version: Revision


@attrs.frozen
class Put(Generic[T]):
    """Write `value` at `key`."""

    key: Key[T]
    value: T


@attrs.frozen
class Delete(Generic[T]):
    """Remove the row of `key`; an absent one stays absent."""

    key: Key[T]


Change: TypeAlias = Put[Any] | Delete[Any]


@attrs.frozen
class Batch:
    """If all compares hold, make all changes in order, as one revision; else nothing."""

    compares: tuple[Compare[Any], ...] = ()
    changes: tuple[Change, ...] = ()


class BatchResult(NamedTuple):
    """applied   whether the changes were made
    revision  the log index at which that was decided
    conflict  text of the first key whose version differed; None when applied
    """

    applied: bool
    revision: Revision
    conflict: str | None = None


class Tag(enum.IntEnum):
    """First element of a command. Numbers are part of the format and never reused."""

    APPLY = 1
    OPEN_SESSION = 2
    END_SESSION = 3
    GROUP = 4


class Apply(NamedTuple):
    """A batch of one session's request. A NamedTuple, because a busy log holds many thousands.

    session, sequence  who asks; a pair is applied at most once. Session 0 belongs to a leader's own idempotent writes
    answered_below     the session holds the answers of all smaller sequences: the store may forget them
    """

    session: int
    sequence: int
    answered_below: int
    compares: Sequence[ComparePlain]
    changes: Sequence[ChangePlain]


_APPLY: Final = int(Tag.APPLY)
new_apply: Final = cast("Callable[[tuple[Any, ...]], Apply]", functools.partial(cast("Any", tuple).__new__, Apply))
"""From a tuple of its fields, by C alone: half the price of the constructor."""


class Group(NamedTuple):
    """Requests that share one entry, decided in order. No two of them write the same key (see `grouping`)."""

    requests: tuple[Apply, ...]


class OpenSession(NamedTuple):
    """Open a session for a node process; its id is the log index. Repeats answer the same session."""

    node: NodeId
    incarnation: Incarnation
    number: int


class EndSession(NamedTuple):
    """Forget a session and its answers."""

    session: int


Command: TypeAlias = Apply | Group | OpenSession | EndSession


def plain_batch(batch: Batch) -> BatchPlain:
    """The batch as texts, versions and bytes. Raises BadInput that names the key or the limit."""
    if len(batch.compares) + len(batch.changes) > BATCH_OPERATIONS_MAX:
        count = len(batch.compares) + len(batch.changes)
        raise BadInput(f"a batch of {count} operations", (f"at most {BATCH_OPERATIONS_MAX}: split it",))
    compares = [(compare.key.text, int(compare.version)) for compare in batch.compares] if batch.compares else []
    changes: list[ChangePlain] = []
    for change in batch.changes:
        value = change.key.encode(change.value) if isinstance(change, Put) else None
        if value is not None and len(value) > VALUE_BYTES_MAX:
            raise BadInput(f"{change.key.text}: a value of {len(value)} bytes", (f"at most {VALUE_BYTES_MAX}",))
        changes.append((change.key.text, value))
    return compares, changes


def encode_command(command: Apply | OpenSession | EndSession) -> bytes:
    """msgpack array [tag, fields...]. Raises BadInput when it exceeds PROPOSAL_BYTES_MAX with its stamp."""
    raw = pack((_TAGS[type(command)], *command))
    if len(raw) + STAMP_BYTES > PROPOSAL_BYTES_MAX:
        raise BadInput(f"a proposal of {len(raw) + STAMP_BYTES} bytes", (f"at most {PROPOSAL_BYTES_MAX}: split it",))
    return raw


_TAGS: Final[Mapping[type[Any], int]] = {
    Apply: int(Tag.APPLY),
    OpenSession: int(Tag.OPEN_SESSION),
    EndSession: int(Tag.END_SESSION),
}


def encode_group(commands: Sequence[bytes]) -> bytes:
    """The Group of encoded Apply commands, at most GROUP_REQUESTS_MAX; they go into it as they are."""
    return b"".join((_GROUP_HEAD, len(commands).to_bytes(2, "big"), *commands))


_GROUP_HEAD: Final = bytes((0x92, Tag.GROUP, 0xDC))  # msgpack: an array of two, the tag, an array of 16-bit length


def stamped(command: bytes, stamp_ms: int) -> bytes:
    """The payload of an entry."""
    return stamp_ms.to_bytes(STAMP_BYTES, "big") + command


def decode_payload(payload: bytes) -> tuple[int, Command]:
    """Stamp and command of an entry's payload. Raises BadInput."""
    if len(payload) <= STAMP_BYTES:
        raise BadInput("malformed command", (f"{len(payload)} bytes are no stamp and command",))
    return _from_bytes(payload[:STAMP_BYTES]), decode_command(payload[STAMP_BYTES:])


def decode_command(raw: bytes) -> Command:
    """The command in `raw`. Raises BadInput that says what is wrong; an unknown tag names the remedy."""
    if len(raw) > _COMMAND_BYTES_MAX:
        raise BadInput("malformed command", (f"{len(raw)} bytes, at most {_COMMAND_BYTES_MAX}",))
    try:
        plain = unpack(raw)
        command = _one_write(plain)
        if command is not None:
            return command
        return _any_command(plain)
    except UNPACK_ERRORS as error:
        raise BadInput("malformed command", (str(error),)) from error


def _any_command(plain: Any) -> Command:
    tag, *fields = plain
    if type(tag) is not int or tag not in _READERS:
        raise ValueError(f"unknown tag {tag!r}: a newer aether wrote it; upgrade this node")
    return _READERS[tag](*fields)


def _one_write(plain: Any) -> Apply | None:
    """An Apply of a single change and no compares, which most are, at a third of the price; None = look closely."""
    try:
        tag, session, sequence, answered_below, compares, ((key, value),) = plain
    except (TypeError, ValueError):
        return None
    fits = (
        tag == _APPLY
        and type(tag) is type(session) is type(sequence) is type(answered_below) is int
        and 0 <= session <= _INT_MAX
        and 0 <= sequence <= _INT_MAX
        and 0 <= answered_below <= _INT_MAX
        and type(key) is str
        and key.isascii()
        and 0 < len(key) <= KEY_BYTES_MAX
        and type(value) is bytes
        and len(value) <= VALUE_BYTES_MAX
        and compares == ()
    )
    return new_apply((session, sequence, answered_below, (), ((key, value),))) if fits else None


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _INT_MAX:
        raise ValueError(f"{value!r} is no count")
    return value


def _key(value: object) -> str:
    if type(value) is not str or not value.isascii() or not 0 < len(value) <= KEY_BYTES_MAX:
        raise ValueError(f"{str(value)[:80]!r} is no key of 1 to {KEY_BYTES_MAX} ASCII characters")
    return value


def _value(value: object) -> bytes | None:
    if value is not None and (type(value) is not bytes or len(value) > VALUE_BYTES_MAX):
        raise ValueError(f"a value is no bytes, or more than {VALUE_BYTES_MAX}")
    return value


def _apply(session: object, sequence: object, answered_below: object, compares: object, changes: object) -> Apply:
    if type(compares) is not tuple or type(changes) is not tuple:
        raise TypeError("compares and changes are no arrays")
    pairs = cast("tuple[tuple[object, object], ...]", compares)
    writes = cast("tuple[tuple[object, object], ...]", changes)
    if len(pairs) + len(writes) > BATCH_OPERATIONS_MAX:
        raise ValueError(f"{len(pairs) + len(writes)} operations, at most {BATCH_OPERATIONS_MAX}")
    return Apply(
        _count(session),
        _count(sequence),
        _count(answered_below),
        tuple([(_key(key), _count(version)) for key, version in pairs]),
        tuple([(_key(key), _value(value)) for key, value in writes]),
    )


def _open_session(node: object, incarnation: object, number: object) -> OpenSession:
    if type(node) is not str or type(incarnation) is not str or len(node) > 63 or len(incarnation) > 63:
        raise ValueError(f"{node!r} / {incarnation!r} is no node and incarnation")
    return OpenSession(NodeId(node), Incarnation(incarnation), _count(number))


def _group(requests: object) -> Group:
    if type(requests) is not tuple or not 0 < len(cast("tuple[Any, ...]", requests)) <= GROUP_REQUESTS_MAX:
        raise ValueError(f"a group holds 1 to {GROUP_REQUESTS_MAX} requests")
    return Group(tuple([_one_write(plain) or _request(plain) for plain in cast("tuple[Any, ...]", requests)]))


def _request(plain: Any) -> Apply:
    tag, *fields = plain
    if type(tag) is not int or tag != _APPLY:
        raise ValueError(f"a command of tag {tag!r} in a group")
    return _apply(*fields)


def _end_session(session: object) -> EndSession:
    return EndSession(_count(session))


_READERS: Final[Mapping[int, Callable[..., Command]]] = {
    Tag.APPLY: _apply,
    Tag.OPEN_SESSION: _open_session,
    Tag.END_SESSION: _end_session,
    Tag.GROUP: _group,
}
