"""Requests to slices as plain data, and their answers as responses.

Knows: the shape of a call made over HTTP, the table of slice routes.
Never: contracts, value classes, instances: the node that owns the code structures the body.
Holds: the input is plain data that the wire codec can carry as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.route import Route
from aether.model.rows import RouteRow
from aether.slice_api.http import HttpInput
from aether.web.problem import fault_problem
from aether.web.request import Request, Response
from aether.web.router import HttpRouter, Match


@attrs.frozen
class Answered:
    """A method returned: the node that owns the code has spelt its result."""

    status: int
    content_type: str
    body: bytes


@attrs.frozen
class FaultAnswer:
    """A method raised a Fault of its contract, as plain data."""

    name: str
    status: int
    title: str
    detail: str
    fields: Mapping[str, object]


SliceAnswer = Answered | FaultAnswer
"""What a call over HTTP came to. Everything else is raised: an AetherError, or trio.TooSlowError."""


@attrs.frozen
class SliceTarget:
    """Who answers a route."""

    artifact: ArtifactBase
    route: Route


class RouteTable:
    """The routes of all slices, from the rows of the replicated store."""

    def __init__(self, rows: Iterable[RouteRow] = ()) -> None:
        ordered = sorted(rows, key=lambda row: row.artifact)
        self.targets: tuple[SliceTarget, ...] = tuple(
            SliceTarget(row.artifact, route) for row in ordered for route in row.routes
        )
        self.router: HttpRouter[SliceTarget] = HttpRouter(
            (target.route.verb, target.route.template, target) for target in self.targets
        )


def http_input(request: Request, found: Match[SliceTarget]) -> list[object]:
    """The request as the plain form of slice_api's HttpInput. Raises BadInput (query string)."""
    route = found.target.route
    return HttpInput(
        verb=route.verb,
        template=route.template,
        path=found.variables,
        query=request.query(),
        headers=request.combined_headers(),
        cookies=request.cookies(),
        body=request.body,
        content_type=request.header("content-type") or "",
    ).to_plain()


def answered(payload: object) -> Answered:
    """The payload of a Done reply, (status, content type, body), checked: it came over the wire. Raises BadInput."""
    match payload:
        case [int(status), str(content_type), bytes(body)] if 200 <= status <= 599 and not isinstance(status, bool):
            return Answered(status, content_type, body)
        case _:
            raise BadInput("a slice answered in no HTTP form", (f"payload: {str(payload)[:200]}",))


def response_of(answer: SliceAnswer, request_id: str) -> Response:
    """`answer` as a response."""
    if isinstance(answer, Answered):
        return Response(answer.status, answer.body, answer.content_type)
    return fault_problem(
        name=answer.name,
        status=answer.status,
        title=answer.title,
        detail=answer.detail,
        fields=answer.fields,
        request_id=request_id,
    )
