"""A leader that may answer reads alone for a while, because a quorum has promised to elect nobody else meanwhile.

Knows: rounds of heartbeats, who answered them with the promise, when they began by the leader's own clock.
Never: clocks themselves (the driver passes what its own says), elections, what is read.
Holds: a lease is counted from before its round began, and its holder's clock may be 10 % slow and the others' 10 %
       fast; a round counts for the configuration in force when it is asked about, never for the one when it began.
Paper: dissertation 6.4.1 (leases), with the promise kept over restarts and terms.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from aether.consensus.quorum import Configuration
from aether.model.ids import LogIndex, NodeId, Term

CLOCK_RATE_ERROR_MAX: Final = 0.1
"""How much faster or slower than true time the clock of a node may run."""

TICKS_LOST_MAX: Final = 3
"""A driver on a grid of ticks may give the first three at once, when it was late: so many bind for no time at all."""

_ROUNDS_REMEMBERED_MAX: Final = 64


def lease_s(election_ticks_min: int, tick_s: float) -> float:
    """How long a lease lasts on its holder's clock; not above 0 when the time-out is too short for any."""
    promised_s = (election_ticks_min - TICKS_LOST_MAX) * tick_s
    return promised_s * (1 - CLOCK_RATE_ERROR_MAX) / (1 + CLOCK_RATE_ERROR_MAX)


class Loyalty:
    """A follower's side: for `ticks` after a leader's word nobody else is elected, whatever term the others speak of.

    A node that starts has forgotten whom it heard, and behaves as if that were just now. 0 ticks: no such promise.
    """

    def __init__(self, ticks: int) -> None:
        self._ticks = self._left = ticks
        self._leader: NodeId | None = None

    @property
    def is_promised(self) -> bool:
        """Whether the leader may count on it."""
        return self._ticks > 0

    def heard(self, leader: NodeId) -> None:
        self._leader, self._left = leader, self._ticks

    def tick(self) -> None:
        self._left = max(0, self._left - 1)

    def refuses(self, candidate: NodeId) -> bool:
        """Whether `candidate` must wait. The leader itself need not: if it asks, it leads no more."""
        return self._left > 0 and candidate != self._leader


class LeaseRounds:
    """A leader's side: the newest round that each follower answered with the promise."""

    def __init__(self) -> None:
        self._answered: dict[NodeId, tuple[int, bool]] = {}  # the newest, and whether with the promise

    def answered(self, peer: NodeId, number: int, *, promised: bool) -> None:
        """`peer` answered round `number`. Without the promise all its earlier ones are void: it may have restarted."""
        if number > self._answered.get(peer, (0, False))[0]:
            self._answered[peer] = (number, promised)

    def forget(self, peer: NodeId) -> None:
        """It is no member any more."""
        self._answered.pop(peer, None)

    def newest(self, configuration: Configuration, leader: NodeId, begun: int) -> int:
        """The newest round that a quorum of `configuration` answered so; 0 for none, or when `leader` has no vote."""
        if leader not in configuration.voting():
            return 0
        rounds = {peer: LogIndex(number) for peer, (number, promised) in self._answered.items() if promised}
        return configuration.committed_index({**rounds, leader: LogIndex(begun)})


class LeaseClock:
    """The driver's side: when rounds began, on its own clock, and so until when the newest answered one lasts."""

    def __init__(self, duration_s: float) -> None:
        self._duration_s = duration_s
        self._term = Term(0)
        self._begun: deque[tuple[int, float]] = deque()

    def note(self, term: Term, number: int, not_before_s: float) -> None:
        """Rounds up to `number` have begun, those that are news no earlier than at `not_before_s`.

        A later time than the true one would be unsafe, an earlier one only shortens the lease.
        """
        if term != self._term:
            self._term = term
            self._begun.clear()
        newest = self._begun[-1][0] if self._begun else 0
        if number > newest and len(self._begun) < _ROUNDS_REMEMBERED_MAX:
            self._begun.append((number, not_before_s))

    def holds(self, term: Term, answered: int, now_s: float) -> bool:
        """Whether round `answered` of `term` still carries a lease."""
        if term != self._term:
            return False
        while len(self._begun) > 1 and self._begun[1][0] <= answered:
            self._begun.popleft()
        return bool(self._begun) and self._begun[0][0] <= answered and now_s < self._begun[0][1] + self._duration_s
