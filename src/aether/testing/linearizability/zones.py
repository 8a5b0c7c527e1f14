"""Contradictions that need no search: two values that must both have been there at one instant.

Knows: for each value that one write left, the span from first return to last call of all that wrote or found it.
Never: versions, values that several writes left, absence.
Holds: what is found is a violation; finding nothing says nothing.
Paper: Gibbons & Korach 1997, "Testing shared memories": zones of a register whose values are written once.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence

import attrs

from aether.testing.linearizability.facts import Facts
from aether.testing.linearizability.operation import Operation


@attrs.frozen
class Zone:
    """One value: its write, who was through with it first, and who came to it last.

    It was there from before `first.returned` until after `last.called`; when these cross it was there at some instant
    between them.
    """

    write: Operation
    first: Operation
    last: Operation

    @property
    def is_forward(self) -> bool:
        return self.first.returned < self.last.called

    @property
    def operations(self) -> tuple[Operation, ...]:
        return self.write, self.first, self.last


def contradiction(certain: Sequence[Operation], opened: Sequence[Operation], facts: Facts) -> tuple[Operation, ...]:
    """A few operations that no order explains; empty when none are found this way."""
    if facts.phantoms:
        return (certain[facts.phantoms[0]],)
    zones = list(_zones(certain, opened, facts))
    for zone in zones:
        if zone.first.returned < zone.write.called:
            return _distinct(zone.operations)
    forward = sorted((z for z in zones if z.is_forward), key=lambda z: z.first.returned)
    for one, two in itertools.pairwise(forward):
        if two.first.returned < one.last.called:
            return _distinct((*one.operations, *two.operations))
    begins = [zone.first.returned for zone in forward]
    for inner in zones:
        at = bisect.bisect_left(begins, inner.last.called) - 1
        if not inner.is_forward and at >= 0 and inner.first.returned < forward[at].last.called:
            return _distinct((*forward[at].operations, *inner.operations))
    return ()


def _zones(certain: Sequence[Operation], opened: Sequence[Operation], facts: Facts) -> Iterator[Zone]:
    for value, place in facts.writers.items():
        write = certain[place] if place >= 0 else opened[-1 - place]
        readers = [certain[i] for i in facts.readers.get(value, ())]
        if readers or place >= 0:
            seen = [write, *readers]
            yield Zone(write, min(seen, key=lambda o: o.returned), max(seen, key=lambda o: o.called))


def _distinct(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    return tuple(sorted(dict.fromkeys(operations), key=lambda o: o.called))
