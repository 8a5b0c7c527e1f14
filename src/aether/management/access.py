"""Who asks, and what nobody may ask from where.

Knows: Host names, Origin, content types of mutations; where a token may stand in a request; what an anonymous one is.
Never: where tokens are kept, which role a path needs.
Holds: a page of another origin in the operator's browser can neither change anything nor read an answer, even when its
       name was made to point at this machine; credentials that do not hold are never taken for none; a token is read
       from header fields alone, since addresses end in logs.
Paper: RFC 6454 (origin), RFC 6750 2.1 (bearer token), RFC 9110 15.5.20 (421), RFC 6455 1.9 (subprotocols).
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from aether.model.access import ApiTokenRow, Role
from aether.model.limits import RIGHT_STALE_S
from aether.security.tokens import Standing, judge, read_token
from aether.web.problem import problem
from aether.web.request import JSON_TYPE, Request, Response

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
TOML_TYPES: Final = frozenset({"application/toml", "text/toml", "text/x-toml"})
TEXT_TYPE: Final = "text/plain"
SUBPROTOCOL: Final = "aether"
"""What a WebSocket of this API speaks. A page offers it beside SUBPROTOCOL_TOKEN, for it can set no header field."""
SUBPROTOCOL_TOKEN: Final = "aether.token."  # noqa: S105 - what stands in front of one
_FORWARDED: Final = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})
_FORWARDED_BEGIN: Final = ("x-forwarded-", "x-envoy-")  # Envoy says -Proto to everybody, and -For only when told to
ADMIN: Final = "admin"
ANONYMOUS: Final = "anonymous"


@attrs.frozen
class Caller:
    """Who asks.

    is_known  it said who it is, by a token or a certificate
    is_stale  what it brought may have been revoked since this node heard a majority last
    """

    name: str
    role: Role
    is_known: bool = True
    is_stale: bool = False


@attrs.frozen
class Misfit:
    """Credentials came that do not hold. about  why, and what to do; claimed  who they would be of"""

    about: str
    claimed: str = ""


def _lower(hosts: Iterable[str]) -> frozenset[str]:
    return frozenset(host.lower() for host in hosts)


def nobody_known(_: str) -> None:
    """There are no tokens, or no certificates, of this name."""
    return


@attrs.frozen(kw_only=True)
class AccessRules:
    """token     admin token of this node; "" = there is none
    insecure  whoever says nothing of himself is an admin, from anywhere
    hosts     names that a Host field may carry besides localhost and addresses: the advertised one
    tokens    the row of a token by its id; wall  seconds since the epoch
    identify  the caller that the identity of a certificate stands for
    silent_s  for how long this node has heard no majority, and so of no token or certificate that was revoked
    """

    token: str = attrs.field(default="", repr=False)
    insecure: bool = False
    hosts: frozenset[str] = attrs.field(default=frozenset(), converter=_lower)
    tokens: Callable[[str], ApiTokenRow | None] = attrs.field(default=nobody_known, repr=False)
    wall: Callable[[], float] = attrs.field(default=lambda: 0.0, repr=False)
    identify: Callable[[str], Caller | None] = attrs.field(default=nobody_known, repr=False)
    silent_s: Callable[[], float] = attrs.field(default=lambda: 0.0, repr=False)

    # --- who asks -----------------------------------------------------------------------------------------------------

    def caller(self, request: Request) -> Caller | Misfit:
        """Who asks. A token counts before the certificate of the connection, and that before where it comes from."""
        given = credentials(request)
        if isinstance(given, Misfit):
            return given
        if given is not None:
            return self._of_token(given)
        if request.identity:
            found = self.identify(request.identity)
            return (
                self._dated(found)
                if found
                else Misfit(f"the certificate of {request.identity[:200]} may not use this API")
            )
        if self.insecure:
            return Caller(ANONYMOUS, Role.ADMIN, is_known=False)
        role = Role.VIEWER if is_here(request.client) and not is_forwarded(request) else Role.NOBODY
        return Caller(ANONYMOUS, role, is_known=False)

    def _of_token(self, text: str) -> Caller | Misfit:
        if self.token and hmac.compare_digest(text.encode(), self.token.encode()):
            return Caller(ADMIN, Role.ADMIN)
        shown = read_token(text)
        if shown is None:
            return Misfit("this is no token of this node; `aether token create` makes one")
        row = self.tokens(shown.id)
        match judge(row, shown, self.wall()):
            case Standing.VALID:
                assert row is not None
                return self._dated(Caller(row.id, row.role))
            case Standing.EXPIRED:
                return Misfit("this token has expired; `aether token create` makes another", shown.id)
            case Standing.UNKNOWN:
                return Misfit("this token is not known here, or was revoked; `aether token create` makes one", shown.id)

    def _dated(self, caller: Caller) -> Caller:
        return attrs.evolve(caller, is_stale=True) if self.silent_s() > RIGHT_STALE_S else caller

    # --- what nobody may ask ------------------------------------------------------------------------------------------

    def refuse_stranger(self, request: Request) -> Response | None:
        """421 for a Host that is not ours (DNS rebinding), 403 for a page of another origin; None = welcome.

        Any address is welcome: only a name can be made to point elsewhere, and a pod is asked by its address.
        """
        name = host_name(request.host)
        if name not in LOOPBACK and name not in self.hosts and not is_address(name):
            known = ", ".join(sorted(LOOPBACK | self.hosts))
            detail = (
                f"Host {request.host!r} is no name of this node; use one of {known}, any address of it, "
                "or start it with --advertise"
            )
            return problem(421, detail, request.request_id, kind="foreign-host")
        origin = request.header("origin")
        if origin is not None and origin.lower() not in (
            f"http://{request.host}".lower(),
            f"https://{request.host}".lower(),
        ):
            detail = f"pages of {origin[:200]} may not use this API"
            return problem(403, detail, request.request_id, kind="foreign-origin")
        return None


def refuse_page(request: Request) -> Response | None:
    """403 for a change that a browser asks for on behalf of another site's page; None = go on."""
    if (request.header("sec-fetch-site") or "").lower() in ("cross-site", "same-site"):
        return problem(403, "pages of other sites may not use this API", request.request_id, kind="foreign-origin")
    return None


