"""Events: as a list, as a stream, over a WebSocket.

Knows: the paths, and how a client says which form it wants.
Never: where events come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether.management.actors import Actors
from aether.management.endpoint import FRESH, Endpoint
from aether.management.event_queries import LIMIT_MAX, read_event_query, selected
from aether.management.event_streams_service import EventStream, event_talk
from aether.management.live_service import EVENT_STREAM
from aether.management.schema import Field, Kind, Schema
from aether.model.access import Role
from aether.web.request import Request, Response, json_response

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_SELECTION: Final = (
    Field("since", Kind.TEXT, low=1, high=64, about="only later ones: the id of an event, a revision, or an ISO time"),
    Field("type", Kind.TEXT, high=1_000, about="only these types, parted by commas"),
    Field("severity", Kind.TEXT, high=16, about="only those as grave as INFO, WARNING or CRITICAL, or graver"),
)


async def events(
    actors: Actors, request: Request, query: Mapping[str, object], variables: Mapping[str, str]
) -> Response:
    """A list, or a stream when the client accepts text/event-stream."""
    if EVENT_STREAM in (request.header("accept") or "").lower():
        asked = read_event_query(query, request.header("last-event-id"))
        return actors.live.stream(request, EventStream(actors.events, asked))
    return json_response(selected(actors.events, read_event_query(query)), headers=_HEADERS)


async def event_socket(
    actors: Actors, request: Request, query: Mapping[str, object], variables: Mapping[str, str]
) -> Response:
    return actors.live.socket(request, event_talk(actors.events, read_event_query(query)))


EVENT_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/events",
        about="What happened: the last events, those since one, or a stream of them.",
        role=Role.VIEWER,
        query=Schema(
            (*FRESH, *_SELECTION, Field("limit", Kind.WHOLE, low=1, high=LIMIT_MAX, about="how many; 100 by default"))
        ),
        serve=events,
    ),
    Endpoint(
        path="/ws/events",
        about="The same as messages of a WebSocket.",
        role=Role.VIEWER,
        query=Schema(_SELECTION),
        serve=event_socket,
    ),
)
