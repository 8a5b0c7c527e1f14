"""Who has a majority: commit index and vote results, as arithmetic.

Knows: node ids, log indexes, simple and joint configurations.
Never: messages, terms, ticks. Callers pass what each voter has acknowledged.
Holds: an empty voter set commits everything and wins every vote, so that the second half of a joint configuration
       may be empty without a special case.
Paper: Raft 5.3 (commitment), 5.2 (elections); dissertation 4.3 (joint consensus).
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import attrs

from aether.model.ids import LogIndex, NodeId

EVERYTHING: Final = LogIndex(2**63 - 1)
"""What an empty voter set has acknowledged."""

_NOTHING: Final = LogIndex(0)


class Vote(enum.Enum):
    """How an election stands."""

    WON = "won"
    LOST = "lost"
    OPEN = "open"


def committed_index(voters: Collection[NodeId], match: Mapping[NodeId, LogIndex]) -> LogIndex:
    """The highest log index that a majority of `voters` has acknowledged; silence counts as zero."""
    if not voters:
        return EVERYTHING
    acknowledged = sorted([match.get(voter, _NOTHING) for voter in voters], reverse=True)
    return acknowledged[len(voters) // 2]


def vote_result(voters: Collection[NodeId], votes: Mapping[NodeId, bool]) -> Vote:
    """How `votes` (True = granted) stand among `voters`. LOST once the missing ones cannot win any more."""
    granted = sum(votes.get(voter, False) for voter in voters)
    refused = sum(not votes.get(voter, True) for voter in voters)
    wanted = len(voters) // 2 + 1
    if not voters or granted >= wanted:
        return Vote.WON
    return Vote.LOST if len(voters) - refused < wanted else Vote.OPEN


@attrs.frozen
class Configuration:
    """Who belongs to the group, and who votes. Each tuple is in the order of joining.

    voters    vote; during a change (joint consensus) the future ones
    outgoing  the voters before the change under way, whose majority is needed too; empty at other times
    learners  get the log and do not vote
    demoted   of `outgoing`: become learners when the change ends; the other ones that are no `voters` leave
    """

    voters: tuple[NodeId, ...]
    outgoing: tuple[NodeId, ...] = ()
    learners: tuple[NodeId, ...] = ()
    demoted: tuple[NodeId, ...] = ()
    _voting: tuple[NodeId, ...] = attrs.field(init=False, eq=False, repr=False)
    _among: frozenset[NodeId] = attrs.field(init=False, eq=False, repr=False)
    _members: tuple[NodeId, ...] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:  # they are asked for with every answer and every turn
        object.__setattr__(self, "_voting", tuple(sorted({*self.voters, *self.outgoing})))
        object.__setattr__(self, "_among", frozenset({*self.voters, *self.outgoing, *self.learners}))
        object.__setattr__(self, "_members", tuple(sorted(self._among)))

    @property
    def is_joint(self) -> bool:
        """Whether a change is under way."""
        return bool(self.outgoing)

    def voting(self) -> tuple[NodeId, ...]:
        """Everybody who votes in either half, each once, sorted."""
        return self._voting

    def members(self) -> tuple[NodeId, ...]:
        """Everybody whom a leader sends the log, each once, sorted."""
        return self._members

    def has_member(self, node: NodeId) -> bool:
        """Whether `node` is one of them."""
        return node in self._among

    def left(self) -> Configuration:
        """What the change under way leads to."""
        return Configuration(self.voters, learners=(*self.learners, *self.demoted))

    def committed_index(self, match: Mapping[NodeId, LogIndex]) -> LogIndex:
        """The highest index that a majority of each half has acknowledged."""
        return min(committed_index(half, match) for half in self._halves())

    def vote_result(self, votes: Mapping[NodeId, bool]) -> Vote:
        """WON when both halves are won, LOST when one is lost."""
        results = {vote_result(half, votes) for half in self._halves()}
        if Vote.LOST in results:
            return Vote.LOST
        return Vote.OPEN if Vote.OPEN in results else Vote.WON

    def has_quorum(self, present: Collection[NodeId]) -> bool:
        """Whether `present` holds a majority of each half."""
        return self.vote_result(dict.fromkeys(present, True)) is Vote.WON

    def _halves(self) -> Iterator[tuple[NodeId, ...]]:
        yield self.voters
        if self.outgoing:
            yield self.outgoing