def refuse_form(request: Request, *, toml: bool, bodiless: bool) -> Response | None:
    """415 for a body of a type that is not read here; None = go on.

    toml      it may be TOML, or plain text, instead of JSON
    bodiless  there may be none, and then its type does not matter: of verbs that no form sends

    A request with neither body nor type passes under any verb: scripts ask so for what takes no field, and a browser
    that did it for another page would name that page as Origin.
    """
    accepted: set[str] = {JSON_TYPE, *TOML_TYPES, TEXT_TYPE} if toml else {JSON_TYPE}
    has_nothing = not request.body and (bodiless or not request.content_type)
    if request.content_type in accepted or has_nothing:
        return None
    wanted = f"{JSON_TYPE} or application/toml" if toml else JSON_TYPE
    given = request.content_type or "no content type"
    return problem(415, f"{given} is not read here; send Content-Type: {wanted}", request.request_id)


def credentials(request: Request) -> str | Misfit | None:
    """The token in the header fields of `request`; None when it brings none."""
    found: set[str] = set()
    for value in _values(request, "authorization"):
        scheme, _, text = value.partition(" ")
        if scheme.lower() != "bearer":
            return Misfit("Authorization: only the scheme Bearer is read here")
        found.add(text.strip())
    found.update(value.strip() for value in _values(request, "x-api-key"))
    found.update(
        offer.removeprefix(SUBPROTOCOL_TOKEN) for offer in subprotocols(request) if offer.startswith(SUBPROTOCOL_TOKEN)
    )
    if len(found) > 1:
        return Misfit("the request brings several tokens; send one")
    given = next(iter(found), None)
    return Misfit("the request brings an empty token") if given == "" else given


def subprotocols(request: Request) -> list[str]:
    """What a client that opens a WebSocket offers to speak."""
    return [
        offer.strip() for value in _values(request, "sec-websocket-protocol") for offer in value.split(",") if offer
    ]


def is_here(client: str) -> bool:
    """Whether `client`, the address of a peer, is this machine. One that is not known is not."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def is_forwarded(request: Request) -> bool:
    """Whether a proxy says that it asks for somebody else: then its own address tells nothing about who that is."""
    return any(name in _FORWARDED or name.startswith(_FORWARDED_BEGIN) for name, _ in request.headers)


def is_address(name: str) -> bool:
    """Whether the name in a Host field is an IP address, version 6 in brackets (RFC 3986 3.2.2)."""
    bracketed = name.startswith("[") and name.endswith("]")
    try:
        address = ipaddress.ip_address(name[1:-1] if bracketed else name)
    except ValueError:
        return False
    return bracketed == (address.version == 6)


def host_name(host: str) -> str:
    """The name in a Host field, lower case, without port."""
    if host.startswith("["):
        name, bracket, _ = host.partition("]")
        return f"{name}{bracket}".lower()
    return host.partition(":")[0].lower()


def _values(request: Request, name: str) -> Iterable[str]:
    return (value for field, value in request.headers if field == name)
