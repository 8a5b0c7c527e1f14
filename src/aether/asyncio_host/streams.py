"""A stream of a slice, read by asyncio.

Knows: how items are asked for and handed over, one at a time.
Never: what a stream is made of, buffers: the callee's window is all that runs ahead.
Holds: leaving the block ends the stream at its callee. An `asyncio.timeout` around one item loses nothing: the next
       `anext` gets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from aether.asyncio_host.bridge import Bridge, crossed
from aether.slice_api.streams import stream

_END: Final = object()


@asynccontextmanager
async def read_from(bridge: Bridge, source: AsyncIterable[Any], ahead: int) -> AsyncGenerator[AsyncIterator[Any]]:
    """Open `source`, a stream of the trio side. Raises what opening it raises."""
    reader = _Reader()
    opened = asyncio.get_running_loop().create_future()

    async def pump() -> None:
        async with stream(source, ahead=ahead) as items:
            opened.set_result(None)
            await reader.serve(items)

    crossing = bridge.begin(pump)
    try:
        await asyncio.wait([opened, crossing.result], return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            opened.cancel()
            await crossing.result
        reader.ends_with(crossing.result)
        yield reader
    finally:
        await crossing.cancelled()


class _Reader:
    """The asyncio side iterates; the trio side serves the items that are asked for."""

    def __init__(self) -> None:
        self._asked: asyncio.Future[Any] | None = None  # the item under way
        self._wanted = trio.Event()

    async def serve(self, items: AsyncIterator[Any]) -> None:
        """Trio's side: hand over one item for each question, until there is none left."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            asked = self._asked
            assert asked is not None, "whoever wakes has asked"
            try:
                item = await anext(items, _END)
            except Exception as error:  # noqa: BLE001 - raised on the other side
                asked.set_exception(crossed(error))
                return
            asked.set_result(item)
            if item is _END:
                return

    def ends_with(self, result: asyncio.Future[Any]) -> None:
        """A reader that waits is told when the trio side ends without an item: the cluster was closed."""

        def tell(ended: asyncio.Future[Any]) -> None:
            if self._asked is not None and not self._asked.done():
                error = ended.exception() if not ended.cancelled() else None
                self._asked.set_exception(error) if error is not None else self._asked.set_result(_END)

        result.add_done_callback(tell)
        self._result = result

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._asked is None:
            if self._result.done():
                raise StopAsyncIteration
            self._asked = self._result.get_loop().create_future()
            self._wanted.set()
        asked = self._asked
        item = await asyncio.shield(asked)
        self._asked = None
        if item is _END:
            raise StopAsyncIteration
        return item
