"""A stream of events as a client reads it.

Knows: fields, blank lines and comments of text/event-stream; coming back with the last id.
Never: what events mean.
Holds: a stream that breaks is taken up behind the last event that came; only when no node answers for COME_BACK_S is it
       given up.
Paper: WHATWG HTML, section 9.2.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import attrs

from aether.cli.connection import Connection
from aether.cli.exits import CommandFailed, Exit

COME_BACK_S: Final = 30.0
RETRY_S: Final = 1.0
LINE_BYTES_MAX: Final = 4 * 2**20


@attrs.frozen(kw_only=True)
class Received:
    """One event: its name ("" for an ordinary one), the id to come back with ("" = as before), its data."""

    name: str = ""
    id: str = ""
    data: str = ""


def read_events(parts: Iterable[bytes]) -> Iterator[Received]:
    """Events out of the parts of a body. Raises CommandFailed for a line without end."""
    fields: dict[str, str] = {}
    for line in _lines(parts):
        if line:
            name, _, value = line.partition(":")
            if name in ("id", "event", "data"):
                fields[name] = value.removeprefix(" ")
        elif fields:
            if "data" in fields:
                yield Received(name=fields.get("event", ""), id=fields.get("id", ""), data=fields["data"])
            fields = {}


def _lines(parts: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise CommandFailed(Exit.FAILED, f"a line of the stream is longer than {LINE_BYTES_MAX} bytes")
        yield from (line.rstrip(b"\r").decode(errors="replace") for line in whole)


def follow(
    connection: Connection,
    query: dict[str, str],
    *,
    answered: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[str, Any]]:
    """(name, value) of each event, for ever. Raises CommandFailed when nobody answers any more, or the first time.

    answered  whether the node has answered before, so that it is waited for also when no event came yet
    """
    since, heard = query.get("since", ""), answered
    away_since: float | None = None  # a stream without events is no absence: heartbeats count

    def parts(asked: dict[str, str]) -> Iterator[bytes]:
        nonlocal heard, away_since
        for part in connection.stream("/events", accept="text/event-stream", **asked):
            heard, away_since = True, None
            yield part

    while True:
        try:
            for event in read_events(parts({**query, **({"since": since} if since else {})})):
                since = event.id or since
                yield event.name, json.loads(event.data)
        except CommandFailed as error:
            away_since = now() if away_since is None else away_since
            is_away = error.code in (Exit.CANNOT_CONNECT, Exit.TIMED_OUT)
            if not is_away or not heard or now() - away_since > COME_BACK_S:
                raise
        sleep(RETRY_S)
