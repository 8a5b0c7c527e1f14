"""Errors as problem details, so that a client learns what happened and what to do next.

Knows: which status, title and extra members each error of the tree gets.
Never: logging, who raised; foreign exceptions are named by the shell, not here.
Holds: every problem has `type title status detail error requestId`; `error` is the text that clients of the
       original read; extra members never replace these.
Paper: RFC 9457.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

import attrs

from aether.errors import (
    AetherError,
    CallFailed,
    Conflict,
    NotFound,
    NotInContract,
    OutcomeUnknown,
    Overloaded,
    QuotaExceeded,
    Rejected,
    TryAgain,
)
from aether.web.request import Response, json_response

PROBLEM_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1.0
RESERVED: Final = frozenset({"type", "title", "status", "detail", "instance", "error", "requestId", "retryAfterS"})
_SECRET: Final = frozenset({"remote_traceback", "message", "request_id", "fields"})
"""What an exception says is for the log, not for strangers; the document has the id of the request anyway."""
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_STATUS: Final[tuple[tuple[type[AetherError], int], ...]] = (  # the first class that fits
    (Overloaded, 429),
    (TryAgain, 503),
    (NotFound, 404),
    (NotInContract, 404),
    (Conflict, 409),
    (QuotaExceeded, 409),
    (Rejected, 400),
    (OutcomeUnknown, 504),
    (CallFailed, 500),
)

TITLES: Final[Mapping[int, str]] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    426: "Upgrade Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


def problem(
    status: int,
    detail: str,
    request_id: str,
    *,
    kind: str = "",
    title: str = "",
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, object] | None = None,
) -> Response:
    """A problem document.

    kind           last part of its `type` URN, such as `no-quorum`; "" = about:blank
    retry_after_s  sets Retry-After, in whole seconds rounded up, and the member `retryAfterS`
    members        extra members; those with a reserved name are moved under `fields`
    """
    named = title or TITLES.get(status, "Error")
    document: dict[str, object] = {
        "type": f"urn:aether:{kind}" if kind else "about:blank",
        "title": named,
        "status": status,
        "detail": detail or named,
        "error": detail or named,
        "requestId": request_id,
    }
    fields = dict(headers or {})
    if retry_after_s is not None:
        fields["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
        document["retryAfterS"] = retry_after_s
    extra = {name: _plain(value) for name, value in (members or {}).items()}
    document |= {name: value for name, value in extra.items() if name not in RESERVED}
    if hidden := {name: value for name, value in extra.items() if name in RESERVED}:
        document["fields"] = hidden
    return Response(status, json_response(document).body, PROBLEM_TYPE, fields)


def status_of(error: AetherError) -> int:
    """The HTTP status of an error of the tree. BadInput is 400; 422 is for a body that parsed and did not fit."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem_of(error: AetherError, request_id: str, *, status: int | None = None) -> Response:
    """`error` as a problem. Its facts become members; one that may be repeated carries Retry-After."""
    retry_after_s = None
    if isinstance(error, Overloaded):
        retry_after_s = error.retry_after_s
    elif isinstance(error, TryAgain):
        retry_after_s = RETRY_AFTER_S
    return problem(
        status or status_of(error),
        _failed_call(error, request_id) if isinstance(error, CallFailed) else str(error),
        request_id,
        kind=_WORD.sub("-", type(error).__name__).lower(),
        retry_after_s=retry_after_s,
        members=_facts(error),
    )


def wrong_verb(verb: str, allow: Sequence[str], request_id: str) -> Response:
    """The answer of a path that other verbs than `verb` have: to OPTIONS 204, else 405; both with Allow."""
    headers = {"Allow": ", ".join(allow)}
    if verb == "OPTIONS":
        return Response(204, headers=headers)
    detail = f"{verb} is not answered here; use {', '.join(v for v in allow if v not in ('HEAD', 'OPTIONS'))}"
    return problem(405, detail, request_id, headers=headers, members={"allow": list(allow)})


def fault_problem(
    *,
    name: str,
    status: int,
    title: str,
    detail: str,
    fields: Mapping[str, object],
    request_id: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A slice author's Fault: its own status, title and detail, its class name as `fault`, and its fields as members.

    A status outside 400 to 599 is shown as 500: a Fault is never a success.
    """
    shown = status if 400 <= status <= 599 else 500
    members = {**fields, "fault": name}
    return problem(
        shown, detail, request_id, kind=f"fault:{name}", title=title or name, members=members, headers=headers
    )


def _failed_call(error: CallFailed, request_id: str) -> str:
    where = f" in {error.slice}.{error.method}" if error.slice else ""
    return f"{error.kind}{where}; the log of the node that answered has it under request {request_id}"


def _facts(error: AetherError) -> dict[str, object]:
    kind: type = type(error)
    if not attrs.has(kind):
        return {}
    names = [field.name for field in attrs.fields(kind) if field.name not in _SECRET]
    return {_camel(name): getattr(error, name) for name in names if getattr(error, name) is not None}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _plain(value: object) -> object:
    """`value` in JSON's terms; what has none is shown as text, since a problem must always be sent."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    return str(value)
