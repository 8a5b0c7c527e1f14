"""Leadership on its way to another voter.

Knows: to whom, until when; what the receiver must hold before it may campaign.
Never: the other followers, elections.
Holds: while it lasts nothing is proposed; it is given up after one election time-out. Once one was tried this leader
       holds no lease for reads any more: the receiver may campaign late.
Paper: dissertation 3.10 (leadership transfer).
"""

from __future__ import annotations

from aether.consensus.messages import TimeoutNow
from aether.consensus.outbox import Outbox
from aether.model.ids import LogIndex, NodeId, Term


class Handover:
    """to  the receiver; None while nothing is handed over."""

    def __init__(self, term: Term, outbox: Outbox) -> None:
        self.to: NodeId | None = None
        self.was_tried: bool = False
        self._term = term
        self._outbox = outbox
        self._until = 0

    def begin(self, to: NodeId, until: int) -> None:
        """Hand over to `to`, or give up at tick `until`."""
        self.to, self._until, self.was_tried = to, until, True

    def tick(self, now: int) -> None:
        """Give up when it takes too long: the receiver may still campaign later, which harms nobody."""
        if self.to is not None and now >= self._until:
            self.to = None

    def acknowledged(self, peer: NodeId, match: LogIndex, last_index: LogIndex) -> None:
        """`peer` holds the log up to `match`: when that is all, it is told to campaign."""
        if peer == self.to and match == last_index:
            self._outbox.send(peer, TimeoutNow(term=self._term))
