"""All streams of one node: opening one on an instance here or elsewhere, and the messages of those under way.

Knows: both sides of streams, the nursery that serves them.
Never: which instance is asked, retries: the Invoker's.
Holds: what a caller sends is fed in a nursery of the caller's block; an error of its own generator leaves that block as
       itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, NoReturn, Protocol, cast

import trio

from aether.errors import Draining, Overloaded
from aether.invocation.cleanup_service import LOOK_S
from aether.invocation.copying import over_msgpack
from aether.invocation.endpoints import Endpoint
from aether.invocation.handing_service import Reopen
from aether.invocation.here_service import HereStream
from aether.invocation.local import LocalHost
from aether.invocation.pending_service import Send, words
from aether.invocation.reply import UNKNOWN_INSTANCE, Form, NotStarted, Outcome, Reply, TimedOut
from aether.invocation.serving_service import StepsAside, never
from aether.invocation.span import Span
from aether.invocation.stream_calls_service import StreamCalls
from aether.invocation.stream_ends_service import Insistence
from aether.invocation.stream_messages import (
    StreamCredit,
    StreamEnd,
    StreamItem,
    StreamOpened,
    StreamRequest,
    StreamStop,
)
from aether.invocation.stream_server_service import StreamServer
from aether.invocation.streaming import Feed, Input, Inputs, Onward, Opened, Opening, OpenStream
from aether.invocation.tracer import Tracer
from aether.model.artifact import ArtifactBase
from aether.model.ids import NodeId
from aether.model.limits import STREAMS_OPEN_MAX
from aether.slice_api.handover_service import Collapsed, pump
from aether.slice_api.streams import Openable

TO_CALLER: Final = 0
"""The channel of the callee's own items; all others are the caller's."""


class Asked(Protocol):
    """What a try of the Invoker knows of the stream that it opens."""

    target: ArtifactBase
    method: str
    payload: object
    form: Form
    request_id: str
    span: Span
    attempt: int


class Streams:
    """The streams that a node reads and serves.

    wire    force co-located ones through msgpack
    reopen  opens a stream that was handed on; None: what is handed on goes through the middle
    steps_aside  whether another node had better serve one that arrives
    """

    def __init__(
        self,
        node: NodeId,
        send: Send,
        host: LocalHost,
        new_id: Callable[[], int],
        tracer: Tracer,
        steps_aside: StepsAside = never,
        *,
        wire: bool,
        reopen: Reopen | None = None,
    ) -> None:
        self._node = node
        self._host = host
        self._tracer = tracer
        self._wire = wire
        self._reopen = reopen
        self._insistence = Insistence(send)
        self._calls = StreamCalls(send, self._insistence, new_id)
        self._server = StreamServer(node, send, self._insistence, host, tracer, STREAMS_OPEN_MAX, reopen, steps_aside)
        self._nursery: trio.Nursery | None = None

    def __len__(self) -> int:
        """Streams read from other nodes now."""
        return len(self._calls)

    def begin(self, nursery: trio.Nursery) -> None:
        """Serve in `nursery` from now on."""
        self._nursery = nursery
        nursery.start_soon(self._insistence.run)
        nursery.start_soon(self._bound_cleanup)

    async def _bound_cleanup(self) -> NoReturn:
        while True:
            await trio.sleep(LOOK_S)
            self._server.running.look()

    async def ended(self) -> None:
        """Return when every served stream, all being cancelled, has ended, or its clean-up has had its time."""
        await self._server.running.ended()

    def stop(self, reason: str) -> None:
        """Serve no more; streams read from others are cut."""
        self._nursery = None
        self._calls.abandon(reason)

    async def open(self, endpoint: Endpoint, asked: Asked, opening: Opening) -> Opened | Onward | Outcome:
        """Open it on `endpoint`. Raises Draining and Overloaded as a call does."""
        if self._nursery is None:
            raise Draining(self._node)
        if endpoint.node == self._node:
            return await self._open_here(self._nursery, endpoint, asked, opening)
        if len(self._calls) >= STREAMS_OPEN_MAX:
            raise Overloaded(f"node {self._node}, open streams", STREAMS_OPEN_MAX)
        request = StreamRequest(
            call_id=0,
            target=str(asked.target),
            instance=endpoint.instance,
            method=asked.method,
            form=asked.form,
            remaining_s=opening.give_up_at - trio.current_time(),
            payload=asked.payload,
            attempt=asked.attempt,
            items=0,
            bytes=0,
            inputs={name: self._reopen and given.reference for name, given in opening.inputs.items()},
            extra=self._tracer.beside(asked.span),
        )
        return await self._calls.open(endpoint.node, opening, request, asked.request_id)

    async def _open_here(
        self, nursery: trio.Nursery, endpoint: Endpoint, asked: Asked, opening: Opening
    ) -> Opened | Onward | Outcome:
        instance = self._host.find(endpoint.instance)
        if instance is None:
            return NotStarted(UNKNOWN_INSTANCE)
        scope = trio.CancelScope(deadline=opening.until)
        stream = HereStream(opening, scope, wire=self._wire, reopen=self._reopen)
        payload = over_msgpack(asked.payload) if self._wire else asked.payload
        running = self._tracer.served_here(asked.span, asked.request_id)
        nursery.start_soon(self._server.serve_here, instance, asked.method, payload, asked.form, running, scope, stream)
        return await stream.begun()

    # --- messages -----------------------------------------------------------------------------------------------------

    def item(self, sender: NodeId, m: StreamItem, request_id: str) -> None:
        """By far the most frequent message."""
        if m.channel == TO_CALLER:
            self._calls.item(sender, m)
        else:
            self._server.item(sender, m)

    def deliver(self, sender: NodeId, message: object, request_id: str) -> bool:
        """A message from a peer; False when it is none of a stream."""
        match message:
            case StreamItem():
                self.item(sender, message, request_id)
            case StreamCredit():
                (self._server if message.channel == TO_CALLER else self._calls).credit(sender, message)
            case StreamRequest():
                self._accept(sender, message, request_id)
            case StreamOpened():
                self._calls.opened(sender, message)
            case StreamEnd():
                (self._calls if message.channel == TO_CALLER else self._server).ended(sender, message)
            case StreamStop():
                (self._server if message.channel == TO_CALLER else self._calls).stop(sender, message)
            case _:
                return False
        return True

    def _accept(self, sender: NodeId, request: StreamRequest, request_id: str) -> None:
        if self._nursery is None:
            self._server.refuse(sender, request.call_id, NotStarted("the node is stopping"))
        else:
            self._server.accept(self._nursery, sender, request, request_id)

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone: streams from it are cut, streams to it are cancelled."""
        self._calls.peer_lost(node)
        self._server.peer_lost(node)
        self._insistence.forget(node)


