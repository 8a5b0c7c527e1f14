"""How long recent calls of one method took, for whoever asks at which time most would be answered.

Knows: the last durations, in seconds; one that was cut short counts as what it had lasted.
Never: clocks.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Final

from aether.model.artifact import ArtifactBase

SAMPLES_MAX: Final = 256
SAMPLES_MIN: Final = 20
"""Of fewer, no share can be told."""
METHODS_MAX: Final = 1_024


class Latencies:
    """Of the hedged calls of one method."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=SAMPLES_MAX)

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def quantile(self, share: float) -> float | None:
        """The time within which `share` of the calls were answered; None as long as too few are known."""
        if len(self._seconds) < SAMPLES_MIN:
            return None
        return sorted(self._seconds)[math.ceil(share * len(self._seconds)) - 1]


class LatencyTable:
    """By target and method; the one that was asked for longest ago goes first."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[ArtifactBase, str], Latencies] = OrderedDict()

    def of(self, target: ArtifactBase, method: str) -> Latencies:
        key = (target, method)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Latencies()
            if len(self._known) > METHODS_MAX:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return known
