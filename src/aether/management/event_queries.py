"""Which events somebody asks for, and how they are shown.

Knows: the words of a query; JSON.
Never: HTTP, waiting.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final, cast

import attrs

from aether.errors import BadInput
from aether.management.event_source import EventSource
from aether.metrics.event_log import Wanted
from aether.metrics.events import Event, EventType, Since, at_least, read_since
from aether.model.alerts import Severity

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000


@attrs.frozen
class EventQuery:
    """since  None = the last ones, or from now on"""

    since: Since | None
    wanted: Wanted
    limit: int = LIMIT_DEFAULT


def read_event_query(query: Mapping[str, object], last_id: str | None = None) -> EventQuery:
    """last_id  of the last event that a client has, which it says when it comes back. Raises BadInput."""
    asked = last_id or cast("str", query.get("since", ""))
    types = _types(cast("str", query.get("type", "")))
    severity = _severity(cast("str", query.get("severity", "")))

    def wanted(event: Event) -> bool:
        return (not types or event.type in types) and at_least(event.severity, severity)

    since = read_since(asked) if asked else None
    return EventQuery(since, wanted, cast("int", query.get("limit", LIMIT_DEFAULT)))


def selected(events: EventSource, asked: EventQuery) -> dict[str, object]:
    """The answer of a list: `next` is the `since` of the page that follows."""
    found = events.select(asked.since, asked.wanted, asked.limit)
    last = next((event.id for event in reversed(found.events) if event.ordered), None)
    return {
        "events": [event.shown() for event in found.events],
        "truncated": found.truncated,
        "keptAfter": str(found.kept_after),
        "more": found.more,
        "next": last if found.more and last is not None else str(events.log.last_place),
    }


def _types(text: str) -> frozenset[EventType]:
    known = {each.value for each in EventType}
    asked = [word for word in text.upper().replace(" ", "").split(",") if word]
    problems: list[str] = []
    for word in asked:
        if word not in known:
            near = difflib.get_close_matches(word, known, 1)
            hint = f"; did you mean {near[0]}?" if near else "; docs/reference/events.md lists them"
            problems.append(f"type: {word[:80]!r} is no type of event{hint}")
    if problems:
        raise BadInput("the query does not fit", tuple(problems[:20]))
    return frozenset(EventType(word) for word in asked)


def _severity(text: str) -> Severity:
    try:
        return Severity(text.upper() or Severity.INFO.value)
    except ValueError as error:
        problem = f"severity: {text[:80]!r} is none of INFO, WARNING, CRITICAL"
        raise BadInput("the query does not fit", (problem,)) from error
