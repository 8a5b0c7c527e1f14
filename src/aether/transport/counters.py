"""The counters of one transport, while they count.

Knows: what TransportStatistics shows.
Never: what the figures are used for.
"""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType

import attrs

from aether.transport.values import TransportStatistics
from aether.wire.lane import Lane


def _per_lane() -> list[int]:
    return [0] * len(Lane)


@attrs.define
class Counters:
    """Lists by lane number, as an increment stands on the path of every message."""

    sent_frames: list[int] = attrs.field(factory=_per_lane)
    sent_bytes: list[int] = attrs.field(factory=_per_lane)
    received_frames: list[int] = attrs.field(factory=_per_lane)
    received_bytes: list[int] = attrs.field(factory=_per_lane)
    dropped: list[int] = attrs.field(factory=_per_lane)
    refused: Counter[str] = attrs.field(factory=Counter[str])
    closed: Counter[str] = attrs.field(factory=Counter[str])
    reconnects: int = 0
    unhandled: int = 0

    def snapshot(self, queued_bytes: int = 0) -> TransportStatistics:
        return TransportStatistics(
            queued_bytes=queued_bytes,
            sent_frames=_by_lane(self.sent_frames),
            sent_bytes=_by_lane(self.sent_bytes),
            received_frames=_by_lane(self.received_frames),
            received_bytes=_by_lane(self.received_bytes),
            dropped=_by_lane(self.dropped),
            refused=MappingProxyType(dict(self.refused)),
            closed=MappingProxyType(dict(self.closed)),
            reconnects=self.reconnects,
            unhandled=self.unhandled,
        )


def _by_lane(counts: list[int]) -> MappingProxyType[Lane, int]:
    return MappingProxyType(dict(zip(Lane, counts, strict=True)))
