"""Alerts and thresholds, as the original answers them, and who is told.

Knows: the paths, the answers.
Never: when an alert begins; addresses of webhooks in an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from aether.errors import BadInput
from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import FRESH, REHEARSED, Endpoint
from aether.management.facts import Answer
from aether.management.schema import Field, Kind, Schema
from aether.metrics.alert_sinks import masked
from aether.metrics.events import Event, EventType
from aether.metrics.thresholds import DEFAULTS, NAME_CHARS_MAX, is_known
from aether.model.access import Role
from aether.model.alerts import AlertRow, AlertSinksRow, Severity
from aether.web.request import Request, Response, json_response

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
Query = Mapping[str, object]
Variables = Mapping[str, str]


# --- reading ----------------------------------------------------------------------------------------------------------


async def thresholds(actors: Actors, query: Query, variables: Variables) -> Answer:
    """By metric, as the original answers: nothing else stands beside them."""
    return {
        metric: {
            "warning": row.warning,
            "critical": row.critical,
            "isDefault": row == DEFAULTS.get(metric),
            "known": is_known(metric),
            "by": row.by,
            "at": row.at,
        }
        for metric, row in actors.alerts.thresholds().items()
    }


async def alerts(actors: Actors, query: Query, variables: Variables) -> Answer:
    return {"active": _active(actors), "history": _history(actors)}


async def active(actors: Actors, request: Request, query: Query, variables: Variables) -> Response:
    return json_response(_active(actors), headers=_HEADERS)


async def history(actors: Actors, request: Request, query: Query, variables: Variables) -> Response:
    return json_response(_history(actors), headers=_HEADERS)


async def sinks(actors: Actors, query: Query, variables: Variables) -> Answer:
    return _sinks(actors.alerts.sinks())


def shown_alert(row: AlertRow) -> Answer:
    """One that holds now."""
    return {
        "metric": row.metric,
        "nodeId": row.subject,
        "value": row.value,
        "threshold": row.threshold,
        "severity": row.severity.value,
        "triggeredAt": int(row.since * 1000),
    }


def shown_past(event: Event) -> Answer:
    """The beginning or the end of one."""
    details = event.details
    return {
        "timestamp": int(event.at * 1000),
        "metric": details.get("metric", ""),
        "nodeId": details.get("nodeId", ""),
        "value": details.get("value", 0.0),
        "threshold": details.get("threshold", 0.0),
        "severity": details.get("severity", ""),
        "status": "RESOLVED" if event.type is EventType.ALERT_RESOLVED else "TRIGGERED",
        "id": event.id,
    }


def _active(actors: Actors) -> list[Answer]:
    return [shown_alert(row) for row in actors.alerts.active()]


def _history(actors: Actors) -> list[Answer]:
    return [shown_past(event) for event in actors.alerts.history()]


def _sinks(row: AlertSinksRow) -> Answer:
    return {
        "webhooks": [masked(url) for url in row.webhooks],
        "log": row.log,
        "severity": row.severity.value,
        "by": row.by,
        "at": row.at,
    }


# --- changing ---------------------------------------------------------------------------------------------------------


async def set_threshold(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    metric = cast("str", body["metric"])
    warning, critical = float(cast("float", body["warning"])), float(cast("float", body["critical"]))
    revision = await actors.alerts.set_threshold(metric, warning, critical, by)
    answer: Answer = {"status": "threshold_set", "metric": metric, "warning": warning, "critical": critical}
    return Changed(answer | {"known": is_known(metric), "revision": revision}, revision, frozenset())


async def remove_threshold(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    metric = cast("str", body["metric"])
    revision = await actors.alerts.remove_threshold(metric, by)
    return Changed({"status": "threshold_removed", "metric": metric, "revision": revision}, revision, frozenset())


async def clear(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    revision, cleared = await actors.alerts.clear()
    return Changed({"status": "alerts_cleared", "cleared": cleared, "revision": revision}, revision, frozenset())


async def set_sinks(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    """What the body does not name stays as it is."""
    known = actors.alerts.sinks()
    webhooks = _webhooks(body["webhooks"]) if "webhooks" in body else known.webhooks
    severity = _severity(cast("str", body.get("severity", known.severity.value)))
    log = cast("bool", body.get("log", known.log))
    revision = await actors.alerts.set_sinks(webhooks, log=log, severity=severity, by=by)
    shown = _sinks(AlertSinksRow(webhooks=webhooks, log=log, severity=severity, by=by))
    return Changed({"status": "alert_sinks_set", **shown, "revision": revision}, revision, frozenset())


def _webhooks(value: object) -> tuple[str, ...]:
    """[{"url": ...}]: objects, so that no audit takes an address for harmless text."""
    items = cast("list[object]", value) if isinstance(value, list) else [None]
    urls = [cast("dict[str, object]", item).get("url") if isinstance(item, dict) else None for item in items]
    if not all(isinstance(url, str) for url in urls):
        raise BadInput("the body does not fit", ('webhooks: give a list of objects, such as [{"url": "https://..."}]',))
    return tuple(cast("list[str]", urls))


def _severity(text: str) -> Severity:
    try:
        return Severity(text.upper())
    except ValueError as error:
        problem = f"severity: {text[:80]!r} is none of INFO, WARNING, CRITICAL"
        raise BadInput("the body does not fit", (problem,)) from error


_READ: Final = Schema(FRESH)
_METRIC: Final = Field(
    "metric", Kind.TEXT, required=True, low=1, high=NAME_CHARS_MAX, about="name of a figure, such as cpu.usage"
)
_BODY: Final = Schema(
    (
        _METRIC,
        Field("warning", Kind.NUMBER, required=True, low=-1e300, high=1e300, about="WARNING from this value on"),
        Field("critical", Kind.NUMBER, required=True, low=-1e300, high=1e300, about="CRITICAL from this value on"),
    )
)
ALERT_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/thresholds",
        about="From when on each figure is worth an alert.",
        role=Role.VIEWER,
        query=_READ,
        ask=thresholds,
    ),
    Endpoint(
        path="/thresholds",
        about="Say from when on a figure is worth an alert.",
        role=Role.OPERATOR,
        query=REHEARSED,
        body=_BODY,
        change=set_threshold,
    ),
    Endpoint(
        path="/thresholds/{metric}",
        about="Let a figure be worth no alert; one without a threshold is no failure.",
        role=Role.OPERATOR,
        query=REHEARSED,
        change=remove_threshold,
        deletes=True,
    ),
    Endpoint(path="/alerts", about="Alerts that hold, and the past ones.", role=Role.VIEWER, query=_READ, ask=alerts),
    Endpoint(path="/alerts/active", about="Alerts that hold.", role=Role.VIEWER, query=_READ, serve=active),
    Endpoint(
        path="/alerts/history", about="Beginnings and ends of alerts.", role=Role.VIEWER, query=_READ, serve=history
    ),
    Endpoint(
        path="/alerts/clear",
        about="End every alert; those whose figures still stand too high begin anew.",
        role=Role.OPERATOR,
        query=REHEARSED,
        change=clear,
    ),
    Endpoint(
        path="/alerts/sinks",
        about="Who is told of alerts; of addresses the host alone.",
        role=Role.ADMIN,
        query=_READ,
        ask=sinks,
    ),
    Endpoint(
        path="/alerts/sinks",
        about="Say who is told of alerts.",
        role=Role.ADMIN,
        query=REHEARSED,
        body=Schema(
            (
                Field("webhooks", Kind.ANY, about='objects, {"url": address}: each alert goes there by POST'),
                Field("log", Kind.FLAG, about="whether the leader logs them"),
                Field("severity", Kind.TEXT, high=16, about="from which on: INFO, WARNING or CRITICAL"),
            )
        ),
        change=set_sinks,
    ),
)
