"""A parameter that its caller handed on: read from where it comes from, not through the caller.

Knows: how the stream is opened, when asked for its first item.
Never: which instance serves it.
Holds: it is opened and left by the task of the method that reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

import attrs

from aether.invocation.handing import Reference
from aether.invocation.reply import Reply
from aether.invocation.streaming import OpenStream
from aether.slice_api.handover_service import LEFT, closed, closing

Reopen: TypeAlias = Callable[
    [Reference, Callable[[Any], Any] | None, Callable[[Reply], BaseException] | None],
    AbstractAsyncContextManager[OpenStream],
]


@attrs.define(eq=False)
class HandedInput:
    """Implements InputStream."""

    reference: Reference
    _reopen: Reopen
    _decode: Callable[[Any], Any] | None = None
    _error: Callable[[Reply], BaseException] | None = None
    _block: AbstractAsyncContextManager[OpenStream] | None = None
    _stream: OpenStream | None = None
    is_closed: bool = False

    def decoded(
        self, decode: Callable[[Any], Any], error: Callable[[Reply], BaseException] | None = None
    ) -> HandedInput:
        self._decode, self._error = decode, error
        return self

    def __aether_open__(self, ahead: int) -> AbstractAsyncContextManager[HandedInput]:
        return closing(self)

    def __aiter__(self) -> HandedInput:
        return self

    async def __anext__(self) -> Any:
        if self.is_closed:
            raise closed()
        if self._stream is None:
            block = self._reopen(self.reference, self._decode, self._error)
            self._stream = await block.__aenter__()
            self._block = block
        return await self._stream.__anext__()

    def close(self, reason: str = LEFT) -> None:
        """Read no more of it. Never blocks; closing twice is fine."""
        self.is_closed = True
        if self._stream is not None:
            self._stream.close(reason)

    async def end(self) -> None:
        """Leave it; to be awaited by the task that read it."""
        self.close()
        block, self._block = self._block, None
        if block is not None:
            await block.__aexit__(None, None, None)
