"""Streams that this node serves, each in a task for itself.

Knows: served streams by caller and call id; how cancellation, deadline and drain end one.
Never: who should be called, retries, exceptions of user code.
Holds: a stream is in the table from its arrival to its end; at most `open_max` are, co-located ones included. A reader
       that is gone cancels the task; the task's last word is the stream's end.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

import attrs
import trio

from aether.errors import BadInput
from aether.invocation.cleanup_service import RunningCalls
from aether.invocation.handing import Reference
from aether.invocation.handing_service import HandedInput, Reopen
from aether.invocation.here_service import HereStream
from aether.invocation.local import LocalHost, LocalInstance
from aether.invocation.pending_service import Send
from aether.invocation.reply import (
    FULL,
    LATE,
    STEPS_ASIDE,
    UNKNOWN_INSTANCE,
    UNSENDABLE,
    Abandoned,
    Failed,
    Form,
    NotStarted,
    Outcome,
    unsendable,
)
from aether.invocation.serving_service import StepsAside, outcome_of
from aether.invocation.span import Span
from aether.invocation.stream_ends_service import Insistence, StreamReader, StreamWriter, Word
from aether.invocation.stream_messages import (
    StreamCredit,
    StreamEnd,
    StreamItem,
    StreamOpened,
    StreamRequest,
    StreamStop,
)
from aether.invocation.streaming import InputStream, Opening
from aether.invocation.tracer import Tracer
from aether.model.ids import NodeId
from aether.slice_api.current import Running

_log = logging.getLogger(__name__)


class _Served(StreamWriter):
    """One served stream: its sending end, its task's scope, its inputs by channel. Implements ServedSink."""

    def __init__(
        self, node: NodeId, request: StreamRequest, send: Send, insistence: Insistence, *, hands_on: bool
    ) -> None:
        super().__init__(node, request.call_id, 0, send, (request.items, request.bytes))
        self.scope = trio.CancelScope(deadline=trio.current_time() + request.remaining_s)
        self._insistence = insistence
        self.is_dropped: bool = False
        """The reader left, or is gone: nothing more is said to it."""
        self.inputs: dict[int, StreamReader] = {}
        self._hands_on = hands_on
        self.handed: list[HandedInput] = []
        for channel, name in enumerate(request.inputs, start=1):
            opening = Opening(until=math.inf, give_up_at=math.inf, name=f"{request.method}({name})")
            self.inputs[channel] = StreamReader(
                node, request.call_id, channel, self._say, opening, self._stopper(channel)
            )

    def opened(self) -> None:
        items, bytes_ = next((reader.granted for reader in self.inputs.values()), (0, 0))
        self._say(self._node, StreamOpened(self._call_id, items, bytes_))

    def hand_on(self, reference: object) -> bool:
        if self._hands_on:
            self._say(self._node, StreamOpened(self._call_id, 0, 0, reference))
        return self._hands_on

    def named(self, request: StreamRequest, reopen: Reopen | None) -> Mapping[str, InputStream]:
        """Inputs by parameter; some are read from where they come from. Raises BadInput."""
        inputs: dict[str, InputStream] = {}
        for reader, (name, reference) in zip(self.inputs.values(), request.inputs.items(), strict=True):
            inputs[name] = reader
            if reference is not None and reopen is not None:
                inputs[name] = handed = HandedInput(Reference.from_plain(reference), reopen)
                self.handed.append(handed)
        return inputs

    async def over(self) -> None:
        """The task has ended: whoever kept an input reads no more of it."""
        for reader in self.inputs.values():
            reader.is_closed = True
        for handed in self.handed:
            await handed.end()

    def _say(self, to: NodeId, message: Word) -> None:
        if not self.is_dropped:
            self._insistence.say(to, message)

    def _stopper(self, channel: int) -> Callable[[str], None]:
        return lambda reason: self._say(self._node, StreamStop(self._call_id, channel, reason))


