"""The last two hours of the busiest methods.

Knows: four series of a method, a value for each ten seconds: that is how often nodes tell each other of their calls.
Never: clocks, who counts.
Holds: at most METHODS_KEPT methods; one takes another's place when it is called more often than the least busy of
       them was in the last minutes.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from aether.metrics.rings import RowRing
from aether.model.limits import METHODS_KEPT, TENS_KEPT

SERIES: Final = ("rate", "failure_rate", "p95_s", "in_flight")
TEN: Final = 10
FADE: Final = 0.5 ** (1 / 30)
"""What is left of how busy a method was, ten seconds later: half of it after five minutes."""

MethodKey = tuple[str, str]
"""`group:artifact:version` and the method."""


@attrs.define(eq=False)
class _Kept:
    ring: RowRing = attrs.field(factory=lambda: RowRing(len(SERIES), TENS_KEPT))
    busy: float = 0.0


class MethodWindows:
    """Of the whole cluster."""

    def __init__(self) -> None:
        self._kept: dict[MethodKey, _Kept] = {}

    def keys(self) -> Sequence[MethodKey]:
        """Methods with a window."""
        return sorted(self._kept)

    def put(self, at_s: float, methods: Mapping[MethodKey, Sequence[float]]) -> None:
        """What is known now of each method, in the order of SERIES; once every ten seconds."""
        for key, kept in self._kept.items():
            rate = methods[key][0] if key in methods else 0.0
            kept.busy = kept.busy * FADE + rate * (1 - FADE)
        for key in sorted(methods.keys() - self._kept.keys(), key=lambda key: (-methods[key][0], key)):
            if not self._has_room(methods[key][0]):
                break
            self._kept[key] = _Kept(busy=methods[key][0])
        for key, values in methods.items():
            if key in self._kept:
                self._kept[key].ring.put(int(at_s) // TEN, array("f", values))

    def window(self, key: MethodKey, series: str, first_s: float, now_s: float) -> Sequence[tuple[float, float]]:
        """(second, value), oldest first; () for one that is not kept."""
        kept = self._kept.get(key)
        if kept is None or series not in SERIES:
            return ()
        points = kept.ring.column(SERIES.index(series), int(-(-first_s // TEN)), int(now_s) // TEN)
        return [(float(slot * TEN), value) for slot, value in points]

    def _has_room(self, busy: float) -> bool:
        if len(self._kept) < METHODS_KEPT:
            return True
        least = min(self._kept, key=lambda key: (self._kept[key].busy, key))
        if self._kept[least].busy >= busy:
            return False
        del self._kept[least]
        return True
