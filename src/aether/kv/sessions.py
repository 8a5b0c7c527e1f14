"""Sessions: how a repeated request is recognised and answered, not applied again.

Knows: which requests of each session were decided, and what of that the session has acknowledged.
Never: what a request does.
Holds: a (session, sequence) is decided at most once; a session ends only by idleness in log time, by its own node's
       next one, or on request, and its id (a log index) never returns.
Paper: Ongaro's dissertation, section 6.3 (linearizable semantics).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import attrs

from aether.kv.commands import OpenSession
from aether.kv.outcome import Outcome, Refused, RefusedBy
from aether.model.limits import SESSION_ANSWERS_MAX, SESSION_IDLE_S

IDLE_MS: Final = int(SESSION_IDLE_S * 1000)

EXPIRED: Final = Refused(RefusedBy.EXPIRED)
FULL: Final = Refused(RefusedBy.FULL, "session", SESSION_ANSWERS_MAX, "answers")
STALE: Final = Refused(RefusedBy.STALE)


@attrs.define(eq=False)
class Session:
    """answers  every decided sequence from answered_below on; all lie below answered_below + SESSION_ANSWERS_MAX."""

    id: int
    opened_by: OpenSession
    used_ms: int
    answered_below: int = 0
    answers: dict[int, Outcome] = attrs.field(factory=dict[int, Outcome])

    def acknowledge(self, below: int) -> None:
        """Forget the answers that the session has read."""
        if below <= self.answered_below:
            return
        if below - self.answered_below <= len(self.answers):
            for sequence in range(self.answered_below, below):
                self.answers.pop(sequence, None)
        else:
            self.answers = {s: outcome for s, outcome in self.answers.items() if s >= below}
        self.answered_below = below

    def copy(self) -> Session:
        """As it is now."""
        return attrs.evolve(self, answers=self.answers.copy())

    def known(self, sequence: int) -> Outcome | None:
        """The answer when `sequence` must not be decided now; None when it may."""
        ahead = sequence - self.answered_below
        if 0 <= ahead < SESSION_ANSWERS_MAX:
            return self.answers.get(sequence)
        return STALE if ahead < 0 else FULL


class SessionTable:
    """All sessions, the longest idle first."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[int, Session] = OrderedDict()
        self._by_node: dict[str, Session] = {}
        self._newest: Session | None = None  # the last of _by_id: a busy session is asked for again and again

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, session: int) -> bool:
        return session in self._by_id

    def __iter__(self) -> Iterator[Session]:
        """The longest idle first."""
        return iter(self._by_id.values())

    def open(self, request: OpenSession, index: int, now_ms: int) -> int:
        """The id of the node's session: a new one, or for a repeat the one it opened before.

        A node has one session; a new incarnation, or a higher number of this one, ends the older.
        """
        old = self._by_node.get(request.node)
        if old is not None:
            if old.opened_by.incarnation == request.incarnation and old.opened_by.number >= request.number:
                return old.id
            self.end(old.id)
        self.add(Session(index, request, now_ms))
        return index

    def add(self, session: Session) -> None:
        self._by_id[session.id] = self._newest = session
        self._by_node[session.opened_by.node] = session

    def end(self, session: int) -> None:
        """Forget it; an unknown one is no error."""
        ended = self._by_id.pop(session, None)
        if ended is not None:
            self._newest = None
            del self._by_node[ended.opened_by.node]

    def use(self, session: int, now_ms: int) -> Session | None:
        """The session, its idle time restarted; None when it has ended."""
        found = self._newest
        if found is None or found.id != session:
            found = self._by_id.get(session)
            if found is None:
                return None
            self._by_id.move_to_end(session)
            self._newest = found
        found.used_ms = now_ms
        return found

    def expire(self, now_ms: int) -> None:
        """End what was idle for SESSION_IDLE_S of log time."""
        while self._by_id:
            oldest = next(iter(self._by_id.values()))
            if now_ms - oldest.used_ms < IDLE_MS:
                return
            self.end(oldest.id)
