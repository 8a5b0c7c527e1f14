"""What is remembered of a change that somebody was allowed to make.

Knows: the row of it, what of a body may be shown.
Never: clocks, randomness, requests.
Holds: no secret and no long text of a body reaches a row: what is not known to be harmless is told by its size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from aether.model.access import AuditRow, Role
from aether.model.limits import AUDIT_DETAIL_CHARS_MAX

SHOWN_TEXT_CHARS_MAX: Final = 100
SHOWN_ITEMS_MAX: Final = 8
_SECRETIVE: Final = ("secret", "token", "password", "passphrase", "credential", "private", "apikey", "api_key", "auth")
_CONTENTS: Final = frozenset({"toml", "value", "base64", "config", "body", "csr", "arguments"})
"""Fields that hold what people store: their business, and perhaps their secret."""


def audit_row(
    *,
    at: float,
    mark: str,
    actor: str,
    role: Role,
    verb: str,
    path: str,
    request_id: str,
    node: str,
    body: Mapping[str, object],
) -> AuditRow:
    """at  seconds since the epoch; mark  random text: two changes of one millisecond have different ids"""
    return AuditRow(
        id=f"{int(at * 1000):013d}-{mark}",
        at=at,
        actor=actor,
        role=role,
        verb=verb,
        path=path[:SHOWN_TEXT_CHARS_MAX],
        request_id=request_id,
        node=node,
        detail=shown_detail(body),
    )


def shown_detail(body: Mapping[str, object]) -> str:
    """`name=value` of each field that may be shown, at most AUDIT_DETAIL_CHARS_MAX characters."""
    text = ", ".join(f"{name}={_shown(name, value)}" for name, value in sorted(body.items()))
    return text if len(text) <= AUDIT_DETAIL_CHARS_MAX else f"{text[: AUDIT_DETAIL_CHARS_MAX - 3]}..."


def _shown(name: str, value: object) -> str:
    lowered = name.lower()
    if any(word in lowered for word in _SECRETIVE):
        return "(hidden)"
    if lowered in _CONTENTS:
        return _size(value)
    if isinstance(value, str | int | float) or value is None:
        text = str(value)
        return text if len(text) <= SHOWN_TEXT_CHARS_MAX else _size(text)
    return _items(cast("list[object]", value)) if isinstance(value, list) else "(contents)"


def _items(items: list[object]) -> str:
    harmless = len(items) <= SHOWN_ITEMS_MAX and all(isinstance(item, str | int | float) for item in items)
    return ";".join(str(item)[:SHOWN_TEXT_CHARS_MAX] for item in items) if harmless else f"({len(items)} items)"


def _size(value: object) -> str:
    return f"({len(value)} characters)" if isinstance(value, str) else "(contents)"
