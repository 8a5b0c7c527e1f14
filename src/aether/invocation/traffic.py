"""Which version takes a call while two or more share the traffic: exact over requests, or sticky by a key.

Knows: weights as whole parts; counts and keys passed in. Decided before an instance is chosen, so that the shares
       hold for any number of instances of each version.
Never: instances, clocks; randomness is passed in.
Holds: after n turns of one caller each version has had n x share of them, less than one more or fewer. A key's version
       depends on the weights alone: it is the same at every caller, and stays while that version's weight grows against
       every other's.
Paper: Baruah, Cohen, Plaxton, Varvel, "Proportionate Progress" (1996), for turns: each turn is a slot, each version a
       task, its next window the one that ends first; Schindelhauer, Schomaker, "Weighted Distributed Hash Tables"
       (2005), for keys: the logarithmic method.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aether.invocation.call_key import hash_of
from aether.model.version import Version

if TYPE_CHECKING:
    from aether.invocation.balance import Uniform


def next_turn(weights: Sequence[int], counts: Sequence[int]) -> int:
    """Whose turn it is: an index into `weights`, whole parts of which at least one is above 0.

    counts  turns that each had before, by this function from none
    """
    total, turn = sum(weights), sum(counts)
    due: list[tuple[int, int]] = []
    for index, (weight, count) in enumerate(zip(weights, counts, strict=True)):
        if count * total < (turn + 1) * weight:  # its window has begun
            due.append((-(-(count + 1) * total // weight), index))
    return min(due)[1]


class Turns:
    """The turns of one caller between versions of given weights.

    Two versions, the ordinary case, begin at a random place of their cycle: a thousand callers that make ten calls each
    would otherwise all begin with the version of more weight, and a canary would see nobody.
    """

    def __init__(self, weights: Mapping[Version, int], random: Uniform) -> None:
        weighted = sorted((version, weight) for version, weight in weights.items() if weight > 0)
        self.versions: tuple[Version, ...] = tuple(version for version, _ in weighted)
        self._weights = tuple(weight for _, weight in weighted)
        self._total = sum(self._weights)
        self._counts = [0] * len(weighted)
        self._place = int(random.random() * self._total) if len(weighted) == 2 else 0

    def next(self) -> Version:
        """Whose turn it is now."""
        if len(self.versions) == 2:
            # The line with slope w passes a whole number in this step: it is the first version's turn. Any n steps of
            # it pass floor(n w) or ceil(n w) of them, wherever they begin.
            self._place += self._weights[0]
            index = int(self._place < self._total)
            self._place %= self._total
        else:
            index = next_turn(self._weights, self._counts)
            self._counts[index] += 1
            if sum(self._counts) == self._total:  # each has had its exact share: a new cycle
                self._counts = [0] * len(self._counts)
        return self.versions[index]


def sticky_version(weights: Mapping[Version, int], key: str) -> Version:
    """The version of all calls with `key`. At least one weight is above 0."""

    def distance(version: Version) -> tuple[float, Version]:
        return (-math.log(_uniform(f"{version}/{key}")) / weights[version], version)

    return min((v for v, weight in weights.items() if weight > 0), key=distance)


def _uniform(text: str) -> float:
    """In (0, 1], from 53 bits of a hash that is the same on every machine."""
    return ((hash_of(text) >> 11) + 1) / 2**53
