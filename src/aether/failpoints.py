"""Places in the program where tests of real processes make something go wrong.

Knows: the names of the places, the ways to fail, which hit of a place counts.
Never: what stands around a place. Nothing is armed unless the environment says so, and then a node warns.
Holds: an unknown name or a malformed plan is refused, so that no test arms what is never reached.
Paper: the idea is that of FreeBSD's fail(9).
"""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import attrs

from aether.errors import BadInput

Reach: TypeAlias = Callable[[str], None]
"""Called at a place with its name. May raise OSError, stand still for a while, or end the process."""

VARIABLE: Final = "AETHER_FAILPOINTS"
LOG_VARIABLE: Final = "AETHER_FAILPOINTS_LOG"
SLEEP_MS_MAX: Final = 600_000

PLACES: Final[Mapping[str, str]] = {
    "identity.before_create": "a new data directory gets its identity",
    "wal.before_write": "records go to the segment",
    "wal.before_sync": "they are written, and not durable yet",
    "wal.after_sync": "they are durable, and nobody knows it",
    "wal.before_new_segment": "the next segment takes over",
    "wal.before_segment_named": "its head is durable, and it has no name yet",
    "wal.after_segment_named": "it has its name, which is not durable yet",
    "wal.before_preallocate": "zeros for a segment to come",
    "wal.before_segment_deleted": "a snapshot has made the oldest one superfluous",
    "snapshot.before_sync": "all pieces of a snapshot are written, and not durable yet",
    "snapshot.before_rename": "it is durable under a temporary name",
    "snapshot.after_rename": "it has its name, which is not durable yet",
    "snapshot.before_recorded": "it is there, and the log does not refer to it yet",
    "snapshot.after_recorded": "the log refers to it, and what it replaces is still there",
    "snapshot.part_arrived": "bytes of a snapshot of the leader",
    "snapshot.before_arrived": "all of them are here",
    "snapshot.before_deleted": "an older one goes",
    "storage.before_load": "a node starts",
    "storage.after_load": "it has read everything",
    "storage.before_write": "a group commit begins",
    "storage.after_write": "it has ended",
    "storage.before_save": "a local snapshot is to be saved",
    "storage.piece_saved": "one of its pieces",
    "storage.after_save": "it is saved",
    "storage.before_open_snapshot": "a snapshot is to be sent or restored",
    "storage.before_prepare": "space for the log is to be made ready",
    "storage.after_prepare": "it is",
    "machine.before_apply": "entries are committed",
    "machine.after_apply": "they are applied, and nobody was told",
    "machine.before_freeze": "the state is to be held fast",
    "machine.before_restoration": "a snapshot replaces the state",
    "machine.before_feed": "one of its pieces",
    "machine.before_finish": "all of them are read",
    "machine.after_finish": "the new state is in force",
    "send.VoteRequest": "a candidate asks",
    "send.VoteReply": "a voter answers, durably",
    "send.AppendEntries": "a leader replicates",
    "send.AppendReply": "a follower acknowledges, durably",
    "send.Heartbeat": "a leader lives",
    "send.HeartbeatReply": "a follower has heard it",
    "send.SnapshotChunk": "bytes of a snapshot",
    "send.SnapshotReply": "which bytes are wanted next",
    "send.TimeoutNow": "leadership is handed over",
    "send.ReadRequest": "a follower asks for a read index",
    "send.ReadReply": "it gets one",
    "send.Relayed": "a voter passes the log on to a learner",
    "send.RelayOrder": "a leader tells it to whom",
    "send.RelayReport": "it says how far those are",
    "send.ProposeRequest": "a proposal goes to the leader",
    "send.ProposeRequests": "several proposals go to the leader in one message",
    "send.ProposeReply": "it was not taken",
    "send.StateReport": "the hash of a state",
    "send.StateVerdict": "a node is told that its state differs",
    "send.AskApplied": "a node is asked whether it has applied a revision",
    "send.HasApplied": "a node says what it has applied",
}
"""name -> what is about to happen there, or has just happened."""

