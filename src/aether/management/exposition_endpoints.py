"""The metrics of the answering node, for Prometheus.

Knows: that the format follows `Accept`.
Never: formats, metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether.management.actors import Actors
from aether.management.endpoint import NO_BODY, Endpoint, Query
from aether.model.access import Role
from aether.web.request import Request, Response

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Vary": "Accept"}


async def scrape(actors: Actors, request: Request, query: Query, variables: Mapping[str, str]) -> Response:
    """Text of this node's own metrics; other nodes are scraped by themselves."""
    body, content_type = await actors.exposition.render(request.header("accept") or "")
    return Response(200, body, content_type, _HEADERS)


EXPOSITION_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/metrics/prometheus",
        about="The metrics of this node, as text for Prometheus; OpenMetrics when `Accept` names it.",
        role=Role.VIEWER,
        query=NO_BODY,
        serve=scrape,
    ),
)
