"""Who uses a route that is not public: by the application's own verifier, or by a token of the cluster.

Knows: rules, tokens, how often each client was refused lately.
Never: which rule holds for a route (model.security), what a verifier looks at.
Holds: a verifier that fails, or takes too long, lets nobody in; a refusal costs no call of the slice and no
       line of log.
Paper: RFC 6750 3 (the challenge), RFC 6585 4 (429).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from aether.errors import TryAgain
from aether.management.access import credentials
from aether.model.access import ApiTokenRow
from aether.model.limits import DENIED_CLIENTS_MAX, DENIED_PER_MINUTE_MAX, RIGHT_LOOK_S, RIGHT_VERIFY_S, VERIFY_S
from aether.model.origins import network_of
from aether.model.security import ROLE, Credentials, Principal, Verify, satisfies
from aether.security.tokens import Standing, judge, read_token
from aether.web.problem import problem
from aether.web.rate import TokenBuckets
from aether.web.request import Request, Response
from aether.web.slices import SliceTarget

_CHALLENGE: Final = 'Bearer realm="{}"'


class RouteProtection:
    """Of one node.

    verify  the application's; None: tokens of the cluster alone
    tokens  the row of a token by its id; wall  seconds since the epoch; realm  named in challenges
    """

    def __init__(
        self,
        verify: Verify | None,
        tokens: Callable[[str], ApiTokenRow | None],
        wall: Callable[[], float],
        realm: str,
    ) -> None:
        self._verify = verify
        self._tokens = tokens
        self._wall = wall
        self._realm = realm
        self._failures = TokenBuckets.evenly(DENIED_PER_MINUTE_MAX, 60.0, DENIED_CLIENTS_MAX)

    async def __call__(self, request: Request, target: SliceTarget) -> Response | Principal:
        """Who makes the request; else 401, 403 or 429. Raises TryAgain, and what the verifier raises."""
        principal = self._of_token(request) or await self._verified(request, target)
        if principal is not None and satisfies(principal, target.rule):
            return principal
        given = self._failures.take(network_of(request.client), trio.current_time())
        if not given.allowed:
            detail = f"{request.client or 'this client'} was refused too often; come back with what is needed"
            return problem(
                429, detail, request.request_id, kind="refused-too-often", retry_after_s=max(1.0, given.wait_s)
            )
        needs = target.rule.removeprefix(ROLE)
        if principal is None:
            headers = {"WWW-Authenticate": _CHALLENGE.format(self._realm)}
            detail = f"{target.shown} is for those who can say who they are: send Authorization: Bearer <token>"
            return problem(401, detail, request.request_id, kind="no-token", headers=headers)
        detail = f"{target.shown} is for the role {needs}, which {principal.name} has not"
        return problem(403, detail, request.request_id, kind="role", members={"needs": needs})

    async def still(self, request: Request, target: SliceTarget) -> float | None:
        """For how long whoever made the request may use the route before one looks again; None: no more.

        A token is looked at here, and so each few seconds; the application's verifier is asked less often.
        Raises TryAgain, and what the verifier raises.
        """
        principal = self._of_token(request)
        if principal is not None:
            return RIGHT_LOOK_S if satisfies(principal, target.rule) else None
        principal = await self._verified(request, target)
        return RIGHT_VERIFY_S if principal is not None and satisfies(principal, target.rule) else None

    def _of_token(self, request: Request) -> Principal | None:
        text = credentials(request)
        shown = read_token(text) if isinstance(text, str) else None
        if shown is None:
            return None
        row = self._tokens(shown.id)
        valid = row is not None and judge(row, shown, self._wall()) is Standing.VALID
        return Principal(name=row.id, roles=row.roles) if valid and row is not None else None

    async def _verified(self, request: Request, target: SliceTarget) -> Principal | None:
        if self._verify is None:
            return None
        asked = Credentials(
            verb=request.verb,
            path=request.path,
            route=target.route.template,
            rule=target.rule,
            client=request.client,
            headers=request.combined_headers(),
            cookies=request.cookies(),
        )
        with trio.move_on_after(VERIFY_S):
            return await self._verify(asked)
        raise TryAgain(f"who asks could not be verified within {VERIFY_S:g} s; ask again")
