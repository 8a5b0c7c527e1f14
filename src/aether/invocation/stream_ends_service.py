"""The two ends of a stream between nodes, each in the task that uses it.

Knows: flow control (`stream_flow`), messages, one parked task at each end.
Never: tables of streams, which instance serves.
Holds: an item is decoded when it is read, not when it arrives; an end reaches a checkpoint at least once in
       TURN_ITEMS items. What must arrive (credit, ends, stops) is said until the transport takes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NoReturn, Protocol, TypeAlias

import trio

from aether.invocation.copying import pack, unpack
from aether.invocation.pending_service import Send
from aether.invocation.reply import UNSENDABLE, Done, Outcome, Reply, TimedOut, unsendable
from aether.invocation.stream_flow import Incoming, Outgoing
from aether.invocation.stream_messages import StreamCredit, StreamEnd, StreamItem, StreamOpened, StreamStop
from aether.invocation.streaming import Opening, final_error, settled
from aether.model.ids import NodeId
from aether.model.limits import STREAM_AHEAD_BYTES, STREAM_AHEAD_ITEMS
from aether.slice_api.handover_service import LEFT, TURN_ITEMS, Waiter, closed, closing

AGAIN_S: Final = 0.01
"""Pause before the transport, whose queue was full, is asked again."""


Word: TypeAlias = StreamOpened | StreamCredit | StreamEnd | StreamStop


class Say(Protocol):
    """Sends a message that must arrive for as long as the connection lives."""

    def __call__(self, to: NodeId, message: Word) -> None: ...


class Insistence:
    """Says messages until the transport takes them. At most one per stream, channel and kind waits: the newest."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._unsaid: dict[tuple[NodeId, type, int, int], Word] = {}
        self._waiter = Waiter()

    def say(self, to: NodeId, message: Word) -> None:
        if not self._send(to, message, ""):
            channel = 0 if isinstance(message, StreamOpened) else message.channel
            self._unsaid[to, type(message), message.call_id, channel] = message
            self._waiter.wake()

    def forget(self, node: NodeId) -> None:
        """The connection is gone, and with it everything to be said."""
        for key in [key for key in self._unsaid if key[0] == node]:
            del self._unsaid[key]

    async def run(self) -> NoReturn:
        """Say again what was not taken, until cancelled."""
        while True:
            while not self._unsaid:
                await self._waiter.park()
            await trio.sleep(AGAIN_S)
            for key, message in list(self._unsaid.items()):
                try:
                    is_said = self._send(key[0], message, "")
                except UNSENDABLE as error:
                    # Nobody told before: a message is spelt only once there is a connection.
                    del self._unsaid[key]
                    self.say(key[0], _unsendable(message, error))
                    continue
                if is_said:
                    del self._unsaid[key]


def _unsendable(message: Word, error: Exception) -> StreamEnd:
    """The end of the stream that `message`, which no frame can carry, was for."""
    channel = 0 if isinstance(message, StreamOpened) else message.channel
    count = message.items if isinstance(message, StreamEnd) else 0
    return StreamEnd(message.call_id, channel, count, unsendable(error))


class StreamWriter:
    """The sending end: items as messages, within the reader's credit. Implements Sink."""

    def __init__(self, node: NodeId, call_id: int, channel: int, send: Send, credit: tuple[int, int] = (0, 0)) -> None:
        self._node, self._call_id, self._channel = node, call_id, channel
        self._send = send
        self._flow = Outgoing(*credit)
        self._turn = TURN_ITEMS
        self._unsent: StreamItem | None = None
        self._waiter = Waiter()

    @property
    def count(self) -> int:
        """Items sent so far, without one that still waits for room: who stops here never sends it."""
        return self._flow.sent_items - (self._unsent is not None)

    def put(self, item: Any) -> bool:
        body = pack(item)
        flow = self._flow
        message = StreamItem(self._call_id, self._channel, flow.sent_items, body)
        if not self._send(self._node, message, ""):
            self._unsent = message
        self._turn -= 1
        return flow.sent(len(body)) and self._turn > 0 and self._unsent is None

    async def room(self) -> None:
        self._turn = TURN_ITEMS
        await trio.lowlevel.checkpoint()
        while self._unsent is not None:
            await trio.sleep(AGAIN_S)  # a full queue; when the connection is lost instead, this task is cancelled
            if self._send(self._node, self._unsent, ""):
                self._unsent = None
        while not self._flow.has_room:
            await self._waiter.park()

    def credit(self, items: int, bytes_: int) -> None:
        """The reader's word."""
        self._flow.credit(items, bytes_)
        if self._flow.has_room:
            self._waiter.wake()


