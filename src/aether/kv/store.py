"""The replicated map: what committed entries make of it.

Knows: rows with versions, sessions, quotas, log time, a running hash.
Never: who proposed, tasks, clocks; readers get values as they are now.
Holds: the same entries give the same state and the same hash on every node; a batch changes all its rows or none;
       the version of a row is the log index of its last change; revision is the last applied index.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, cast
from zlib import crc32

import attrs
from sortedcontainers import SortedList

from aether.consensus.entry import Entry, EntryKind
from aether.kv.commands import (
    Apply,
    BatchResult,
    ChangePlain,
    Command,
    ComparePlain,
    EndSession,
    Group,
    OpenSession,
    decode_payload,
)
from aether.kv.grouping import Expected, group
from aether.kv.keys import MAPS
from aether.kv.outcome import Outcome, Refused
from aether.kv.quotas import MapQuotas, Staged, Usage, is_entry
from aether.kv.restoration import Contents, StoreRestoration
from aether.kv.sessions import EXPIRED, SessionTable
from aether.kv.snapshot import HASH_BYTES, Head, encode_stream
from aether.model.ids import LogIndex, Revision
from aether.model.limits import MAPS_BYTES_MAX, SNAPSHOT_PIECE_BYTES, STATE_HASH_EVERY

_LAST: Final = chr(sys.maxunicode)
_NOTHING_STAGED: Final = Staged()
_CHAIN_BYTES: Final = 4


class Row(NamedTuple):
    """A value and the revision of its last change."""

    value: bytes
    version: Revision


_tuple: Final = cast("Any", tuple)
# Built from a tuple by C alone: half the price of the constructor, in what every write of every node makes.
_new_row: Final = cast("Callable[[tuple[bytes, Revision]], Row]", partial(_tuple.__new__, Row))
_new_result: Final = cast("Callable[[tuple[Any, ...]], BatchResult]", partial(_tuple.__new__, BatchResult))


class RowChange(NamedTuple):
    """What one change of a batch did to one row, for whoever observes its kind.

    revision, at_ms  of the entry: its log index, and the log time
    old, new         values as stored; None = there was no row, there is none any more
    """

    revision: Revision
    at_ms: int
    key: str
    old: bytes | None
    new: bytes | None


@attrs.define
class AppliedEntries:
    """What one `apply` or `restore` did, for whoever waits.

    outcomes  (session, sequence, outcome) of each request, repeats included
    opened    each request to open a session, with the id of the session
    changed   texts of the keys whose rows changed
    deleted   those of them that are not there any more, with the revision of that
    observed  each change of a row that is observed, in the order of the log and of each batch
    restored  the whole state was replaced
    """

    outcomes: list[tuple[int, int, Outcome]] = attrs.field(factory=list[tuple[int, int, Outcome]])
    opened: list[tuple[OpenSession, int]] = attrs.field(factory=list[tuple[OpenSession, int]])
    changed: list[str] = attrs.field(factory=list[str])
    deleted: dict[str, Revision] = attrs.field(factory=dict[str, Revision])
    observed: list[RowChange] = attrs.field(factory=list[RowChange])
    restored: bool = False


class Store:
    """Deterministic state machine over the log (see aether.consensus.values.StateMachine)."""

    def __init__(self, maps_bytes_max: int = MAPS_BYTES_MAX) -> None:
        # Two dicts of bytes and of numbers: the garbage collector leaves them alone, however many rows there are.
        self._values: dict[str, bytes] = {}
        self._versions: dict[str, Revision] = {}
        self._keys: SortedList[str] = SortedList()  # of both; a changed row costs it nothing
        self._sessions = SessionTable()
        self._quotas = MapQuotas(maps_bytes_max)
        self.revision: Revision = Revision(0)
        """The last applied log index."""
        self._log_time_ms = 0
        self._chain = 0  # of CRC-32: what once differed differs for ever, for each step can be undone
        self._newest_mark: tuple[Revision, bytes] | None = None
        self._expected: Expected = {}
        self._listener: Callable[[AppliedEntries], None] | None = None
        self._observed: tuple[str, ...] = ()

    def expect(self, payload: bytes, stamp_ms: int, command: Command) -> None:
        """`payload`, if it is ever applied, need not be decoded: it says this. `forget_expected` when it may not be."""
        self._expected[payload] = (stamp_ms, command)

    def expect_no_more(self, payload: bytes) -> None:
        """`payload` will not be applied after all."""
        self._expected.pop(payload, None)

    def forget_expected(self) -> None:
        """Nothing is expected any more, which only costs time."""
        self._expected.clear()

    def group(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Those of `payloads`, in order, that may share an entry, as one; of what is expected, the others are left."""
        return group(payloads, self._expected)

    def listen(self, listener: Callable[[AppliedEntries], None]) -> None:
        """Call `listener` after each `apply` and `restore`. It must neither block nor raise; there is one."""
        assert self._listener is None, "a store has one listener"
        self._listener = listener

    def observe(self, prefixes: Iterable[str]) -> None:
        """From now on tell the listener what changes of rows under `prefixes` did; not of entries of user maps."""
        prefixes = tuple(prefixes)
        assert not any(prefix.startswith(MAPS) or MAPS.startswith(prefix) for prefix in prefixes), (
            "maps are not told of"
        )
        self._observed += prefixes

    # --- reading ----------------------------------------------------------------------------------------------------

    @property
    def log_time_ms(self) -> int:
        """The highest stamp so far, milliseconds since the epoch by the leaders' clocks."""
        return self._log_time_ms

    @property
    def state_hash(self) -> bytes:
        """Chained over all applied entries and their outcomes: equal revisions must have equal hashes."""
        return self._chain.to_bytes(HASH_BYTES, "big")

    @property
    def newest_mark(self) -> tuple[Revision, bytes] | None:
        """The last revision that STATE_HASH_EVERY divides, and the state hash of then. None before the first."""
        return self._newest_mark

    def get(self, key: str) -> Row | None:
        value = self._values.get(key)
        return None if value is None else _new_row((value, self._versions[key]))

    def version(self, key: str) -> Revision:
        """The revision of the row's last change; 0 = absent."""
        return self._versions.get(key, Revision(0))

    def scan(self, prefix: str) -> Iterator[tuple[str, Row]]:
        """The rows under `prefix` in order of their keys, as they are at this call."""
        end = _end_of(prefix)
        found = self._keys.irange(prefix, end, inclusive=(True, False))
        return iter([(key, _new_row((self._values[key], self._versions[key]))) for key in found])

    def page(self, prefix: str, after: str, limit: int) -> list[tuple[str, Row]]:
        """At most `limit` rows under `prefix` whose keys follow `after`, in order; costs no more than these."""
        end = _end_of(prefix)
        found = self._keys.irange(max(prefix, after), end, inclusive=(after < prefix, False))
        return [(key, _new_row((self._values[key], self._versions[key]))) for key in itertools.islice(found, limit)]

    def has_session(self, session: int) -> bool:
        return session in self._sessions

    def decided(self, session: int, sequence: int) -> Outcome | None:
        """What was decided of a request, without deciding it; EXPIRED when the session has ended."""
        for known in self._sessions:
            if known.id == session:
                return known.known(sequence)
        return EXPIRED

    def sessions(self) -> list[tuple[OpenSession, int]]:
        """The open ones: who opened each, and its id."""
        return [(session.opened_by, session.id) for session in self._sessions]

    def map_usage(self, name: str) -> Usage:
        """What the user map holds. name  as spelt in keys, escaped."""
        return self._quotas.usage(name)

    # --- StateMachine -----------------------------------------------------------------------------------------------

    def apply(self, entries: Sequence[Entry]) -> None:
        """Apply in order. Raises BadInput at a command that this version does not know: the node must stop."""
        applied = AppliedEntries()
        revision, command = self.revision, EntryKind.COMMAND
        plain: Sequence[Any] = entries  # an index becomes a revision here, without a call for each
        for index, _, kind, payload, _ in plain:
            assert index == revision + 1, f"entry {index} after {revision}: the log has a gap"
            taken = self._command(index, payload, applied) if kind is command else 0
            self._chain = crc32(payload, self._chain ^ taken)
            self.revision = revision = index
            if not revision % STATE_HASH_EVERY:
                self._newest_mark = (revision, self.state_hash)
        if self._listener is not None:
            self._listener(applied)

    def freeze(self) -> Iterator[bytes]:
        """The whole state after the last applied entry, in pieces that any thread may make, whatever is applied."""
        keys, values, versions = tuple(self._keys), self._values.copy(), self._versions.copy()
        sessions = [session.copy() for session in self._sessions]
        rows = ((key, values[key], versions[key]) for key in keys)
        head = Head(self.revision, self._log_time_ms, self.state_hash)
        return encode_stream(head, len(keys), rows, sessions)

    def snapshot(self) -> bytes:
        """The whole state, encoded here and now."""
        return b"".join(self.freeze())

    def restoration(self, index: LogIndex) -> StoreRestoration:
        """Begin to replace the whole state by that of a snapshot at `index`. Nothing is applied meanwhile."""
        return StoreRestoration(index, self._values, self._versions, self._keys, self._quotas, self._replace)

    def restore(self, snapshot: bytes, index: LogIndex) -> None:
        """Replace the whole state here and now. Raises BadInput (malformed, not of `index`) with nothing changed."""
        restoration = self.restoration(index)
        for at in range(0, len(snapshot), SNAPSHOT_PIECE_BYTES):
            restoration.feed(snapshot[at : at + SNAPSHOT_PIECE_BYTES])
        restoration.finish()

    def _replace(self, contents: Contents) -> None:
        head = contents.head
        self._values, self._versions, self._keys = contents.values, contents.versions, contents.keys
        self._sessions, self._quotas = contents.sessions, contents.quotas
        self.revision, self._log_time_ms = Revision(head.revision), head.log_time_ms
        self._chain = int.from_bytes(head.hash[-_CHAIN_BYTES:], "big")
        if self._listener is not None:
            self._listener(AppliedEntries(restored=True))

    # --- commands ---------------------------------------------------------------------------------------------------

    def _command(self, revision: Revision, payload: bytes, applied: AppliedEntries) -> int:
        """Which of its batches took effect, as a number."""
        expected = self._expected.pop(payload, None) if self._expected else None
        stamp_ms, command = expected or decode_payload(payload)
        if stamp_ms > self._log_time_ms:
            self._log_time_ms = stamp_ms
            self._sessions.expire(stamp_ms)
        if type(command) is Group:
            return crc32(bytes([self._request(revision, request, applied) for request in command[0]]))
        if type(command) is Apply:
            return self._request(revision, command, applied)
        if type(command) is OpenSession:
            session = self._sessions.open(command, revision, self._log_time_ms)
            applied.opened.append((command, session))
        else:
            self._sessions.end(cast("EndSession", command).session)
        return 0

    def _request(self, revision: Revision, request: Apply, applied: AppliedEntries) -> bool:
        number, sequence, answered_below, compares, changes = request
        if number == 0:
            return _took_effect(self._decide(revision, compares, changes, applied))
        session = self._sessions.use(number, self._log_time_ms)
        if session is None:
            applied.outcomes.append((number, sequence, EXPIRED))
            return False
        if answered_below > session.answered_below:
            session.acknowledge(answered_below)
        outcome = session.known(sequence)
        if outcome is not None:
            applied.outcomes.append((number, sequence, outcome))
            return False
        outcome = self._decide(revision, compares, changes, applied)
        session.answers[sequence] = outcome
        applied.outcomes.append((number, sequence, outcome))
        return _took_effect(outcome)

    def _decide(
        self,
        revision: Revision,
        compares: Sequence[ComparePlain],
        changes: Sequence[ChangePlain],
        applied: AppliedEntries,
    ) -> Outcome:
        for key, version in compares:
            if self._versions.get(key, 0) != version:
                return BatchResult(False, revision, key)
        if len(changes) == 1:
            ((key, value),) = changes
            if is_entry(key):
                return self._write_entry(revision, key, value, applied)
        staged = _NOTHING_STAGED
        for key, _ in changes:
            if key.startswith(MAPS):
                judged = self._quotas.stage(changes, self._size)
                if isinstance(judged, Refused):
                    return judged
                staged = judged
                break
        observed = self._observed
        for key, value in changes:
            if observed and key.startswith(observed):
                self._tell(revision, key, value, applied)
            self._change(revision, key, value, applied)
        self._quotas.commit(staged)
        return _new_result((True, revision, None))

    def _write_entry(self, revision: Revision, key: str, value: bytes | None, applied: AppliedEntries) -> Outcome:
        """The one change of most batches, under its quota; where the size stays, there is nothing to count."""
        old = self._values.get(key)
        if old is None or value is None:
            refused = self._quotas.change(key, value, self._size(key))
            if refused is not None:
                return refused
            self._change(revision, key, value, applied)
            return _new_result((True, revision, None))
        if len(old) != len(value):
            refused = self._quotas.change(key, value, len(key) + len(old))
            if refused is not None:
                return refused
        self._values[key], self._versions[key] = value, revision
        applied.changed.append(key)
        return _new_result((True, revision, None))

    def _change(self, revision: Revision, key: str, value: bytes | None, applied: AppliedEntries) -> None:
        known = key in self._values
        if value is not None:
            if not known:
                self._keys.add(key)
                applied.deleted.pop(key, None)
            self._values[key], self._versions[key] = value, revision
        elif known:
            self._keys.remove(key)
            del self._values[key], self._versions[key]
            applied.deleted[key] = revision
        else:
            return
        applied.changed.append(key)

    def _tell(self, revision: Revision, key: str, value: bytes | None, applied: AppliedEntries) -> None:
        old = self._values.get(key)
        if old is not None or value is not None:
            applied.observed.append(RowChange(revision, self._log_time_ms, key, old, value))

    def _size(self, key: str) -> int | None:
        value = self._values.get(key)
        return None if value is None else len(key) + len(value)


def _took_effect(outcome: Outcome) -> bool:
    return type(outcome) is BatchResult and outcome[0]


def _end_of(prefix: str) -> str | None:
    """The least text behind every key with `prefix`; None for no end."""
    stem = prefix.rstrip(_LAST)
    return stem[:-1] + chr(ord(stem[-1]) + 1) if stem else None
