"""Who may ask what over loopback.

Knows: Host names, Origin, content types of mutations, the local admin token.
Never: where the token is kept (room node), sessions, users.
Holds: a page of another origin in the operator's browser can neither change anything nor read an answer, even when its
       name was made to point at this machine; an anonymous caller can read and change nothing.
Paper: RFC 6454 (origin), RFC 6750 2.1 (bearer token), RFC 9110 15.5.20 (421).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final

import attrs

from aether.web.problem import problem
from aether.web.request import JSON_TYPE, Request, Response

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
TOML_TYPES: Final = frozenset({"application/toml", "text/toml", "text/x-toml"})
TEXT_TYPE: Final = "text/plain"


def _lower(hosts: Iterable[str]) -> frozenset[str]:
    return frozenset(host.lower() for host in hosts)


@attrs.frozen(kw_only=True)
class AccessRules:
    """token     admin token of this node; "" = nobody may change anything unless `insecure`
    insecure  mutations need no token
    hosts     names that a Host field may carry besides localhost, 127.0.0.1 and [::1]: the advertised one
    """

    token: str = attrs.field(default="", repr=False)
    insecure: bool = False
    hosts: frozenset[str] = attrs.field(default=frozenset(), converter=_lower)

    def refuse_stranger(self, request: Request) -> Response | None:
        """421 for a Host that is not ours (DNS rebinding), 403 for a page of another origin; None = welcome."""
        name = host_name(request.host)
        if name not in LOOPBACK and name not in self.hosts:
            known = ", ".join(sorted(LOOPBACK | self.hosts))
            detail = f"Host {request.host!r} is no name of this node; use one of {known}, or start it with --advertise"
            return problem(421, detail, request.request_id, kind="foreign-host")
        origin = request.header("origin")
        if origin is not None and origin.lower() not in (
            f"http://{request.host}".lower(),
            f"https://{request.host}".lower(),
        ):
            detail = f"pages of {origin[:200]} may not use this API"
            return problem(403, detail, request.request_id, kind="foreign-origin")
        return None

    def refuse_change(self, request: Request, *, toml: bool) -> Response | None:
        """401, 403 or 415 for a mutation that this caller may not ask for in this form; None = go on.

        toml  whether the body may be TOML (or plain text) instead of JSON
        """
        if (request.header("sec-fetch-site") or "").lower() in ("cross-site", "same-site"):
            return problem(403, "pages of other sites may not use this API", request.request_id, kind="foreign-origin")
        if not self.insecure:
            refused = self.refuse_stranger_to_secrets(request, "changes need")
            if refused is not None:
                return refused
        accepted: set[str] = {JSON_TYPE, *TOML_TYPES, TEXT_TYPE} if toml else {JSON_TYPE}
        if request.content_type not in accepted:
            wanted = f"{JSON_TYPE} or application/toml" if toml else JSON_TYPE
            given = request.content_type or "no content type"
            return problem(415, f"{given} is not read here; send Content-Type: {wanted}", request.request_id)
        return None

    def refuse_stranger_to_secrets(self, request: Request, what: str) -> Response | None:
        """401 unless the caller brings the admin token, `insecure` or not. what  such as "changes need"."""
        if self._has_token(request):
            return None
        detail = f"{what} the admin token of this node: send Authorization: Bearer <token>, or use the CLI"
        headers = {"WWW-Authenticate": 'Bearer realm="aether"'}
        return problem(401, detail, request.request_id, kind="no-token", headers=headers)

    def _has_token(self, request: Request) -> bool:
        scheme, _, given = (request.header("authorization") or "").partition(" ")
        matches = hmac.compare_digest(given.strip().encode("latin-1"), self.token.encode())
        return bool(self.token) and scheme.lower() == "bearer" and matches


def host_name(host: str) -> str:
    """The name in a Host field, lower case, without port."""
    if host.startswith("["):
        name, bracket, _ = host.partition("]")
        return f"{name}{bracket}".lower()
    return host.partition(":")[0].lower()
