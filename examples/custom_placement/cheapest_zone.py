"""A placement strategy of one's own: instances go to the cheapest zone first, and are spread inside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from aether.deployment.placement import Candidate, Rank

VARIABLE: Final = "ZONE_PRICES"
UNKNOWN_CENTS: Final = 10**9  # a zone without a price comes last


def read_prices(text: str) -> dict[str, int]:
    """Cents per hour by zone, from `spot=3,reserved=8`. Raises ValueError for anything else."""
    pairs = (pair.partition("=") for pair in text.split(",") if pair.strip())
    return {zone.strip(): int(cents) for zone, _, cents in pairs}


class CheapestZone:
    """Ranks by the price of the zone, then as `spread` does. Every node wants the same prices: any may lead."""

    def __init__(self, prices: Mapping[str, int]) -> None:
        self.prices: dict[str, int] = dict(prices)

    def __call__(self, candidate: Candidate, /) -> Rank:
        cents = self.prices.get(candidate.labels.get("zone", ""), UNKNOWN_CENTS)
        return cents, candidate.same, candidate.load


cheapest_zone = CheapestZone(read_prices(os.environ.get(VARIABLE, "")))
