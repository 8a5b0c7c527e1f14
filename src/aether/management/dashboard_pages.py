"""The files of the page that people look at a cluster with.

Knows: their paths, types and validators; the policy that the page lives under.
Never: what is on it.
Holds: whoever has not said who it is may read them, since nothing of the cluster is in them: the page asks for a token.
       Nothing is fetched from elsewhere, and no script or style but these files runs.
Paper: RFC 9110 8.8.3 and 13.1.2 (ETag, If-None-Match); W3C CSP 3.
"""

from __future__ import annotations

import importlib.resources
from typing import Final

from aether.errors import NotFound
from aether.web.own_pages import validated
from aether.web.request import Request, Response

PAGE: Final = "/dashboard"
_SCRIPT: Final = "text/javascript; charset=utf-8"
FILES: Final = {
    "": ("dashboard.html", "text/html; charset=utf-8"),
    "dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
    **{name: (name, _SCRIPT) for name in ("main.js", "api.js", "dom.js", "plots.js", "panels.js", "asked.js")},
}
"""By what stands behind `/dashboard/`: the file, its type."""
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class DashboardPages:
    """`pages(request)` answers a GET of `/dashboard` and of what lies below. Raises NotFound."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def __call__(self, request: Request) -> Response:
        name = request.path.removeprefix("/api").removeprefix(PAGE).removeprefix("/")
        if name not in FILES:
            raise NotFound("page", request.path, f"the page is {PAGE}")
        file, content_type = FILES[name]
        return validated(request, self._file(file), content_type, _HEADERS)

    def _file(self, name: str) -> bytes:
        if name not in self._files:
            self._files[name] = importlib.resources.files("aether.management.pages").joinpath(name).read_bytes()
        return self._files[name]
