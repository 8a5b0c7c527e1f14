"""The handler of slice routes: a request becomes a call, its answer a response.

Knows: the route table, readiness, when an unknown route may be called unknown.
Never: endpoints, instances, deadlines of calls (room invocation).
Holds: 404 is said only by a node that has caught up and confirmed with the cluster that no such route exists.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aether.model.artifact import ArtifactBase
from aether.web.request import Request, Response
from aether.web.slices import RouteTable, SliceAnswer

Call = Callable[[ArtifactBase, str, object, str], Awaitable[SliceAnswer]]
"""(artifact, method, http_input, request id) → answer. Raises AetherError or trio.TooSlowError for everything else."""


class SliceHandler:
    """Answers the HTTP port: `await handler(request)`.

    routes          the newest table; read at each request
    call            calls a method with form HTTP
    ready           whether this node has caught up; until then an unknown route is 503, never 404
    state           (state, reason) of an artifact in this node's view, as EndpointRegistry.state; anything but ACTIVE
                    is 503 with Retry-After at once. None: leave waiting to `call`
    confirm         returns when this node has applied everything acknowledged before (KvService.barrier). Asked before
                    a 404 or 503, so that a client sent on by another node never meets a stale view. None: trust the view
    """

    def __init__(
        self,
        routes: Callable[[], RouteTable],
        call: Call,
        ready: Callable[[], bool],
        *,
        state: Callable[[ArtifactBase], tuple[str, str]] | None = None,
        confirm: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._routes = routes
        self._call = call
        self._ready = ready
        self._state = state
        self._confirm = confirm

    async def __call__(self, request: Request) -> Response:
        """The answer. AetherErrors go up to the server, which shows them as problems."""
        raise NotImplementedError
