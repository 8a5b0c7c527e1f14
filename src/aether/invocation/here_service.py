"""A stream between two instances of one node: served like any other, but its items are handed over in memory.

Knows: the pipe between the two tasks, how its end becomes the reader's exception.
Never: which instance serves, messages.
"""

from __future__ import annotations

from typing import Any

import trio

from aether.invocation.copying import over_msgpack
from aether.invocation.handing import Reference
from aether.invocation.handing_service import HandedInput, Reopen
from aether.invocation.pending_service import words
from aether.invocation.reply import Done, Outcome, Reply, decode_reply, encode_reply
from aether.invocation.streaming import Feed, InputStream, Onward, Opened, Opening, final_error, settled
from aether.slice_api.handover_service import LEFT, Pipe, Waiter, closed


class HerePipe(Pipe[Any]):
    """A pipe that counts its items and, when told so, lets them look as if they came from another node."""

    def __init__(self, opening: Opening, scope: trio.CancelScope, *, wire: bool) -> None:
        super().__init__(opening.ahead, leave=scope.cancel)
        self._wire = wire
        self.count: int = 0

    def put(self, item: Any) -> bool:
        self.count += 1
        return super().put(over_msgpack(item) if self._wire else item)


class HereStream(HerePipe):
    """Both ends: ServedSink for the instance, OpenStream for the reader.

    scope  of the served task; wire  items and outcome go through msgpack, as between nodes
    """

    def __init__(self, opening: Opening, scope: trio.CancelScope, *, wire: bool, reopen: Reopen | None = None) -> None:
        super().__init__(opening, scope, wire=wire)
        self._decode = opening.decode
        self._opening = opening
        self._scope = scope
        self._first, self._last = Waiter(), Waiter()
        self._is_open = False
        self._final: Outcome | None = None
        self._hands_on = reopen is not None
        self._onward: Onward | None = None
        self.inputs: dict[str, InputStream] = {}
        self.feeds: dict[str, Feed] = {}
        self.handed: list[HandedInput] = []
        for name, given in opening.inputs.items():
            if reopen is not None and given.reference is not None:
                self.inputs[name] = handed = HandedInput(Reference.from_plain(given.reference), reopen)
                self.handed.append(handed)
                continue
            feeding = trio.CancelScope()
            self.inputs[name] = pipe = HerePipe(opening, feeding, wire=wire)
            self.feeds[name] = Feed(pipe, pipe.end, feeding)

    # --- the instance -------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        self._is_open = True
        self._first.wake()

    def hand_on(self, reference: object) -> bool:
        if self._hands_on:
            self._onward = Onward(over_msgpack(reference) if self._wire else reference)
            self._first.wake()
        return self._hands_on

    def finish(self, final: Outcome) -> None:
        """The served task is over."""
        self._final = final = decode_reply(over_msgpack(encode_reply(final))) if self._wire else final
        for pipe in self.inputs.values():
            pipe.close()
        self._first.wake()
        self._last.wake()
        self.end(None if isinstance(final, Done) else final_error(final, self._opening, self.count))

    # --- the reader ---------------------------------------------------------------------------------------------------

    async def begun(self) -> Opened | Onward | Outcome:
        """Wait for the first word: it is open, or what it came to instead. Cancelled, it cancels the served task."""
        try:
            while not self._is_open and self._final is None and self._onward is None:
                await self._first.park()
        except trio.Cancelled as cancelled:
            self.close(words(cancelled))
            raise
        if self._onward is not None:
            return self._onward
        if self._is_open or self._final is None:
            return Opened(self, self.feeds)
        return self._final

    async def outcome(self) -> Reply:
        while self._final is None:
            if self.is_closed:
                raise closed()
            await self._last.park()
        return settled(self._final, self._opening, self.count)

    def close(self, reason: str = LEFT) -> None:
        super().close(reason)
        self._last.wake()
