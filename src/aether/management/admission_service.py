"""Whether a caller may ask what it asks.

Knows: the role that each path needs; how often each client was refused lately.
Never: who a caller is (access.py); what a request holds besides.
Holds: a path answers nobody whose role is below its own; refusals are remembered and counted, but never logged, so that
       a flood of them fills no disk. Whoever brings what is needed passes, however often its neighbours were refused.
Paper: RFC 9110 15.5.2 (401), 15.5.4 (403); RFC 6585 4 (429).
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from aether.management.access import AccessRules, Caller, Misfit
from aether.management.endpoint import DRY_RUN, Endpoint
from aether.management.live_service import by_address
from aether.model.access import Role
from aether.model.limits import DENIED_CLIENTS_MAX, DENIED_PER_MINUTE_MAX, RIGHT_STALE_S
from aether.model.origins import network_of
from aether.security.denials import Denial, Denials
from aether.web.problem import RETRY_AFTER_S, problem
from aether.web.rate import TokenBuckets
from aether.web.request import Request, Response

_CHALLENGE = 'Bearer realm="aether"'
_STALE = (
    f"this node has heard no majority for {RIGHT_STALE_S:g} s, and so of no token or certificate that was revoked "
    "since: ask a node that does, or use the admin-token in the data directory of this one"
)


class Admission:
    """Of one node. denials  where refusals are kept; wall  seconds since the epoch"""

    def __init__(self, access: AccessRules, denials: Denials, wall: Callable[[], float]) -> None:
        self._access = access
        self._denials = denials
        self._wall = wall
        self._failures = TokenBuckets.evenly(DENIED_PER_MINUTE_MAX, 60.0, DENIED_CLIENTS_MAX)

    def admit(self, request: Request, endpoint: Endpoint) -> Caller | Response:
        """The caller, when it may ask `endpoint`; else 401, 403, or 429 where that was said too often; or 503 where
        what it brought may have been revoked without this node hearing of it, and it wants more than to look.

        One who may only rehearse is admitted to a rehearsal: see `rehearses`.
        """
        caller = self._access.caller(request)
        if isinstance(caller, Misfit):
            detail = f"{caller.about}; send Authorization: Bearer <token>"
            return self._refused(request, 401, detail, "bad-token", caller.claimed, endpoint.role)
        rehearsed = _may_rehearse(caller, endpoint) and rehearses(request, endpoint)
        if caller.is_stale and endpoint.role > Role.VIEWER and (rehearsed or caller.role >= endpoint.role):
            return problem(503, _STALE, request.request_id, kind="no-majority", retry_after_s=RETRY_AFTER_S)
        if rehearsed:
            return caller
        if endpoint.needs_name and not caller.is_known:
            return self.demand(request, caller, endpoint.role, "this") or caller
        if caller.role >= endpoint.role:
            return caller
        rehearsal = ", a rehearsal (?dry_run=true) does not" if _may_rehearse(caller, endpoint) else ""
        return self._needs(request, caller, endpoint.role, "this", rehearsal)

    def may(self, request: Request, endpoint: Endpoint) -> bool:
        """Whether whoever asked `endpoint` may still have its answer: tokens expire, and are revoked."""
        caller = self._access.caller(request)
        if not isinstance(caller, Caller) or caller.role < endpoint.role:
            return False
        return not caller.is_stale or endpoint.role <= Role.VIEWER

    def name_of(self, request: Request) -> str:
        """Who asks: by its name where it said one, else by its address. For counting, not for letting in."""
        caller = self._access.caller(request)
        return caller.name if isinstance(caller, Caller) and caller.is_known else by_address(request)

    def demand(self, request: Request, caller: Caller, role: Role, what: str) -> Response | None:
        """401 or 403 unless `caller` has said who it is and has `role`, whatever --insecure says; None = it may."""
        return None if caller.is_known and caller.role >= role else self._needs(request, caller, role, what)

    def _needs(self, request: Request, caller: Caller, role: Role, what: str, but: str = "") -> Response:
        if caller.is_known:
            detail = f"{what} needs the role {role.word}{but}; {caller.name} is {caller.role.word}"
            return self._refused(request, 403, detail, "role", caller.name, role)
        detail = f"{what} needs the role {role.word}: send Authorization: Bearer <token>, or use the CLI"
        return self._refused(request, 401, detail, "no-token", caller.name, role)

    def _refused(self, request: Request, status: int, detail: str, kind: str, name: str, needs: Role) -> Response:
        given = self._failures.take(network_of(request.client), trio.current_time())
        self._denials.add(
            Denial(
                at=self._wall(),
                caller=name,
                client=request.client,
                verb=request.verb,
                path=request.path,
                status=status if given.allowed else 429,
                request_id=request.request_id,
            )
        )
        if not given.allowed:
            told = f"{request.client or 'this client'} was refused too often; come back with a token that may ask this"
            return problem(429, told, request.request_id, kind="refused-too-often", retry_after_s=given.wait_s)
        challenge = f'{_CHALLENGE}, error="invalid_token"' if kind == "bad-token" else _CHALLENGE
        headers = {"WWW-Authenticate": challenge} if status == 401 else {}
        members = {"needs": needs.word}
        return problem(status, detail, request.request_id, kind=kind, headers=headers, members=members)


def rehearses(request: Request, endpoint: Endpoint) -> bool:
    """Whether `request` asks what would happen, and nothing else. Raises BadInput (query)."""
    return _can_rehearse(endpoint) and endpoint.query.read_query(request.query()).get(DRY_RUN.name) is True


def _may_rehearse(caller: Caller, endpoint: Endpoint) -> bool:
    return caller.role >= Role.PROPOSER and _can_rehearse(endpoint)


def _can_rehearse(endpoint: Endpoint) -> bool:
    return DRY_RUN in endpoint.query.fields
