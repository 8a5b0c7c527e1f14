"""A placement strategy of somebody else, kept from doing harm.

Knows: which strategies are ours, what a rank looks like.
Never: ranks by itself.
Holds: whatever it raises or returns, the decision about its slices alone fails, with a reason that says why.
"""

from __future__ import annotations

from typing import cast

import attrs

from aether.deployment.placement import STRATEGIES, Candidate, Placement, Rank
from aether.deployment.reasons import first_line


class PlacementFailed(Exception):
    """The strategy `name` gave no rank. The text is the reason of a shortage."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the placement strategy {name} failed: {reason}")
        self.name = name


def guarded(placement: Placement) -> Placement:
    """`placement` as it is where it is ours, else one that raises nothing but PlacementFailed."""
    return placement if any(placement is ours for ours in STRATEGIES.values()) else Guarded(placement)


@attrs.frozen(eq=False)
class Guarded:
    """Calls `placement`, and looks at what comes back."""

    placement: Placement

    def __call__(self, candidate: Candidate, /) -> Rank:
        """Raises PlacementFailed."""
        try:
            rank = cast("object", self.placement(candidate))
        except Exception as error:  # code of a third party may raise anything
            raise self._failure(first_line(error)) from error
        if type(rank) is tuple and all(isinstance(part, int) for part in cast("tuple[object, ...]", rank)):
            return cast("Rank", rank)
        kind = type(cast("object", rank)).__name__
        raise self._failure(f"it returned a rank of type {kind}; return a tuple of whole numbers")

    def _failure(self, reason: str) -> PlacementFailed:
        name = getattr(self.placement, "__name__", type(self.placement).__name__)
        return PlacementFailed(str(name), reason)
