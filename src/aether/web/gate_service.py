"""What stands between a request and its slice: rate limits, origins, the security hook.

Knows: the options of routes, this node's own counters, its clock.
Never: calls, bodies.
Holds: who is refused costs no call; a route that is not public is never open because a part is missing. Counters belong
       to this node alone; those of routes that are gone are forgotten.
Paper: WHATWG Fetch 3.3; draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import trio

from aether.errors import TryAgain
from aether.model.limits import RIGHT_LOOK_S
from aether.model.security import DENY, PUBLIC, UNKNOWN, Principal
from aether.slice_api.route_options import Cors, RateLimit
from aether.web.cors import answer_fields, preflight
from aether.web.failure_service import problem_for
from aether.web.problem import problem
from aether.web.rate import TokenBuckets, key_of
from aether.web.request import Request, Response
from aether.web.slices import RouteTable, SliceTarget

Guard = Callable[[Request, SliceTarget], Awaitable[Response | None]]
"""The security hook: None lets a request pass, a response refuses it. What it raises becomes a problem."""


Protect = Callable[[Request, SliceTarget], Awaitable[Response | Principal]]
"""Who makes a request to a route that is not public; a response refuses it."""

Still = Callable[[Request, SliceTarget], Awaitable[float | None]]
"""For how many seconds whoever made the request may use the route before one looks again; None: no more."""


class Gate:
    """One per listener.

    cors     of routes that say nothing themselves
    protect  says who uses a route that is not public; without it nobody may
    guard    asked last
    still    whether an answer that lasts may go on; without it it may
    """

    def __init__(
        self,
        cors: Cors | None = None,
        guard: Guard | None = None,
        protect: Protect | None = None,
        still: Still | None = None,
    ) -> None:
        self._cors = cors
        self._guard = guard
        self._protect = protect
        self._still = still
        self._buckets: dict[tuple[str, str], TokenBuckets] = {}

    def is_open(self, target: SliceTarget) -> bool:
        """Whether nothing is asked of requests to this route."""
        return (
            target.plain and target.rule == PUBLIC and not target.inner and self._cors is None and self._guard is None
        )

    def cors_of(self, target: SliceTarget) -> Cors | None:
        return target.options.cors or self._cors

    async def admit(
        self, request: Request, target: SliceTarget
    ) -> tuple[Response | Principal | None, Mapping[str, str]]:
        """(why it is refused, or who makes it, None on a public route; what its answer says besides)."""
        target = target.at(request.path)
        fields: dict[str, str] = {}
        refused: Response | None = None
        principal: Principal | None = None
        cors = self.cors_of(target)
        if cors is not None:
            fields |= answer_fields(cors, request.header("origin") or "")
        if target.options.rate is not None:
            refused = self._count(request, target, target.options.rate, fields)
        try:
            if refused is None and target.rule != PUBLIC:
                found = await self._who(request, target)
                refused, principal = (found, None) if isinstance(found, Response) else (None, found)
            if refused is None and self._guard is not None:
                refused = await self._guard(request, target)
        except Exception as error:  # noqa: BLE001 - logged there; a page that may read answers may read this one
            refused = problem_for(error, request)
        return refused or principal, fields

    async def still(self, request: Request, target: SliceTarget) -> float | None:
        """As Still, by the rule that holds for `target` now."""
        target = target.at(request.path)
        if target.rule in (PUBLIC, UNKNOWN) or self._still is None:
            return RIGHT_LOOK_S
        return None if target.rule == DENY else await self._still(request, target)

    async def _who(self, request: Request, target: SliceTarget) -> Response | Principal:
        if target.rule == UNKNOWN:
            raise TryAgain(f"{target.artifact} is on its way out, and this node does not know who may use it")
        if self._protect is None or target.rule == DENY:
            return problem(403, f"{target.shown} is closed to all", request.request_id, kind="closed")
        return await self._protect(request, target)

    def preflight(self, request: Request, target: SliceTarget) -> Response | None:
        """The answer to a browser that asks what a page may send; None where pages of other origins may not."""
        cors = self.cors_of(target)
        return None if cors is None else preflight(cors, request, request.header("access-control-request-method") or "")

    def table_changed(self, table: RouteTable) -> None:
        """Forget counters of routes that are gone."""
        kept = {_name(target) for target in table.targets}
        for name in self._buckets.keys() - kept:
            del self._buckets[name]

    def _count(
        self, request: Request, target: SliceTarget, limit: RateLimit, fields: dict[str, str]
    ) -> Response | None:
        name = _name(target)
        buckets = self._buckets.get(name)
        if buckets is None or buckets.limit != limit:
            buckets = self._buckets[name] = TokenBuckets(limit)
        by = limit.by.name if limit.by is not None else None
        named = request.header(by.lower()) if by else None
        given = buckets.take(key_of(request.client, named or ""), trio.current_time())
        fields |= buckets.headers(given)
        if given.allowed:
            return None
        detail = f"at most {limit.count} requests in {limit.per_s:g} s are answered here for one client"
        return problem(429, detail, request.request_id, kind="rate-limited", retry_after_s=given.wait_s)


def _name(target: SliceTarget) -> tuple[str, str]:
    return str(target.artifact), target.shown
