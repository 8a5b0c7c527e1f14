"""Streams that this node reads from others.

Knows: open streams by call id, what each message from a callee means for one.
Never: which instance to ask, how a stream is served.
Holds: a stream is in the table from its request until nothing more can arrive, or its reader leaves; then the callee is
       told. Messages from any other node than its callee are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import trio

from aether.errors import BadInput
from aether.invocation.pending_service import Send, words
from aether.invocation.reply import REFUSED, Abandoned, Done, NotStarted, Outcome
from aether.invocation.stream_ends_service import Insistence, StreamReader, StreamWriter
from aether.invocation.stream_messages import (
    StreamCredit,
    StreamEnd,
    StreamItem,
    StreamOpened,
    StreamRequest,
    StreamStop,
)
from aether.invocation.streaming import Feed, Onward, Opened, Opening
from aether.model.ids import NodeId
from aether.slice_api.handover_service import Waiter


@attrs.define(eq=False)
class _Called:
    """One stream from its request on. opened  the callee said so; failed  what it said instead"""

    node: NodeId
    reader: StreamReader
    writers: Mapping[int, StreamWriter]
    feeds: Mapping[str, Feed]
    opened: bool = False
    failed: Onward | Outcome | None = None
    first: Waiter = attrs.field(factory=Waiter)


class StreamCalls:
    """The caller's side of all streams of one node."""

    def __init__(self, send: Send, insistence: Insistence, new_id: Callable[[], int]) -> None:
        self._send = send
        self._insistence = insistence
        self._new_id = new_id
        self._called: dict[int, _Called] = {}

    def __len__(self) -> int:
        return len(self._called)

    async def open(
        self, node: NodeId, opening: Opening, request: StreamRequest, request_id: str
    ) -> Opened | Onward | Outcome:
        """Ask `node`; its first word. Cancelled, it tells the callee to stop. `request` has no id and no credit yet."""
        call_id = self._new_id()
        called = self._called[call_id] = self._new(node, call_id, opening, request.inputs)
        items, bytes_ = called.reader.granted
        if not self._send(node, request._replace(call_id=call_id, items=items, bytes=bytes_), request_id):
            del self._called[call_id]
            return NotStarted(REFUSED)
        try:
            while not called.opened and called.failed is None:
                await called.first.park()
        except trio.Cancelled as cancelled:
            called.reader.close(words(cancelled))
            raise
        return Opened(called.reader, called.feeds) if called.failed is None else called.failed

    def _new(self, node: NodeId, call_id: int, opening: Opening, inputs: Mapping[str, object]) -> _Called:
        reader = StreamReader(
            node, call_id, 0, self._insistence.say, opening, lambda reason: self._left(call_id, reason)
        )
        writers: dict[int, StreamWriter] = {}
        feeds: dict[str, Feed] = {}
        for channel, (name, reference) in enumerate(inputs.items(), start=1):
            if reference is None:
                writer = writers[channel] = StreamWriter(node, call_id, channel, self._send)
                feeds[name] = Feed(writer, self._finish(node, call_id, channel, writer), trio.CancelScope())
        return _Called(node, reader, writers, feeds)

    def _finish(self, node: NodeId, call_id: int, channel: int, writer: StreamWriter) -> Callable[[], None]:
        return lambda: self._insistence.say(node, StreamEnd(call_id, channel, writer.count, Done(None)))

    def _left(self, call_id: int, reason: str) -> None:
        called = self._called.pop(call_id, None)
        if called is not None:
            self._insistence.say(called.node, StreamStop(call_id, 0, reason))

    # --- messages -----------------------------------------------------------------------------------------------------

    def opened(self, sender: NodeId, m: StreamOpened) -> None:
        called = self._of(sender, m.call_id)
        if called is None:  # a long request that our stop overtook
            self._insistence.say(sender, StreamStop(m.call_id, 0, "nobody reads it"))
        elif m.onward is not None:
            if called.opened:
                return  # its items are read already: no callee says so
            del self._called[m.call_id]
            called.failed = Onward(m.onward)
            called.first.wake()
        else:
            called.opened = True
            for writer in called.writers.values():
                writer.credit(m.items, m.bytes)
            called.first.wake()

    def item(self, sender: NodeId, m: StreamItem) -> None:
        called = self._called.get(m.call_id)
        if called is not None and called.node == sender:
            try:
                is_complete = called.reader.arrived(m.number, m.body)
            except BadInput as error:
                broken = Abandoned(f"{sender} broke the rules of streams: {error}")
                self._end(m.call_id, broken, stop=broken.reason)
                return
            if is_complete:
                del self._called[m.call_id]

    def ended(self, sender: NodeId, m: StreamEnd) -> None:
        called = self._of(sender, m.call_id)
        if called is None:
            return
        if not called.opened and not isinstance(m.outcome, Done):
            self._end(m.call_id, m.outcome)
            return
        called.opened = True
        called.first.wake()
        _stop(called.feeds)
        try:
            called.reader.ended(m.items, m.outcome)
        except BadInput as error:
            self._end(m.call_id, Abandoned(f"{sender} broke the rules of streams: {error}"))
            return
        if called.reader.is_complete:
            del self._called[m.call_id]

    def credit(self, sender: NodeId, m: StreamCredit) -> None:
        called = self._of(sender, m.call_id)
        if called is not None and m.channel in called.writers:
            called.writers[m.channel].credit(m.items, m.bytes)

    def stop(self, sender: NodeId, m: StreamStop) -> None:
        """The callee reads one of the inputs no further."""
        called = self._of(sender, m.call_id)
        if called is not None and m.channel in called.writers:
            sink = called.writers[m.channel]
            next(feed for feed in called.feeds.values() if feed.sink is sink).scope.cancel()

    def peer_lost(self, node: NodeId) -> None:
        lost = Abandoned(f"the connection to {node} was lost")
        for call_id in [call_id for call_id, called in self._called.items() if called.node == node]:
            self._end(call_id, lost)

    def abandon(self, reason: str) -> None:
        """This node stops."""
        for call_id in list(self._called):
            self._end(call_id, Abandoned(reason), stop=reason)

    def _end(self, call_id: int, final: Outcome, *, stop: str = "") -> None:
        """The stream is over for this node, whatever was to come. stop  why its callee is told so"""
        called = self._called.pop(call_id)
        _stop(called.feeds)
        if called.opened:
            called.reader.cut(final)
        else:
            called.failed = final
            called.first.wake()
        if stop:
            self._insistence.say(called.node, StreamStop(call_id, 0, stop))

    def _of(self, sender: NodeId, call_id: int) -> _Called | None:
        called = self._called.get(call_id)
        return called if called is not None and called.node == sender else None


def _stop(feeds: Mapping[str, Feed]) -> None:
    for feed in feeds.values():
        feed.scope.cancel()
