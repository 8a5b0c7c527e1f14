"""Which node takes the next instance.

Knows: what each candidate carries already.
Never: whether an instance is wanted, who may host it (reconcile filters the candidates first).
Holds: a choice depends on the candidates alone, ties are broken by node id, so that every leader chooses alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs

from aether.model.ids import NodeId


@attrs.frozen(kw_only=True)
class Candidate:
    """A node that may take one more instance of an artifact.

    same    instances of this artifact there, FAILED ones included, so that a retry prefers another node
    load    running or starting instances of all artifacts there
    labels  of its member row
    """

    node: NodeId
    same: int
    load: int
    labels: Mapping[str, str] = attrs.field(factory=dict[str, str])


class Placement(Protocol):
    """Chooses one of the candidates; never called with none."""

    def __call__(self, candidates: Sequence[Candidate]) -> NodeId: ...


def spread(candidates: Sequence[Candidate]) -> NodeId:
    """The node with the fewest instances of this artifact, then the least loaded: a crash costs the least capacity."""
    return _least(candidates, lambda c: (c.same, c.load))


def least_loaded(candidates: Sequence[Candidate]) -> NodeId:
    """The node with the fewest instances of any artifact: even use of machines, whatever runs there."""
    return _least(candidates, lambda c: (c.load, c.same))


def _least(candidates: Sequence[Candidate], weight: Callable[[Candidate], tuple[int, int]]) -> NodeId:
    return min(candidates, key=lambda c: (*weight(c), c.node)).node
