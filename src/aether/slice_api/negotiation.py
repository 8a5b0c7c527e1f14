"""What a client accepts: media types and content codings with their weights.

Knows: Accept and Accept-Encoding as fields of text.
Never: requests, what is offered and why.
Holds: what cannot be read in a field is passed over, as if it had not been sent; the work is bounded by RANGES_MAX.
Paper: RFC 9110 12.4.2 (weights), 12.5.1 (Accept), 12.5.3 (Accept-Encoding).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final

RANGES_MAX: Final = 64
_CACHED_CHARS_MAX: Final = 256
_WEIGHT: Final = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def media_type(content_type: str) -> str:
    """`content_type` in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def choose_type(accept: str, offered: tuple[str, ...]) -> str | None:
    """The media type of `offered` that the client likes best; of equals the first. None: it accepts none of them.

    accept  the field as sent, repeated ones joined; "" accepts everything
    """
    if not accept or accept == "*/*":
        return offered[0]
    if len(accept) > _CACHED_CHARS_MAX:
        return _best_type(accept, offered)
    return _cached_type(accept, offered)


def choose_coding(accept_encoding: str, offered: Sequence[str]) -> str:
    """The content coding of `offered` that the client likes at least as much as none at all, else "identity"."""
    weights = dict(_weighted(accept_encoding.replace("x-gzip", "gzip")))
    other = weights.get("*", 0.0)
    plain = weights.get("identity", max(other, 0.001) if "*" in weights and other else 0.001)
    best, best_weight = "identity", plain
    for coding in offered:
        weight = weights.get(coding, other)
        if weight > 0 and weight >= best_weight and (best == "identity" or weight > best_weight):
            best, best_weight = coding, weight
    return best


def _best_type(accept: str, offered: tuple[str, ...]) -> str | None:
    ranges = _weighted(accept)
    if not ranges:
        return offered[0]
    weights = [_weight_of(media, ranges) for media in offered]
    best = max(weights)
    return offered[weights.index(best)] if best > 0 else None


_cached_type = functools.lru_cache(maxsize=512)(_best_type)


def _weight_of(media: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The weight of the most specific range that covers `media`; 0 when none does."""
    by_range = dict(ranges)
    for covering in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if covering in by_range:
            return by_range[covering]
    return 0.0


def _weighted(field: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for element in field.split(",", RANGES_MAX)[:RANGES_MAX]:
        name, *parameters = (part.strip().lower() for part in element.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q" and _WEIGHT.fullmatch(value.strip()):
                weight = float(value)
        if name:
            found.append((name, weight))
    return found