class StreamReader:
    """The reading end. Implements OpenStream.

    leave  called once, when the reader leaves before the end has arrived
    """

    def __init__(
        self, node: NodeId, call_id: int, channel: int, say: Say, opening: Opening, leave: Callable[[str], None]
    ) -> None:
        self._node, self._call_id, self._channel = node, call_id, channel
        self._say = say
        self._opening = opening
        self._leave = leave
        self._decode = opening.decode
        self._flow: Incoming[Outcome] = Incoming(opening.ahead or STREAM_AHEAD_ITEMS, STREAM_AHEAD_BYTES)
        self._turn = TURN_ITEMS
        self._waiter = Waiter()
        self.is_closed: bool = False

    # --- what arrives -------------------------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        """Nothing more can arrive."""
        return self._flow.is_complete

    @property
    def granted(self) -> tuple[int, int]:
        return self._flow.granted

    def arrived(self, number: int, body: bytes) -> bool:
        """An item; whether nothing more can arrive. Raises BadInput for one that breaks the rules of the flow."""
        if self.is_closed:
            return False
        self._flow.arrived(number, body)
        if self._waiter:
            self._waiter.wake()
        return self._flow.is_complete

    def ended(self, count: int, final: Outcome) -> None:
        """The sender's end. Raises BadInput."""
        if not self.is_closed:
            self._flow.ended(count, final)
            self._waiter.wake()

    def cut(self, final: Outcome) -> None:
        """Nothing more will arrive."""
        self._flow.cut(final)
        self._waiter.wake()

    # --- the reader ---------------------------------------------------------------------------------------------------

    def decoded(
        self, decode: Callable[[Any], Any], error: Callable[[Reply], BaseException] | None = None
    ) -> StreamReader:
        self._decode = decode
        return self

    def __aether_open__(self, ahead: int) -> AbstractAsyncContextManager[StreamReader]:
        return closing(self)

    def __aiter__(self) -> StreamReader:
        return self

    async def __anext__(self) -> Any:
        flow = self._flow
        self._turn -= 1
        if self._turn <= 0 and flow.ready:
            self._turn = TURN_ITEMS
            await trio.lowlevel.checkpoint()
        while not flow.ready:
            await self._more()
        body = flow.take()
        if flow.taken_items >= flow.due_items or flow.taken_bytes >= flow.due_bytes:
            self._tell()
        plain = unpack(body)
        return plain if self._decode is None else self._decode(plain)

    async def _more(self) -> None:
        """Until an item may be there. Raises what the end says when none will come."""
        self._turn = TURN_ITEMS
        if self.is_closed:
            raise closed()
        final = self._flow.end
        if final is None:
            await self._waiter.park()
            return
        await trio.lowlevel.checkpoint()
        if isinstance(final, Done):
            raise StopAsyncIteration
        await self._meant(final)
        raise final_error(final, self._opening, self._flow.taken_items)

    async def outcome(self) -> Reply:
        while (final := self._flow.last_word) is None:
            if self.is_closed:
                raise closed()
            while self._flow.ready:
                self._flow.take()
            self._tell()
            await self._waiter.park()
        await self._meant(final)
        return settled(final, self._opening, self._flow.arrived_items)

    def _tell(self) -> None:
        granted = self._flow.grant()
        if granted is not None:
            self._say(self._node, StreamCredit(self._call_id, self._channel, *granted))

    async def _meant(self, final: Outcome) -> None:
        """A time-out by the caller's own scope shall end that scope, not look like an error of the callee."""
        opening = self._opening
        if isinstance(final, TimedOut) and opening.until < math.inf and trio.current_time() >= opening.give_up_at:
            await trio.sleep_until(opening.until)

    def close(self, reason: str = LEFT) -> None:
        """The reader leaves. Never blocks; closing twice is fine."""
        if not self.is_closed:
            self.is_closed = True
            self._flow.ready.clear()
            self._waiter.wake()
            self._leave(reason)
