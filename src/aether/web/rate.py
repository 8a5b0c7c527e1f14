"""How often one client may ask: token buckets.

Knows: buckets by key, refilled evenly; how a bucket is shown in header fields.
Never: clocks (time is given), who a client is.
Holds: at most `keys_max` buckets, the ones used last; one that is forgotten comes back full. Time that goes backwards
       refills nothing.
Paper: draft-ietf-httpapi-ratelimit-headers-10 (the fields RateLimit and RateLimit-Policy).
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from typing import Final, NamedTuple, Self

from aether.model.origins import network_of
from aether.slice_api.route_options import RateLimit

KEYS_MAX: Final = 10_000
NAME_CHARS_MAX: Final = 64  # a longer one is kept as its digest


class Allowance(NamedTuple):
    """What one request got. wait_s  until the next would be let through, 0 when it would be now"""

    allowed: bool
    remaining: int
    wait_s: float


class TokenBuckets:
    """The clients of one route."""

    def __init__(self, limit: RateLimit, keys_max: int = KEYS_MAX) -> None:
        self.limit: RateLimit = limit
        self._keys_max = keys_max
        self._rate = limit.count / limit.per_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> (tokens, when)

    @classmethod
    def evenly(cls, count: int, per_s: float, keys_max: int) -> Self:
        """Buckets that let `count` through in `per_s` seconds."""
        return cls(RateLimit(count, per_s), keys_max)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> Allowance:
        """One request of `key` at `now`, in seconds of any clock."""
        full = float(self.limit.size)
        tokens, when = self._buckets.pop(key, (full, now))
        tokens = min(full, tokens + max(0.0, now - when) * self._rate)
        allowed = tokens >= 1
        tokens -= allowed
        self._buckets[key] = (tokens, max(now, when))
        if len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)
        return Allowance(allowed, int(tokens), max(0.0, (1 - tokens) / self._rate))

    def headers(self, given: Allowance) -> dict[str, str]:
        """What the client is told: the rule, what is left of it, and in how many seconds there is more."""
        limit = self.limit
        window_s = max(1, math.ceil(limit.size / self._rate))
        return {
            "RateLimit-Policy": f'"route";q={limit.size};w={window_s}',
            "RateLimit": f'"route";r={given.remaining};t={math.ceil(given.wait_s)}',
        }


def key_of(address: str, named: str) -> str:
    """Who a client is: what it calls itself, of a bounded size, else its network.

    The two never meet: nobody empties the bucket of an address by taking it for a name.
    """
    if not named:
        return network_of(address)
    return f"={named}" if len(named) <= NAME_CHARS_MAX else f"#{hashlib.sha256(named.encode()).hexdigest()}"
