"""Routes whose answers, or requests, pass piece by piece.

Knows: opening a method's stream, its head, what becomes of its items: an answer in parts, or a WebSocket.
Never: how items travel (the opener is passed in), frames.
Holds: a method's stream is entered and left by the task that serves the connection; what the method raises before its
       first item has its own status.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Protocol

import trio

from aether.errors import BadInput
from aether.model import limits
from aether.model.artifact import ArtifactBase
from aether.model.route import RouteKind
from aether.slice_api.http import HttpInput
from aether.slice_api.route_options import Cors
from aether.web.failure_service import problem_for
from aether.web.flow_service import Flow, first_part, parts_at_once
from aether.web.leaving import Leaving
from aether.web.problem import fault_problem
from aether.web.request import Request, Response
from aether.web.slices import Faulting, SliceTarget, answer_headers, head_of
from aether.web.websocket import accept_headers, refusal
from aether.web.websocket_service import Message, Socket

Inputs = Mapping[str, AsyncIterator[object]]


class OpenStream(Protocol):
    """Opens the stream of a method with form HTTP: (artifact, method, HttpInput, request id, inputs).

    The items begin with a head (room slice_api, module http_exchange). Raises what a call raises, and Faulting.
    """

    def __call__(
        self, artifact: ArtifactBase, method: str, plain: HttpInput, request_id: str, inputs: Inputs, /
    ) -> AbstractAsyncContextManager[AsyncIterator[object]]: ...


async def streamed(
    opened: OpenStream, request: Request, target: SliceTarget, plain: HttpInput, cors: Cors | None, leaving: Leaving
) -> Response:
    """The answer of a route that is no plain call. Raises what opening the stream raises, and Faulting."""
    if target.route.kind is RouteKind.WEBSOCKET:
        refused = refusal(request, cors)
        return refused if refused is not None else await _socket(opened, request, target, plain, leaving)
    route = target.route
    body = _Body(request) if route.input else None
    inputs = {} if body is None else {route.input: body}
    async with AsyncExitStack() as stack:
        items = await stack.enter_async_context(
            opened(target.artifact, route.method, plain, request.request_id, inputs)
        )
        head = head_of(await anext(items))
        headers = {**answer_headers(target, head.version), **head.headers}
        if route.kind is RouteKind.STREAM and body is None:
            begun = await first_part(items)
            part, ended = begun or b"", begun is None
        else:
            part, ended = await parts_at_once(items, lambda: body is not None and body.reads_on)
        if ended:
            return Response(head.status, part, head.content_type, headers)
        explain = functools.partial(explained, request)
        return Response(
            head.status, part, head.content_type, headers, stream=Flow(head, items, stack.pop_all(), explain, leaving)
        )
    raise AssertionError("the block of a stream never swallows an error")


def explained(request: Request, error: Exception) -> Response:
    """The problem for what ended a stream: a Fault keeps its own status."""
    if isinstance(error, Faulting):
        a = error.answer
        return fault_problem(
            name=a.name, status=a.status, title=a.title, detail=a.detail, fields=a.fields, request_id=request.request_id
        )
    return problem_for(error, request)


async def _socket(
    opened: OpenStream, request: Request, target: SliceTarget, plain: HttpInput, leaving: Leaving
) -> Response:
    route = target.route
    sender, receiver = trio.open_memory_channel[Message](limits.WEBSOCKET_MESSAGES_AHEAD)
    inputs: Inputs = {route.input: receiver} if route.input else {}
    async with AsyncExitStack() as stack:
        items = await stack.enter_async_context(
            opened(target.artifact, route.method, plain, request.request_id, inputs)
        )
        head = head_of(await anext(items))

        async def upgrade(stream: trio.abc.Stream, rest: bytes) -> None:
            await Socket(stream, sender if route.input else None, target.shown, leaving).run(items, rest)

        chosen = (request.header("sec-websocket-protocol") or "") if target.options.subprotocols else ""
        headers = {**answer_headers(target, head.version), **accept_headers(request, chosen)}
        return Response(101, b"", "", headers, stream=_Closing(stack.pop_all()), upgrade=upgrade)
    raise AssertionError("the block of a stream never swallows an error")


class _Body:
    """The body of a request as an input of its method; `reads_on` until its end has come."""

    def __init__(self, request: Request) -> None:
        if request.body_stream is None:
            raise BadInput("a body that streams came whole", ("this listener does not stream bodies",))
        self._pieces = request.body_stream
        length = request.header("content-length")
        self.reads_on = request.header("transfer-encoding") is not None or (
            length is not None and length.strip("0") != ""
        )

    def __aiter__(self) -> AsyncIterator[object]:
        return self

    async def __anext__(self) -> object:
        try:
            return await anext(self._pieces)
        except BaseException:  # its end, a refusal, or nobody wants the rest
            self.reads_on = False
            raise


class _Closing:
    """No parts: it leaves the method's stream when the connection is done with its WebSocket."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await self._stack.aclose()
