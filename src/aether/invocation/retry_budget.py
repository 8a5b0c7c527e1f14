"""How often calls to one artifact may be made more than once, and how often they were.

Knows: counts of this node's calls to each artifact.
Never: clocks, decisions; a NotStarted that is sent elsewhere costs nothing and is only counted.
Holds: repeats and hedges of calls that may have run are at most RETRY_SHARE of all calls, and a burst.
Paper: Dean, Barroso, "The Tail at Scale" (2013).
"""

from __future__ import annotations

from typing import Final

from aether.invocation.statistics import TargetStatistics
from aether.model.artifact import ArtifactBase
from aether.model.limits import RETRY_BURST_MAX, RETRY_SHARE

_BURST: Final = float(RETRY_BURST_MAX)


class RetryBudget:
    """Of one artifact. `calls += 1` for each call made, which is all that an ordinary call pays."""

    __slots__ = ("_at", "_left", "calls", "hedges", "hedges_won", "moved", "refused", "repeats")

    def __init__(self) -> None:
        self.calls: int = 0
        self.moved: int = 0
        self.repeats: int = 0
        self.refused: int = 0
        self.hedges: int = 0
        self.hedges_won: int = 0
        self._left = _BURST
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether one more may be spent."""
        return self._filled() >= 1.0

    def spend(self) -> None:
        """A call that may have run is made once more."""
        self._left = self._filled() - 1.0
        self._at = self.calls

    def _filled(self) -> float:
        return min(_BURST, self._left + RETRY_SHARE * (self.calls - self._at))

    def statistics(self) -> TargetStatistics:
        """As they are now."""
        return TargetStatistics(
            calls=self.calls,
            moved=self.moved,
            repeats=self.repeats,
            refused=self.refused,
            hedges=self.hedges,
            hedges_won=self.hedges_won,
        )


class RetryBudgets(dict[ArtifactBase, RetryBudget]):
    """By artifact; one that is called first has a full budget."""

    def __missing__(self, target: ArtifactBase) -> RetryBudget:
        budget = self[target] = RetryBudget()
        return budget