_ACTION: Final = r"(?P<action>crash|sleep\((?P<ms>\d+)\)|error\((?P<error>E[A-Z0-9]+)\))"
_TERM: Final = re.compile(r"(?P<name>[A-Za-z_.]+)=" + _ACTION + r"(?P<when>@.+)?")
_WHEN: Final = re.compile(r"@(?:(?P<hit>\d+)(?P<on>\+)?|%(?P<percent>\d+(?:\.\d+)?))")


def nothing(_: str) -> None:
    """Reach nothing: what every node does unless a test armed it."""


@attrs.frozen
class Failure:
    """At place `name`: `crash` (SIGKILL of this process), `sleep_ms`, or OSError `error`.

    hit, on   on the hit-th time, and with `on` from then on; percent  instead, each time with this probability
    """

    name: str
    crash: bool = False
    sleep_ms: int = 0
    error: int = 0
    hit: int = 1
    on: bool = False
    percent: float = 0.0

    def is_due(self, count: int, draw: Callable[[], float]) -> bool:
        """Whether it happens at the count-th hit."""
        if self.percent:
            return draw() * 100 < self.percent
        return count == self.hit or (self.on and count > self.hit)

    def happen(self) -> None:
        """Now."""
        if self.crash:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.sleep_ms:
            time.sleep(self.sleep_ms / 1000)
        if self.error:
            raise OSError(self.error, f"failpoint {self.name}: {os.strerror(self.error)}")


def parse_plan(text: str, places: Mapping[str, str] = PLACES) -> tuple[Failure, ...]:
    """`wal.before_sync=crash@3; send.AppendReply=sleep(200)@%10; snapshot.before_rename=error(EIO)@2+`.

    Raises BadInput that names what is wrong and what is possible.
    """
    return tuple([_failure(term.strip(), places) for term in text.split(";") if term.strip()])


def _failure(term: str, places: Mapping[str, str]) -> Failure:
    match = _TERM.fullmatch(term)
    when = _WHEN.fullmatch(match["when"] or "@1") if match else None
    if match is None or when is None:
        rule = "PLACE=crash|sleep(MS)|error(ERRNO)[@HIT|@HIT+|@%PERCENT], several parted by ;"
        raise BadInput(f"failpoint {term!r}", (rule,))
    if match["name"] not in places:
        raise BadInput(f"failpoint {term!r}", (f"no such place; there are {', '.join(sorted(places))}",))
    code = getattr(errno, match["error"], 0) if match["error"] else 0
    sleep_ms = int(match["ms"] or 0)
    if (match["error"] and not code) or sleep_ms > SLEEP_MS_MAX:
        raise BadInput(f"failpoint {term!r}", (f"an errno by name, and at most {SLEEP_MS_MAX} ms",))
    return Failure(
        match["name"],
        crash=match["action"] == "crash",
        sleep_ms=sleep_ms,
        error=code,
        hit=int(when["hit"] or 1),
        on=bool(when["on"]),
        percent=float(when["percent"] or 0),
    )


class Failpoints:
    """An armed plan. `reach` may be called from any thread; it makes the failures of that place happen.

    log  a file to which each place is appended when it is reached first: the process may not live to tell
    """

    def __init__(self, plan: Sequence[Failure], rng: random.Random, log: str | None = None) -> None:
        self._plan: dict[str, list[Failure]] = {}
        for failure in plan:
            self._plan.setdefault(failure.name, []).append(failure)
        self._draw = rng.random
        self._log = log
        self.counts: Counter[str] = Counter()

    def reach(self, name: str) -> None:
        """The program is at place `name`."""
        self.counts[name] += 1
        count = self.counts[name]
        if count == 1 and self._log is not None:
            _append_line(self._log, name)
        for failure in self._plan.get(name, ()):
            if failure.is_due(count, self._draw):
                failure.happen()


def _append_line(path: str, line: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


def from_environment(environ: Mapping[str, str], rng: random.Random) -> Reach:
    """`nothing`, unless VARIABLE holds a plan or LOG_VARIABLE a file. Raises BadInput."""
    plan, log = environ.get(VARIABLE), environ.get(LOG_VARIABLE)
    if not plan and not log:
        return nothing
    return Failpoints(parse_plan(plan or ""), rng, log).reach
