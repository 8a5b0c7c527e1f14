"""What happened in a run, one line of fixed columns per event.

Knows: the columns, how messages are put into few words.
Never: when lines are wanted: nothing is put into words until somebody asks.
Holds: equal runs give equal lines, so their hashes are equal, in any process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aether.consensus.messages import AppendEntries, SnapshotChunk
from aether.consensus.spelling import MESSAGES

HEADER: Final = (
    f"{'TIME_MS':>10} {'EVENT':<10} {'NODE':<4} {'PEER':<4} R {'TERM':>4} {'LAST':>5} {'COMMIT':>6} {'APPLIED':>7} "
    f"{'DURABLE':>7} DETAIL"
)
_Encode = Callable[[Any], Sequence[object]]
_ENCODERS: Final[Mapping[type, _Encode]] = {cls: encode for cls, encode, _ in MESSAGES.values()}


class NodeState(NamedTuple):
    """A node after an event. role is one letter: Follower, Pre-candidate, Candidate, Leader."""

    role: str
    term: int
    last: int
    commit: int
    applied: int
    durable: int


class Happened:
    """One event. `state` is that of `node` afterwards, when it is alive."""

    __slots__ = ("detail", "event", "node", "now_us", "peer", "state")

    def __init__(self, now_us: int, event: str, node: str, peer: str, detail: object) -> None:
        self.now_us: int = now_us
        self.event: str = event
        self.node: str = node
        self.peer: str = peer
        self.detail: object = detail
        self.state: NodeState | None = None

    def __str__(self) -> str:
        role, term, last, commit, applied, durable = self.state or ("-", "", "", "", "", "")
        line = (
            f"{self.now_us / 1000:>10.3f} {self.event:<10} {self.node:<4} {self.peer:<4} {role} {term:>4} {last:>5} "
            f"{commit:>6} {applied:>7} {durable:>7} {describe(self.detail)}"
        )
        return line.rstrip()


class Trace:
    """All events of one run, in order."""

    def __init__(self) -> None:
        self._happened: list[Happened] = []

    def add(self, happened: Happened) -> None:
        self._happened.append(happened)

    def __len__(self) -> int:
        return len(self._happened)

    def lines(self, last: int | None = None) -> Iterator[str]:
        """The lines without the header, all or the last ones."""
        for happened in self._happened if last is None else self._happened[-last:]:
            yield str(happened)

    def hash(self) -> str:
        """SHA-256 of the lines, in hex."""
        return hashlib.sha256("\n".join(self.lines()).encode()).hexdigest()


def describe(detail: object) -> str:
    """A message as one word and its numbers; anything else as it is."""
    encode = _ENCODERS.get(type(detail))
    if encode is None:
        return str(detail)
    match detail:
        case AppendEntries():
            return (
                f"AppendEntries term={detail.term} prev={detail.prev_index}/{detail.prev_term} "
                f"commit={detail.commit_index} entries={len(detail.entries)}"
            )
        case SnapshotChunk():
            return f"SnapshotChunk term={detail.term} index={detail.index} offset={detail.offset}"
        case _:
            return f"{type(detail).__name__} {' '.join(map(str, encode(detail)))}"
