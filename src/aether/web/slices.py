"""Requests to slices as plain data, and their answers as responses.

Knows: the shape of a call made over HTTP, the table of slice routes.
Never: contracts, value classes, instances: the node that owns the code structures the body.
Holds: the input is plain data that the wire codec can carry as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, cast
from urllib.parse import quote

import attrs

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.route import Route
from aether.model.rows import RouteRow
from aether.model.security import PUBLIC, UNKNOWN, rule_at, rule_of, takes_all
from aether.slice_api.http import HttpInput
from aether.slice_api.misfit import array
from aether.slice_api.route_options import RouteOptions, options_from
from aether.web.problem import fault_problem
from aether.web.request import CheckedFields, Request, Response
from aether.web.router import HttpRouter, Match

_PRINTED: Final = "/{}!$&'()*+,;=:@%-._~"


class Answered(NamedTuple):
    """A method returned: the node that owns the code has spelt its result."""

    status: int
    content_type: str
    body: bytes
    version: str = ""


@attrs.frozen
class FaultAnswer:
    """A method raised a Fault of its contract, as plain data."""

    name: str
    status: int
    title: str
    detail: str
    fields: Mapping[str, object]


class Faulting(Exception):
    """A method that streams raised a Fault of its contract."""

    def __init__(self, answer: FaultAnswer) -> None:
        super().__init__(answer.name)
        self.answer = answer


@attrs.frozen
class Head:
    """How a streamed answer begins: the first item of its stream."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    version: str


SliceAnswer = Answered | FaultAnswer
"""What a call over HTTP came to. Everything else is raised: an AetherError, or trio.TooSlowError."""


@attrs.frozen
class SliceTarget:
    """Who answers a route.

    options  of the route, read; plain  there are none; shown  how an answer names it
    rule     what is asked of whoever uses it (model.security)
    inner    the rules by route, where it takes all paths below its own: see `at`
    """

    artifact: ArtifactBase
    route: Route
    options: RouteOptions
    shown: str
    plain: bool
    rule: str = PUBLIC
    inner: tuple[tuple[str, str], ...] = ()

    def at(self, path: str) -> SliceTarget:
        """The same with the rule for this raw path, which it answers."""
        if not self.inner:
            return self
        return attrs.evolve(self, rule=rule_at(dict(self.inner), self.route.verb, self.route.template, path))


class RouteTable:
    """The routes of all slices, from the rows of the replicated store.

    rules  of each slice, by route; None: nobody knows them any more
    """

    def __init__(
        self,
        rows: Iterable[RouteRow] = (),
        rules: Callable[[ArtifactBase], Mapping[str, str] | None] = lambda _: {},
    ) -> None:
        ordered = sorted(rows, key=lambda row: row.artifact)
        self.targets: tuple[SliceTarget, ...] = tuple(
            _target(row.artifact, route, rules(row.artifact)) for row in ordered for route in row.routes
        )
        self.router: HttpRouter[SliceTarget] = HttpRouter(
            (target.route.verb, target.route.template, target) for target in self.targets
        )
        self.streams_bodies: bool = any(target.route.input for target in self.targets)
        """Whether any route reads its body as it arrives: most tables have none, and no request is asked for it."""


def _target(artifact: ArtifactBase, route: Route, rules: Mapping[str, str] | None) -> SliceTarget:
    shown = f"{route.verb} {quote(route.template, safe=_PRINTED)}"
    rule = UNKNOWN if rules is None else rule_of(rules, route.verb, route.template) if rules else PUBLIC
    inner = tuple(rules.items()) if rules and takes_all(route.template) else ()
    return SliceTarget(artifact, route, options_from(route.options), shown, not route.options, rule, inner)


def http_input(request: Request, found: Match[SliceTarget]) -> HttpInput:
    """The request as plain data. Raises BadInput (query string)."""
    route, fields = found.target.route, request.fields
    return HttpInput(
        route.verb,
        route.template,
        dict(found.variables),
        request.query() if request.query_text else {},
        dict(fields.combined),
        dict(fields.cookies),
        request.body,
        fields.first.get("content-type", ""),
        f"{request.path}?{request.query_text}" if request.query_text else request.path,
        request.client,
    )


def answered(payload: object) -> Answered:
    """The payload of a Done reply, [status, content type, body, version], checked: it may come from another node.

    Raises BadInput.
    """
    parts: Any = payload if payload.__class__ in (list, tuple) else ()
    if len(parts) == 4:
        status, content_type, body, version = parts
        texts = content_type.__class__ is version.__class__ is str and body.__class__ is bytes
        if texts and status.__class__ is int and 200 <= status <= 599:
            return Answered(status, content_type, body, version)
    raise BadInput("a slice answered in no HTTP form", (f"payload: {str(payload)[:200]}",))


ROUTE: Final = "X-Aether-Route"
VERSION: Final = "X-Aether-Version"


def head_of(item: object) -> Head:
    """The first item of a streamed answer, checked: it may come from another node. Raises BadInput."""
    parts = array(item, (int, str, dict, str))
    if parts is not None and (parts[0] == 101 or 200 <= parts[0] <= 599):
        headers = cast("dict[object, object]", parts[2])
        if all(isinstance(name, str) and isinstance(value, str) for name, value in headers.items()):
            return Head(*parts)
    raise BadInput("a slice began its answer in no HTTP form", (f"head: {str(item)[:200]}",))


def answer_headers(target: SliceTarget, version: str) -> CheckedFields:
    """What an answer says of itself: its route, and the version of the slice that gave it, when that is known."""
    return _own_fields(target.shown, version)


@functools.lru_cache(maxsize=1_024)
def _own_fields(shown: str, version: str) -> CheckedFields:
    return CheckedFields({ROUTE: shown, VERSION: version} if version else {ROUTE: shown})


def response_of(answer: SliceAnswer, target: SliceTarget, request_id: str) -> Response:
    """`answer` as a response."""
    if isinstance(answer, Answered):
        headers = answer_headers(target, answer.version)
        return Response(answer.status, answer.body, answer.content_type, headers)
    return fault_problem(
        name=answer.name,
        status=answer.status,
        title=answer.title,
        detail=answer.detail,
        fields=answer.fields,
        request_id=request_id,
        headers=answer_headers(target, ""),
    )
