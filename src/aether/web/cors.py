"""Which pages of other origins may read an answer.

Knows: preflight requests, the fields of an answer, what Vary must say.
Never: routes, cookies.
Holds: an origin that was not named learns nothing: no field is sent. The origin "null" is never allowed, and "*" is
       said only where any origin may read.
Paper: WHATWG Fetch 3.3.
"""

from __future__ import annotations

from typing import Final

from aether.slice_api.route_options import Cors
from aether.web.request import Request, Response

VARY: Final = "Vary"


def is_preflight(request: Request) -> bool:
    """Whether a browser asks what a page may send, before it sends it."""
    return request.verb == "OPTIONS" and bool(
        request.header("origin") and request.header("access-control-request-method")
    )


def answer_fields(cors: Cors, origin: str) -> dict[str, str]:
    """What an answer to a page of `origin` says; "" is a request of no page of another origin."""
    fields = {} if cors.origins == ("*",) else {VARY: "Origin"}
    if not origin or not cors.allows(origin):
        return fields
    fields["Access-Control-Allow-Origin"] = "*" if "*" in cors.origins else origin
    if cors.credentials:
        fields["Access-Control-Allow-Credentials"] = "true"
    if cors.exposed:
        fields["Access-Control-Expose-Headers"] = ", ".join(cors.exposed)
    return fields


def preflight(cors: Cors, request: Request, verb: str) -> Response:
    """The answer to a preflight for `verb`, which the route answers."""
    fields = answer_fields(cors, request.header("origin") or "")
    if "Access-Control-Allow-Origin" in fields:
        fields.pop("Access-Control-Expose-Headers", None)
        fields["Access-Control-Allow-Methods"] = verb
        fields["Access-Control-Max-Age"] = str(int(cors.max_age_s))
        if cors.headers:
            fields["Access-Control-Allow-Headers"] = ", ".join(cors.headers)
    return Response(204, headers=fields)


def varying(headers: dict[str, str], field: str) -> None:
    """Say in `headers` that the answer depends on the request's `field`."""
    said = headers.get(VARY, "")
    if field.lower() not in (name.strip().lower() for name in said.split(",")):
        headers[VARY] = f"{said}, {field}" if said else field
