"""One attempt to become leader: which votes came in.

Knows: the number of the attempt, its kind, the votes, how to ask for one.
Never: terms, logs, who may vote.
Paper: Raft 5.2; dissertation 9.6 (pre-vote).
"""

from __future__ import annotations

from typing import TypeAlias

from aether.consensus.messages import VoteRequest
from aether.consensus.quorum import Configuration, Vote
from aether.model.ids import LogIndex, NodeId, Term

Rank: TypeAlias = tuple[Term, LogIndex, int, NodeId]
"""last term, last index, priority, node: orders candidates that meet in a pre-vote."""


class Campaign:
    """Votes of one attempt. Replies carry `number`, so that a late one of an earlier attempt is not counted."""

    def __init__(self, number: int, *, pre: bool, transfer: bool) -> None:
        self.number = number
        self.pre = pre
        self.transfer = transfer
        self._votes: dict[NodeId, bool] = {}

    def request(self, term: Term, last_index: LogIndex, last_term: Term, priority: int) -> VoteRequest:
        """What to ask the others. term  to be led; the log ends at (last_index, last_term)."""
        return VoteRequest(
            term=term,
            last_index=last_index,
            last_term=last_term,
            pre=self.pre,
            transfer=self.transfer,
            campaign=self.number,
            priority=priority,
        )

    def count(self, voter: NodeId, granted: bool, configuration: Configuration) -> Vote:
        """Note a vote and say how the election stands. The first word holds, but a pre-vote may turn to yes."""
        first = self._votes.setdefault(voter, granted)
        self._votes[voter] = first or (granted and self.pre)
        return configuration.vote_result(self._votes)


def outranks(one: Rank, other: Rank) -> bool:
    """Whether the first of two candidates should win when they meet."""
    return one > other
