"""Who is told of alerts, and in which words.

Knows: which events are told, the body of a webhook, what makes an address valid, how one is shown.
Never: sending.
Holds: no secret of an address is shown: neither its path nor its query nor who logs in there.
Paper: RFC 3986 (addresses).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from aether.errors import BadInput
from aether.metrics.events import Event, EventType, at_least
from aether.model.alerts import AlertSinksRow, Severity
from aether.model.limits import ALERT_WEBHOOKS_MAX

URL_CHARS_MAX: Final = 2_000
_TYPES: Final = {
    EventType.ALERT_TRIGGERED: "THRESHOLD_EXCEEDED",
    EventType.ALERT_RESOLVED: "ALERT_RESOLVED",
    EventType.SLICE_ALL_INSTANCES_FAILED: "SLICE_ALL_INSTANCES_FAILED",
}
"""Events that are told, and what the original calls them."""


def is_told(event: Event, sinks: AlertSinksRow) -> bool:
    """Whether `sinks` are to hear of it: an end is as grave as what ends."""
    if event.type not in _TYPES:
        return False
    ended = event.details.get("severity") if event.type is EventType.ALERT_RESOLVED else None
    severity = Severity(ended) if isinstance(ended, str) else event.severity
    return at_least(severity, sinks.severity)


def webhook_body(event: Event, cluster: str) -> bytes:
    """JSON: `type`, `cluster`, and the event with its details beside it."""
    shown = event.shown()
    return json.dumps(
        {**shown, **event.details, "eventType": shown["type"], "type": _TYPES[event.type], "cluster": cluster},
        ensure_ascii=False,
    ).encode()


def check_webhooks(urls: Sequence[str]) -> None:
    """Raise BadInput with every problem, none of which repeats what an address holds."""
    problems = [f"webhooks: {len(urls)} addresses; at most {ALERT_WEBHOOKS_MAX}"] * (len(urls) > ALERT_WEBHOOKS_MAX)
    for number, url in enumerate(urls[:ALERT_WEBHOOKS_MAX], 1):
        problems += [f"webhooks: address {number} {problem}" for problem in _problems(url)]
    if len(set(urls)) < len(urls):
        problems.append("webhooks: an address stands there twice")
    if problems:
        raise BadInput("the sinks of alerts do not fit", tuple(problems))


def _problems(url: str) -> list[str]:
    if len(url) > URL_CHARS_MAX:
        return [f"has {len(url)} characters; at most {URL_CHARS_MAX}"]
    if not url.isascii() or any(char <= " " or char == "\x7f" for char in url):
        return ["holds a space, a line break or a character that is not ASCII; escape it as %XX"]
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return ["cannot be read as an address"]
    if parts.scheme not in ("http", "https"):
        return ["begins neither with https:// nor with http://"]
    return [] if host else ["names no host"]


def masked(url: str) -> str:
    """Scheme, host and port alone."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "(unreadable)"
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{f':{port}' if port is not None else ''}/..."
