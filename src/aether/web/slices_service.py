"""The handler of slice routes: a request becomes a call, its answer a response.

Knows: the route table, readiness, when an unknown route may be called unknown.
Never: endpoints, instances, deadlines of calls (room invocation).
Holds: 404 is said only by a node that has caught up and confirmed with the cluster that no such route exists.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
import trio

from aether.errors import BadInput, NoInstance, NotFound, TryAgain
from aether.model.artifact import ArtifactBase
from aether.model.lifecycle import SliceState
from aether.model.route import RouteKind
from aether.model.scale import IDLE
from aether.slice_api.http import HttpInput
from aether.slice_api.principal import acting_as
from aether.web.compression import may_shrink
from aether.web.compression_service import shrunk
from aether.web.cors import is_preflight, varying
from aether.web.failure_service import problem_for
from aether.web.gate_service import Gate
from aether.web.leaving import Leaving
from aether.web.problem import wrong_verb
from aether.web.request import Request, Response
from aether.web.right_service import lasting
from aether.web.router import VERBS, Match, Missing, WrongVerb
from aether.web.slices import (
    Answered,
    FaultAnswer,
    Faulting,
    RouteTable,
    SliceAnswer,
    SliceTarget,
    http_input,
    response_of,
)
from aether.web.streaming_service import OpenStream, streamed
from aether.web.websocket import agreed

_TAKES_CALLS: Final = (SliceState.ACTIVE, IDLE)
CONFIRM_S: Final = 2.0  # bounds how long a 404 may take while the cluster has no leader

Call = Callable[[ArtifactBase, str, HttpInput, str], SliceAnswer | Awaitable[SliceAnswer]]
"""(artifact, method, HttpInput, request id) → answer, now or when awaited. Else AetherError or trio.TooSlowError."""


class SliceHandler:
    """Answers the HTTP port: `await handler(request)`; or `handler.begin(request)`, which may have the answer already.

    routes          the newest table; read at each request
    call            calls a method with form HTTP
    ready           whether this node has caught up; until then an unknown route is 503, never 404
    state           (state, reason) of an artifact in this node's view, as EndpointRegistry.state; anything but ACTIVE
                    and IDLE is 503 with Retry-After at once. None: leave waiting to `call`
    confirm         returns when this node has applied everything acknowledged before (KvService.barrier). Asked before
                    a 404, 405 or 503, so that a client sent here by another node never meets a stale view.
                    None: trust the view as it is
    opened          opens the stream of a method; gate  what is asked of requests before their slice is
    pages           what this port answers by itself where no slice has the path; None for any other path
    """

    def __init__(
        self,
        routes: Callable[[], RouteTable],
        call: Call,
        ready: Callable[[], bool],
        *,
        state: Callable[[ArtifactBase], tuple[str, str]] | None = None,
        confirm: Callable[[], Awaitable[object]] | None = None,
        opened: OpenStream | None = None,
        gate: Gate | None = None,
        pages: Callable[[Request], Response | None] = lambda _: None,
    ) -> None:
        self.leaving: Leaving = Leaving()
        """For `WebServer(leaving=...)`: streams of events and WebSockets end when it begins."""
        self._opened = opened
        self._gate = gate or Gate()
        self._routes = routes
        self._call = call
        self._ready = ready
        self._state = state
        self._confirm = _Shared(confirm) if confirm is not None else None
        self._pages = pages

    async def __call__(self, request: Request) -> Response:
        """The answer. AetherErrors and trio.TooSlowError go up to the server, which shows them as problems."""
        begun = self.begin(request)
        return begun if isinstance(begun, Response) else await begun

    def begin(self, request: Request) -> Response | Awaitable[Response]:
        """The answer, or what is to be awaited for it, in this task or another. Raises as calling it does."""
        found = self._routes().router.match(request.verb, request.path)
        if not isinstance(found, Match) or not self._asks_nothing(found.target):
            return self._routed(request, found)
        answer = self._call(
            found.target.artifact, found.target.route.method, http_input(request, found), request.request_id
        )
        if not isinstance(answer, Answered | FaultAnswer):
            return self._answered(request, found.target, answer)
        response = response_of(answer, found.target, request.request_id)
        return shrunk(request, response) if may_shrink(response) else response

    def _asks_nothing(self, target: SliceTarget) -> bool:
        """Whether a request to `target` is a call and no more: nothing is asked of it before, and its slice serves."""
        return (
            self._gate.is_open(target)
            and target.route.kind is RouteKind.CALL
            and not target.route.input
            and (self._state is None or self._state(target.artifact)[0] in _TAKES_CALLS)
        )

    async def _answered(self, request: Request, target: SliceTarget, making: Awaitable[SliceAnswer]) -> Response:
        return await shrunk(request, response_of(await making, target, request.request_id))

    async def _routed(self, request: Request, found: Match[SliceTarget] | WrongVerb | Missing) -> Response:
        if isinstance(found, Match):
            return await self._admitted(request, found)
        if request.path == "*" and request.verb == "OPTIONS":
            return Response(204, headers={"Allow": ", ".join((*VERBS, "HEAD", "OPTIONS"))})
        again = await self._find_again(request, found)
        if isinstance(again, Match):
            return await self._admitted(request, again)
        return self._wrong_verb(request, again) if isinstance(again, WrongVerb) else await shrunk(request, again)

    async def _admitted(self, request: Request, found: Match[SliceTarget]) -> Response:
        target = found.target
        if self._gate.is_open(target):
            response = await self._answer(request, found)
            if response.stream is not None:
                response = self._lasting(response, request, target, silent=False)
            return await shrunk(request, response) if may_shrink(response) else response
        admitted, fields = await self._gate.admit(request, target)
        try:
            if isinstance(admitted, Response):
                response = admitted
            elif admitted is None:
                response = self._lasting(await self._answer(request, found), request, target, silent=False)
            else:
                with acting_as(admitted):
                    response = self._lasting(await self._answer(request, found), request, target, silent=True)
        except Exception as error:  # noqa: BLE001 - a page of another origin must be able to read what went wrong
            response = problem_for(error, request)
        return await shrunk(request, attrs.evolve(response, headers=_joined(response.headers, fields)))

    def _lasting(self, response: Response, request: Request, target: SliceTarget, *, silent: bool) -> Response:
        return lasting(response, lambda: self._still(request, target), silent=silent)

    async def _still(self, request: Request, target: SliceTarget) -> float | None:
        """As Gate.still, by the route as it is now; by that of the beginning where it is gone."""
        found = self._routes().router.match(request.verb, request.path)
        return await self._gate.still(request, found.target if isinstance(found, Match) else target)

    def streams_body(self, verb: str, path: str) -> bool:
        """Whether the method behind `verb` and `path` reads the body as it arrives (`WebServer(streams_body=...)`)."""
        routes = self._routes()
        if not routes.streams_bodies:
            return False
        try:
            found = routes.router.match(verb, path)
        except BadInput:  # the handler says so
            return False
        return isinstance(found, Match) and bool(found.target.route.input)

    def _wrong_verb(self, request: Request, found: WrongVerb) -> Response:
        if is_preflight(request):
            meant = self._routes().router.match(request.header("access-control-request-method") or "", request.path)
            answer = self._gate.preflight(request, meant.target) if isinstance(meant, Match) else None
            if answer is not None:
                return answer
        return wrong_verb(request.verb, found.allow, request.request_id)

    async def _answer(self, request: Request, found: Match[SliceTarget]) -> Response:
        target = found.target
        if self._state is not None and self._state(target.artifact)[0] not in _TAKES_CALLS:
            await self._ensure_serving(target.artifact, self._state)
        request = agreed(request, target.options.subprotocols)
        plain = http_input(request, found)
        if target.route.kind is not RouteKind.CALL or target.route.input:
            assert self._opened is not None, "a node whose routes stream gives `opened`"
            try:
                return await streamed(self._opened, request, target, plain, self._gate.cors_of(target), self.leaving)
            except Faulting as fault:
                return response_of(fault.answer, target, request.request_id)
        answer = self._call(target.artifact, target.route.method, plain, request.request_id)
        if not isinstance(answer, Answered | FaultAnswer):
            answer = await answer
        return response_of(answer, target, request.request_id)

    async def _find_again(
        self, request: Request, found: WrongVerb | Missing
    ) -> Match[SliceTarget] | WrongVerb | Response:
        """The same with the newest view; or a page of this port itself."""
        page = self._pages(request) if isinstance(found, Missing) else None
        if page is not None:
            return page
        if not self._ready():
            raise TryAgain("this node is still catching up; ask again or ask another node")
        await self._confirm_view()
        again = self._routes().router.match(request.verb, request.path)
        if isinstance(again, Missing):
            raise NotFound("route", f"{request.verb} {request.path}", "GET /routes on the management port lists all")
        return again

    async def _ensure_serving(self, artifact: ArtifactBase, look: Callable[[ArtifactBase], tuple[str, str]]) -> None:
        await self._confirm_view()
        state, reason = look(artifact)
        if state not in _TAKES_CALLS:
            raise NoInstance(str(artifact), state, reason)

    async def _confirm_view(self) -> None:
        """Bring this node's view up to date. Raises TryAgain when the cluster cannot be asked in time."""
        if self._confirm is None:
            return
        with trio.move_on_after(CONFIRM_S) as scope:
            await self._confirm()
        if scope.cancelled_caught:
            raise TryAgain(f"this node could not confirm its view within {CONFIRM_S:g} s; ask again or elsewhere")


def _joined(headers: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """`headers` and `more`; what an answer varies by is added up."""
    joined = {**more, **headers}
    if "Vary" in more and "Vary" in headers:
        varying(joined, more["Vary"])
    return joined


class _Shared:
    """One confirmation at a time for all who wait: strangers asking for unknown paths must not load the cluster."""

    def __init__(self, confirm: Callable[[], Awaitable[object]]) -> None:
        self._confirm = confirm
        self._begun = 0
        self._done = 0
        self._running = False
        self._ended = trio.Event()

    async def __call__(self) -> None:
        """Return when a confirmation that began after this call has succeeded. Raises what the confirmation raises."""
        wanted = self._begun + 1
        while self._done < wanted:
            if self._running:
                await self._ended.wait()
            else:
                await self._run()

    async def _run(self) -> None:
        self._begun += 1
        number = self._begun
        self._running = True
        try:
            await self._confirm()
            self._done = number
        finally:  # failed or cancelled: the next who waits tries for itself
            self._running = False
            self._ended.set()
            self._ended = trio.Event()
