"""How long rows have stood as they do, by the clock of this process alone.

Knows: when a row was first seen with the stamp that it has.
Never: a clock (its time is passed in), what a row means, what follows from its age.
Holds: wall clocks jump, and differ between nodes: a stamp tells whether a row is still the same, never how old it is.
       Every node looks, so that a new leader knows about as much as the one before; one that began later counts from
       then: what waits for a time waits at most that time once more.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable


class Ages:
    """Of rows of one kind, followed from look to look."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def look(self, rows: Iterable[tuple[Hashable, Hashable]], now: float) -> None:
        """All that there are, each by its name and the stamp that changes when its time begins anew.

        now  seconds of a clock that never goes back
        """
        before = self._seen
        self._seen = {}
        for name, stamp in rows:
            known = before.get(name)
            self._seen[name] = known if known is not None and known[0] == stamp else (stamp, now)

    def lasted_s(self, name: Hashable, now: float) -> float:
        """Seconds since the row stands as it did at the last look; 0 of one that was not there."""
        return now - self._seen[name][1] if name in self._seen else 0.0