class StreamServer:
    """Serves the streams that callers on this node and on others open."""

    def __init__(
        self,
        node: NodeId,
        send: Send,
        insistence: Insistence,
        host: LocalHost,
        tracer: Tracer,
        open_max: int,
        reopen: Reopen | None,
        steps_aside: StepsAside,
    ) -> None:
        self.steps_aside: StepsAside = steps_aside
        self._node = node
        self._send = send
        self._insistence = insistence
        self._host = host
        self._tracer = tracer
        self._open_max = open_max
        self._reopen = reopen
        self._served: dict[tuple[NodeId, int], _Served] = {}
        self.running: RunningCalls = RunningCalls()  # those of _served, co-located ones, cancelled ones that clean up

    @property
    def full(self) -> bool:
        return len(self.running) >= self._open_max

    def __len__(self) -> int:
        return len(self.running)

    def accept(self, nursery: trio.Nursery, sender: NodeId, request: StreamRequest, request_id: str) -> None:
        """Start serving `request`, or refuse it at once. A repeated call id of an open stream is ignored."""
        key = (sender, request.call_id)
        if key in self._served:
            return
        if self.full:
            self.refuse(sender, request.call_id, NotStarted(FULL, self._open_max))
        elif request.remaining_s <= 0:
            self.refuse(sender, request.call_id, NotStarted(LATE))
        elif self.steps_aside(request.target, request.attempt):
            self.refuse(sender, request.call_id, NotStarted(STEPS_ASIDE))
        else:
            served = self._served[key] = _Served(
                sender, request, self._send, self._insistence, hands_on=self._reopen is not None
            )
            self.running[served.scope] = (request.target, request.method)
            nursery.start_soon(self._serve, key, request, request_id, served)

    def refuse(self, sender: NodeId, call_id: int, refusal: NotStarted) -> None:
        self._insistence.say(sender, StreamEnd(call_id, 0, 0, refusal))

    async def serve_here(
        self,
        instance: LocalInstance,
        method: str,
        payload: object,
        form: Form,
        running: Running,
        scope: trio.CancelScope,
        stream: HereStream,
    ) -> None:
        """A co-located stream: the same path, in a task of its own too."""
        if self.full:
            stream.finish(NotStarted(FULL, self._open_max))
            return
        self.running[scope] = (instance.name, method)
        final: Outcome = Abandoned(f"node {self._node} stopped")
        try:
            serving = instance.serve_stream(method, payload, form, scope, stream, stream.inputs)
            final = await outcome_of(serving, scope, running)
        except Exception as error:  # noqa: BLE001 - a bug here must end one stream, not the node
            final = self._bug(error, method)
        finally:
            for handed in stream.handed:
                await handed.end()
            self.running.over(scope)
            stream.finish(final)

    def _bug(self, error: Exception, method: str) -> Failed:
        _log.exception("serving the stream %s failed outside its generator", method)
        return Failed(kind=type(error).__name__, message=str(error), method=method, node=self._node)

    async def _serve(self, key: tuple[NodeId, int], request: StreamRequest, request_id: str, served: _Served) -> None:
        final: Outcome = Abandoned(f"node {self._node} stopped")
        try:
            final = await self._final(request, request_id, served)
        except Exception as error:  # noqa: BLE001 - a bug here must end one stream, not the node
            final = self._bug(error, request.method)
        finally:
            await served.over()
            self.running.over(served.scope)
            if self._served.get(key) is served:  # else the reader left, or is gone
                del self._served[key]
                self._say_end(key[0], request, served.count, final)

    async def _final(self, request: StreamRequest, request_id: str, served: _Served) -> Outcome:
        instance = self._host.find(request.instance)
        if instance is None:
            return NotStarted(UNKNOWN_INSTANCE)
        span = Span(f"{instance.name}.{request.method}", trio.current_time())
        span.instance = request.instance
        running = self._tracer.served(span, request_id, request.extra)
        inputs = served.named(request, self._reopen)
        serving = instance.serve_stream(request.method, request.payload, request.form, served.scope, served, inputs)
        final = await outcome_of(serving, served.scope, running)
        if isinstance(final, Failed) and request.attempt != 1:
            return attrs.evolve(final, attempt=request.attempt)
        return final

    def _say_end(self, sender: NodeId, request: StreamRequest, count: int, final: Outcome) -> None:
        try:
            self._insistence.say(sender, StreamEnd(request.call_id, 0, count, final))
        except UNSENDABLE as error:
            failed = unsendable(
                error,
                target=request.target,
                method=request.method,
                instance=request.instance,
                node=self._node,
                attempt=request.attempt,
            )
            self._insistence.say(sender, StreamEnd(request.call_id, 0, count, failed))

    # --- messages -----------------------------------------------------------------------------------------------------

    def credit(self, sender: NodeId, m: StreamCredit) -> None:
        served = self._served.get((sender, m.call_id))
        if served is not None:
            served.credit(m.items, m.bytes)

    def stop(self, sender: NodeId, m: StreamStop) -> None:
        """The reader waits no more."""
        self._drop((sender, m.call_id), m.reason)

    def item(self, sender: NodeId, m: StreamItem) -> None:
        """An item of an input."""
        served = self._served.get((sender, m.call_id))
        if served is not None and m.channel in served.inputs:
            try:
                served.inputs[m.channel].arrived(m.number, m.body)
            except BadInput as error:
                served.inputs[m.channel].cut(Abandoned(f"{sender} broke the rules of streams: {error}"))

    def ended(self, sender: NodeId, m: StreamEnd) -> None:
        """The end of an input."""
        served = self._served.get((sender, m.call_id))
        if served is not None and m.channel in served.inputs:
            try:
                served.inputs[m.channel].ended(m.items, m.outcome)
            except BadInput as error:
                served.inputs[m.channel].cut(Abandoned(f"{sender} broke the rules of streams: {error}"))

    def peer_lost(self, node: NodeId) -> None:
        """Nobody can receive what is sent to `node`: cancel what is served for it."""
        for key in [key for key in self._served if key[0] == node]:
            self._drop(key, "the connection to its reader was lost")

    def _drop(self, key: tuple[NodeId, int], reason: str) -> None:
        served = self._served.pop(key, None)
        if served is not None:
            served.is_dropped = True
            served.scope.cancel(reason)
