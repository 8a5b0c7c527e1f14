"""Requests on their way in: who reads a connection, and when.

Knows: reading for the worker of a connection, and beside a handler that is at work for long.
Never: time limits, what bytes mean.
Holds: one task reads at a time. What the watcher read, it leaves in the parser; one that meets the end of the bytes
       while a handler is at work says so at once; it reads no further ahead than the parser may hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from aether.model.limits import HTTP_READ_AHEAD_BYTES
from aether.web.clock_service import Clock
from aether.web.connection import HttpConnection
from aether.web.line_service import Line


class Held(Protocol):
    """Where bytes of all connections are counted."""

    held: int


class Receiver:
    """The receiving half of a connection.

    total  counts what all connections hold
    gone   called when the peer leaves while a handler is at work
    """

    __slots__ = ("_arrived", "_clock", "_gone", "_http", "_line", "_total", "_watch", "held", "left", "working")

    def __init__(self, line: Line, http: HttpConnection, clock: Clock, total: Held, gone: Callable[[], None]) -> None:
        self._line = line
        self._http = http
        self._clock = clock
        self._total = total
        self._gone = gone
        self._watch: trio.CancelScope | None = None
        self._arrived: trio.Event | None = None
        self.working: bool = False
        """Whether a handler, or the stream of its answer, is at work. Set by the owner."""
        self.left: bool = False
        self.held: int = 0
        """Bytes received and not answered yet."""

    async def more(self) -> bool:
        """Have more bytes in the parser, or let others have a turn before it looks at those that it has.

        False when the peer has left.
        """
        if self._http.is_behind:
            await trio.lowlevel.checkpoint()
            return True
        if self.left:
            return False
        if self._watch is not None:
            await self._watch_ended()
            return not self.left
        return self._take(await self._line.receive())

    @property
    def at_rest(self) -> bool:
        """Whether nobody reads, and the parser has looked at all that came: what comes next begins something."""
        return self._watch is None and not (self.left or self._http.is_behind)

    def take_now(self) -> bool:
        """Have in the parser what has come. False when the peer has left."""
        data = self._line.receive_now()
        return data is None or self._take(data)

    def release(self) -> None:
        """What was answered is held no more."""
        kept = self._http.buffered
        self._total.held += kept - self.held
        self.held = kept

    def end(self) -> None:
        """Nothing is held any more."""
        self._total.held -= self.held
        self.held = 0

    def begin_watch(self) -> None:
        """A handler is at work for so long that somebody should look whether its client is still there."""
        if self._watch is None and not self.left:
            self._watch = trio.CancelScope()
            self._clock.start(self._keep_watch)

    async def end_watch(self) -> None:
        """Let nobody read any more."""
        if self._watch is not None:
            self._watch.cancel()
            await self._watch_ended()

    async def discard(self) -> None:
        """Throw away all that comes, until the peer leaves."""
        await self.end_watch()
        while await self._line.receive():
            pass

    def _take(self, data: bytes) -> bool:
        if not data:
            self.left = True
            return False
        self._http.receive(data)
        self.held += len(data)
        self._total.held += len(data)
        return True

    async def _keep_watch(self) -> None:
        """Read while the handler is at work; the last bytes may come after it, for a worker that waits for them."""
        watch = self._watch
        assert watch is not None
        with watch:
            while self._http.buffered <= HTTP_READ_AHEAD_BYTES:
                if not self._take(await self._line.receive()):
                    if self.working:
                        self._gone()
                    break
                if not self.working or self._arrived is not None:
                    break
        self._watch = None
        if self._arrived is not None:
            self._arrived.set()

    async def _watch_ended(self) -> None:
        self._arrived = trio.Event()
        try:
            await self._arrived.wait()
        finally:
            self._arrived = None
