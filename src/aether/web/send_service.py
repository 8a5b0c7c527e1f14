"""Answers on their way out.

Knows: writing at once what can be, waiting for the rest; parts one by one.
Never: time limits (its owner waits for it), what an answer holds.
Holds: False for a peer that left, never an exception for it; a part is made when the one before has left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import trio

from aether.web.answer import encode_chunk
from aether.web.line_service import Line

_LEFT = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


class Cut(Exception):
    """Raised by the parts of an answer that must not go on: the connection ends in the middle of it."""


class Sender:
    """The sending half of a connection.

    wait  sends some of what is left as soon as the peer takes it, and says how much; bounds the time for that
    """

    __slots__ = ("_line", "_wait")

    def __init__(self, line: Line, wait: Callable[[memoryview], Awaitable[int]]) -> None:
        self._line = line
        self._wait = wait

    async def all_of(self, raw: bytes) -> bool:
        """Send `raw`; without a task switch when the kernel has room for it. False when the peer has left."""
        try:
            sent = self._line.send_now(raw)
            if sent == len(raw):
                return True
            rest = memoryview(raw)[sent:]
            while rest:
                rest = rest[await self._wait(rest) :]
        except _LEFT:
            return False
        return True

    async def parts(self, parts: Iterable[bytes], *, chunked: bool) -> bool:
        """Send `parts`, with a checkpoint after each. False when the peer has left."""
        for part in parts:
            if part and not await self.all_of(encode_chunk(part) if chunked else part):
                return False
            await trio.lowlevel.checkpoint()
        return True

    async def stream(self, parts: AsyncIterator[bytes], *, chunked: bool) -> bool:
        """The same, of parts that are waited for. False also when they are Cut."""
        try:
            async for part in parts:
                if part and not await self.all_of(encode_chunk(part) if chunked else part):
                    return False
        except Cut:
            return False
        return True
