"""What an author says of a route that the node at the edge carries out: who may read it from where, and how often.

Knows: the options, their checks, and their spelling as text in the replicated route.
Never: requests, clocks, counters (room web).
Holds: `options_from` reads back what `options_text` wrote; what it does not know it passes over, as an older node must.
Paper: WHATWG Fetch 3.3 (CORS).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from aether.errors import BadInput, ContractError
from aether.slice_api.http import Header

_ORIGIN: Final = re.compile(r"https?://[a-z0-9.\-\[\]:]+")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CORS, _RATE, _SUBPROTOCOLS = "cors", "rate", "subprotocols"
SUBPROTOCOLS_MAX: Final = 16


def _texts(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


@attrs.frozen
class Cors:
    """Which pages of other origins may read a route's answers. Without it none may.

    origins      such as "https://app.example", or "*" for any; never "null"
    headers      request headers that such pages may send besides the ordinary ones
    exposed      response headers that they may read
    credentials  cookies and HTTP authentication may come along; not with "*"
    max_age_s    how long a browser may remember this
    """

    origins: tuple[str, ...] = attrs.field(converter=_texts)
    headers: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_texts)
    exposed: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_texts)
    credentials: bool = attrs.field(default=False, kw_only=True)
    max_age_s: float = attrs.field(default=600.0, kw_only=True)

    def __attrs_post_init__(self) -> None:
        for origin in self.origins:
            if origin != "*" and _ORIGIN.fullmatch(origin) is None:
                raise ContractError(
                    f'aether.Cors: {origin!r} is no origin; write scheme and host, such as "https://app.example"'
                )
        if self.credentials and "*" in self.origins:
            raise ContractError("aether.Cors: credentials=True lets any page act for its visitor; name the origins")
        for name in (*self.headers, *self.exposed):
            if _TOKEN.fullmatch(name) is None or name == "*":
                raise ContractError(f"aether.Cors: {name!r} is no header name")

    def allows(self, origin: str) -> bool:
        return "*" in self.origins or origin in self.origins


@attrs.frozen
class RateLimit:
    """How often one client may use a route, at each node that takes its requests.

    count, per_s  requests in so many seconds, evenly refilled; burst  at once, None = count
    by            what a client is: its address, or the value of a header: `aether.Header("X-Api-Key")`
    """

    count: int
    per_s: float = 1.0
    burst: int | None = attrs.field(default=None, kw_only=True)
    by: Header | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        for name, value in (("count", self.count), ("burst", self.size)):
            if type(value) is not int or not 1 <= value <= 1_000_000:
                raise ContractError(f"aether.RateLimit({name}={value!r}): give a whole number from 1 to 1,000,000")
        if not 0 < self.per_s < math.inf:
            raise ContractError(f"aether.RateLimit(per_s={self.per_s!r}): give seconds above 0")
        if self.by is not None and not self.by.name:
            raise ContractError(
                'aether.RateLimit(by=aether.Header()): name the header, such as aether.Header("X-Api-Key")'
            )

    @property
    def size(self) -> int:
        """Requests at once."""
        return self.count if self.burst is None else self.burst


def subprotocols_of(given: str | Iterable[str]) -> tuple[str, ...]:
    """The names of subprotocols, the preferred first. Raises ContractError."""
    names = _texts(given)
    wrong = [name for name in names if type(name) is not str or len(name) > 100 or _TOKEN.fullmatch(name) is None]
    if wrong or len(names) > SUBPROTOCOLS_MAX:
        shown = f"{wrong[0]!r} is no name" if wrong else f"{len(names)} are more than {SUBPROTOCOLS_MAX}"
        raise ContractError(f'aether.websocket(subprotocols=...): {shown}; name them such as "graphql-transport-ws"')
    return names


def options_text(cors: Cors | None, rate: RateLimit | None, subprotocols: Iterable[str] = ()) -> dict[str, str]:
    """The options of one route as text by name."""
    found: dict[str, str] = {}
    if cors is not None:
        found[_CORS] = json.dumps(attrs.asdict(cors))
    if rate is not None:
        by = rate.by.name if rate.by is not None else ""
        found[_RATE] = json.dumps({"count": rate.count, "per_s": rate.per_s, "burst": rate.size, "by": by})
    if subprotocols:
        found[_SUBPROTOCOLS] = json.dumps(list(subprotocols))
    return found


@attrs.frozen
class RouteOptions:
    """The options of a route, read back."""

    cors: Cors | None = None
    rate: RateLimit | None = None
    subprotocols: tuple[str, ...] = ()


def options_from(texts: Mapping[str, str]) -> RouteOptions:
    """Read `options_text`'s. Raises BadInput."""
    cors = rate = None
    subprotocols: tuple[str, ...] = ()
    try:
        if _CORS in texts:
            plain: dict[str, Any] = json.loads(texts[_CORS])
            cors = Cors(plain.pop("origins"), **plain)
        if _RATE in texts:
            plain = json.loads(texts[_RATE])
            by = Header(plain["by"]) if plain["by"] else None
            rate = RateLimit(plain["count"], plain["per_s"], burst=plain["burst"], by=by)
        if _SUBPROTOCOLS in texts:
            subprotocols = subprotocols_of(json.loads(texts[_SUBPROTOCOLS]))
    except (ValueError, TypeError, KeyError, ContractError) as error:
        raise BadInput("malformed options of a route", (f"{dict(texts)!r:.200}: {error}",)) from error
    return RouteOptions(cors, rate, subprotocols)
