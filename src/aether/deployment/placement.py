"""Which node takes the next instance.

Knows: what each candidate carries already.
Never: whether an instance is wanted, who may host it (reconcile asks only about nodes that may).
Holds: a rank depends on the candidate alone, equals are taken in order, so that every leader chooses alike; nothing is
       remembered between two decisions: even turns stand in the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import attrs

from aether.model.ids import NodeId
from aether.model.placing import Kind

Rank = tuple[int, ...]
"""Compared from the left; the lowest is the best."""


@attrs.frozen(kw_only=True)
class Candidate:
    """A node that may take one more instance of a slice.

    same      instances of this slice there, FAILED ones included, so that a retry prefers another node
    load      running or starting instances of all slices there, without those that are to go
    order     its place among the members: by their ids, or as `pin` names them
    turn      the number of the last instance that was assigned to it; numbers rise with each assignment, 0 = none
    capacity  how many instances it takes in all, None = no limit; reconcile keeps it
    labels    of its member row; kind  CORE for voters, WORKERS for learners
    """

    node: NodeId
    same: int
    load: int
    order: int = 0
    turn: int = 0
    capacity: int | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str])
    kind: Kind = Kind.CORE


class Placement(Protocol):
    """Ranks one candidate: the lowest takes the next instance, of equals the first by `order`.

    The same candidate must always get the same rank: ranks are kept until something about their candidate changes.
    """

    def __call__(self, candidate: Candidate, /) -> Rank: ...


def spread(candidate: Candidate) -> Rank:
    """The node with the fewest instances of this slice, then the least loaded: a crash costs the least capacity."""
    return candidate.same, candidate.load


def least_loaded(candidate: Candidate) -> Rank:
    """The node with the fewest instances of any slice: even use of machines, whatever runs there."""
    return candidate.load, candidate.same


def round_robin(candidate: Candidate) -> Rank:
    """The node whose last turn is the longest ago, whatever it carries."""
    return (candidate.turn,)


def bin_pack(candidate: Candidate) -> Rank:
    """The fullest node that has room: the others stay empty, and may leave. Wants capacities."""
    return -candidate.load, candidate.same


def pinned(candidate: Candidate) -> Rank:
    """The first node that may, in the order of `pin`; the next one only when it cannot take any more."""
    return (candidate.order,)


STRATEGIES: Final[Mapping[str, Placement]] = {
    "spread": spread,
    "least_loaded": least_loaded,
    "round_robin": round_robin,
    "bin_pack": bin_pack,
    "pinned": pinned,
}
"""Ours, by the names that slices and nodes give them."""
