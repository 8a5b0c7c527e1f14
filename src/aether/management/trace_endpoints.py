"""Where the time of requests went: the last calls, and one request as a waterfall.

Knows: the shape of the answers.
Never: who remembers calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether.errors import NotFound
from aether.management.actors import Actors
from aether.management.endpoint import NO_BODY, Endpoint
from aether.management.facts import Answer
from aether.management.schema import Field, Kind, Schema
from aether.management.trace_view import ShownCall
from aether.model.access import Role
from aether.model.limits import TRACES_KEPT

LIMIT_DEFAULT: Final = 50


async def recent(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    """Of the answering node: calls that came from outside, and those that it served for others."""
    limit = query.get("limit")
    found = actors.traces.recent(limit if isinstance(limit, int) else LIMIT_DEFAULT)
    return {"traces": [_shown(call) for call in found]}


async def one(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    """Of all nodes. Times are by the clock of each node: between nodes they may be off by what the clocks are."""
    request_id = variables["id"]
    found = await actors.traces.of(request_id)
    if not found.lines:
        hint = "requests are remembered for a while after they ended; GET /traces lists the last of this node"
        raise NotFound("trace of request", request_id, hint)
    begin = min(line.at for line in found.lines)
    return {
        "requestId": request_id,
        "traceId": found.lines[0].trace_id,
        "beganAt": begin,
        "spentMs": _ms(max(line.at + line.spent_s for line in found.lines) - begin),
        "unheard": list(found.unheard),
        "spans": [_shown(line) | {"startMs": _ms(line.at - begin), "depth": line.depth} for line in found.lines],
    }


def _shown(call: ShownCall) -> Answer:
    return {
        "requestId": call.request_id,
        "traceId": call.trace_id,
        "name": call.name,
        "nodeId": call.node,
        "instance": call.instance,
        "at": call.at,
        "spentMs": _ms(call.spent_s),
        "outcome": call.outcome,
        "running": call.running,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


TRACE_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        path="/traces",
        about="The last calls of this node, the newest first.",
        role=Role.VIEWER,
        query=Schema((Field("limit", Kind.WHOLE, low=1, high=TRACES_KEPT, about="how many; 50 by default"),)),
        ask=recent,
    ),
    Endpoint(
        path="/traces/{id}",
        about="Where the time of one request went, on all nodes, as a waterfall.",
        role=Role.VIEWER,
        query=NO_BODY,
        ask=one,
    ),
)