@asynccontextmanager
async def reading(opening: Opening, span: Span, trying: Awaitable[object]) -> AsyncGenerator[OpenStream]:
    """The stream that `trying` opens, for as long as the block. Raises what `opening` makes of any other reply."""
    opened: object = None
    reason = "the reader left"
    try:
        opened = await trying
        if not isinstance(opened, Opened):
            raise opening.error(cast("Reply", opened))
        async with feeding(opened, opening):
            yield opened.stream
    except trio.Cancelled as cancelled:
        reason = words(cancelled)
        raise
    finally:
        if isinstance(opened, Opened):
            opened.stream.close(reason)
            opened.left()
        span.close(trio.current_time(), answered=opened is not None and not isinstance(opened, TimedOut))


def feeding(opened: Opened, opening: Opening) -> AbstractAsyncContextManager[None]:
    """Send the inputs of `opened` for as long as the block."""
    if not opened.feeds:
        return contextlib.nullcontext()
    return Collapsed(_feeding(opened.feeds, opening.inputs))


@asynccontextmanager
async def _feeding(feeds: Mapping[str, Feed], inputs: Inputs) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        for name, feed in feeds.items():
            nursery.start_soon(_feed, inputs[name], feed)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()


async def _feed(given: Input, feed: Feed) -> None:
    with feed.scope:
        if isinstance(given.source, Openable):  # a stream that the caller reads itself
            async with cast("Openable[object]", given.source).__aether_open__(0) as items:
                await pump(items, given.encode, feed.sink)
        else:
            await pump(given.source, given.encode, feed.sink)
        feed.finish()
