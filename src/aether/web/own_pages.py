"""What the HTTP port answers by itself where no slice does: the OpenAPI document and the API page.

Knows: their paths, types and validators.
Never: slices; whoever builds it gives the rows.
Holds: a slice's own route goes first. Nothing is fetched from elsewhere: the page's policy forbids it.
Paper: RFC 9110 8.8.3 and 13.1.2 (ETag, If-None-Match); W3C CSP 3.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from collections.abc import Callable, Sequence
from typing import Final

from aether.model.rows import RouteRow
from aether.slice_api.conditional import is_known
from aether.web.openapi import openapi_document
from aether.web.problem import wrong_verb
from aether.web.request import JSON_TYPE, Request, Response

DOCUMENT: Final = "/openapi.json"
_FILES: Final = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs/page.css": ("page.css", "text/css; charset=utf-8"),
    "/docs/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class OwnPages:
    """`pages(request)`: the answer, or None for a path that is not one of them.

    rows   of the routes as applied now, and a number that changes when they do
    title  of the document
    """

    def __init__(self, rows: Callable[[], tuple[object, Sequence[RouteRow]]], title: str) -> None:
        self._rows = rows
        self._title = title
        self._files: dict[str, bytes] = {}
        self._seen: object = None
        self._document = b""

    def __call__(self, request: Request) -> Response | None:
        if request.path != DOCUMENT and request.path not in _FILES:
            return None
        if request.verb not in ("GET", "HEAD"):
            return wrong_verb(request.verb, ("GET", "HEAD", "OPTIONS"), request.request_id)
        if request.path == DOCUMENT:
            return validated(request, self.document(), JSON_TYPE, {})
        name, content_type = _FILES[request.path]
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        return validated(request, self._file(name), content_type, headers)

    def document(self) -> bytes:
        """The OpenAPI document as JSON text, made anew when a route has changed."""
        number, rows = self._rows()
        if number != self._seen or not self._document:
            document = openapi_document(((row.artifact, row.openapi) for row in rows), self._title)
            self._document = json.dumps(document, separators=(",", ":")).encode()
            self._seen = number
        return self._document

    def _file(self, name: str) -> bytes:
        if name not in self._files:
            self._files[name] = importlib.resources.files("aether.web.pages").joinpath(name).read_bytes()
        return self._files[name]


def validated(request: Request, body: bytes, content_type: str, headers: dict[str, str]) -> Response:
    """`body`, or 304 to a client that has it."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {**headers, "ETag": tag, "Cache-Control": "no-cache"}
    if is_known(tag, request.header("if-none-match") or ""):
        return Response(304, headers=headers)
    return Response(200, body, content_type, headers)
