"""The faults of one run as a list that can be replayed with some left out: what shrinking needs.

Knows: the name of each fault: its kind, where it struck, and the when or how-manieth of that.
Never: what a fault does, which dice were thrown for it.
Holds: dice are thrown whether or not a fault is allowed, so leaving one out shifts no other.
"""

from __future__ import annotations

from collections import Counter


class Schedule:
    """only  the names of faults that may strike; None when all may. struck  those that did, in order."""

    def __init__(self, only: frozenset[str] | None = None) -> None:
        self.struck: list[str] = []
        self._only = only
        self._counts: Counter[str] = Counter()

    def strikes(self, kind: str) -> bool:
        """Whether the next fault of this kind takes place. `kind` says where, if there are several places."""
        self._counts[kind] += 1
        return self.strikes_at(kind, self._counts[kind])

    def strikes_at(self, kind: str, when: int) -> bool:
        """The same for a fault whose moment is its name: it stays the same whatever else is left out."""
        name = f"{kind}#{when}"
        if self._only is not None and name not in self._only:
            return False
        self.struck.append(name)
        return True
