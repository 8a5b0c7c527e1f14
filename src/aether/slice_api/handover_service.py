"""A generator in a task of its own, and its reader in another: items handed over inside one loop.

Knows: bounded queues, one parked task at each end, trio.
Never: codecs, the wire, where the reader comes from.
Holds: the generator is ended by the exception that its task gets, raised at its `yield`; no scope of ours is open
       across a step of it. Items arrive before the error that follows them. Each end reaches a checkpoint at least
       once in TURN_ITEMS items.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task

from aether.model.limits import STREAM_AHEAD_BYTES, STREAM_AHEAD_HERE_ITEMS
from aether.slice_api.faults import leaving

T = TypeVar("T")

_SIZED: Final = (bytes, str)
LEFT: Final = "the reader left"

TURN_ITEMS: Final = 64
"""Items between two checkpoints: at some 5 us each a third of the millisecond that others wait at most."""


class Waiter:
    """At most one parked task. Waking nobody is free."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: Task | None = None

    def __bool__(self) -> bool:
        return self._task is not None

    async def park(self) -> None:
        """Until `wake`. Raises trio.BusyResourceError when another task waits here already."""
        if self._task is not None:
            raise trio.BusyResourceError("two tasks use the same end of one stream; give each its own")
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def wake(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _abort(self, _: RaiseCancelT) -> Abort:
        self._task = None
        return Abort.SUCCEEDED


class Sink(Protocol):
    """Where `pump` puts items, one at a time."""

    def put(self, item: Any) -> bool:
        """Take `item`; whether the next may follow at once. False also when a checkpoint is due."""
        ...

    async def room(self) -> None:
        """A checkpoint; returns when there is room for an item."""
        ...


async def pump(source: AsyncIterable[T], encode: Callable[[T], Any] | None, sink: Sink) -> None:
    """Every item of `source` into `sink`, in this task, encoded where that is asked for.

    Raises what the source or `encode` raises. What goes wrong between two items, cancellation above all, is raised in
    the generator at its `yield`, as if it had waited there itself.
    """
    iterator = aiter(source)
    following = iterator.__anext__
    await sink.room()
    while True:
        try:
            item = await following()
        except StopAsyncIteration:
            return
        try:
            if not sink.put(item if encode is None else encode(item)):
                await sink.room()
        except BaseException as error:
            await _end(iterator, error)
            raise


async def _end(iterator: AsyncIterator[Any], error: BaseException) -> None:
    """Raise `error` where the generator stands; what it raises instead goes on, but its own ending does not."""
    throw, close = getattr(iterator, "athrow", None), getattr(iterator, "aclose", None)
    try:
        if throw is not None:
            await throw(error)
    except StopAsyncIteration:
        return
    except BaseException as raised:
        if raised is not error:
            raise
        return
    if close is not None:  # it yielded once more, or cannot be told
        await close()


class Pipe(AsyncIterator[T]):
    """A queue of at most `ahead` items between one writer and one reader of the same loop. Implements Sink.

    Of items that are text or bytes also at most STREAM_AHEAD_BYTES, and one more.

    leave  called once with the reason, when the reader closes it
    """

    def __init__(
        self, ahead: int = 0, decode: Callable[[Any], T] | None = None, leave: Callable[[str], None] | None = None
    ) -> None:
        self._ahead = ahead or STREAM_AHEAD_HERE_ITEMS
        self._decode = decode
        self._leave = leave
        self._items: deque[Any] = deque()
        self._size = 0
        self._writer, self._reader = Waiter(), Waiter()
        self._put_turn = self._take_turn = TURN_ITEMS
        self._is_ended = False
        self._error: BaseException | None = None
        self.is_closed: bool = False

    # --- the writer ---------------------------------------------------------------------------------------------------

    def put(self, item: Any) -> bool:
        self._items.append(item)
        if item.__class__ in _SIZED:
            self._size += len(item)
        self._reader.wake()
        self._put_turn -= 1
        return self._put_turn > 0 and not self._is_full

    async def room(self) -> None:
        self._put_turn = TURN_ITEMS
        if not self._is_full:
            await trio.lowlevel.checkpoint()
        while self._is_full:
            await self._writer.park()

    @property
    def _is_full(self) -> bool:
        return len(self._items) >= self._ahead or self._size >= STREAM_AHEAD_BYTES

    def end(self, error: BaseException | None = None) -> None:
        """No more items; the reader gets `error` after those that wait. The first end counts."""
        if not self._is_ended:
            self._is_ended, self._error = True, error
            self._reader.wake()

    # --- the reader ---------------------------------------------------------------------------------------------------

    def decoded(self, decode: Callable[[Any], T], error: Callable[[Any], BaseException] | None = None) -> Pipe[T]:
        """Let items go through `decode` when they are read."""
        self._decode = decode
        return self

    def __aether_open__(self, ahead: int) -> AbstractAsyncContextManager[AsyncIterator[T]]:
        return closing(self)

    def __aiter__(self) -> Pipe[T]:
        return self

    async def __anext__(self) -> T:
        items = self._items
        self._take_turn -= 1
        if self._take_turn <= 0 and items:
            self._take_turn = TURN_ITEMS
            await trio.lowlevel.checkpoint()
        while not items:
            self._take_turn = TURN_ITEMS
            if self.is_closed:
                raise closed()
            if self._is_ended:
                await trio.lowlevel.checkpoint()
                raise self._error or StopAsyncIteration
            await self._reader.park()
        item = items.popleft()
        if item.__class__ in _SIZED:
            self._size -= len(item)
        if self._writer and len(items) * 2 <= self._ahead and self._size * 2 <= STREAM_AHEAD_BYTES:
            self._writer.wake()
        return item if self._decode is None else self._decode(item)

    def close(self, reason: str = LEFT) -> None:
        """The reader leaves: what waits is dropped. Never blocks; closing twice is fine."""
        if not self.is_closed:
            self.is_closed = True
            self._items.clear()
            self._size = 0
            self._reader.wake()
            if self._leave is not None:
                self._leave(reason)


class Closable(Protocol):
    """The reading end of a stream."""

    def close(self) -> None: ...


R = TypeVar("R", bound=Closable)


@asynccontextmanager
async def closing(reader: R) -> AsyncGenerator[R]:
    """`reader` for as long as the block."""
    try:
        yield reader
    finally:
        reader.close()


def closed() -> trio.ClosedResourceError:
    """For whoever reads a stream after its block."""
    return trio.ClosedResourceError("this stream was closed with its block; read it inside of it")


def opened_here(source: AsyncIterable[T], ahead: int) -> AbstractAsyncContextManager[AsyncIterator[T]]:
    """`source` in a task of its own for as long as the block; leaving it cancels that task and awaits its end."""
    return Collapsed(_opened_here(source, ahead))


@asynccontextmanager
async def _opened_here(source: AsyncIterable[T], ahead: int) -> AsyncGenerator[AsyncIterator[T]]:
    pipe: Pipe[T] = Pipe(ahead)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fill, source, pipe)
        try:
            yield pipe
        finally:
            pipe.close()
            nursery.cancel_scope.cancel()


async def _fill(source: AsyncIterable[T], pipe: Pipe[T]) -> None:
    try:
        await pump(source, None, pipe)
    except Exception as error:
        if pipe.is_closed:  # nobody reads any more, so the block raises it
            raise
        pipe.end(leaving(error))
    else:
        pipe.end()


class Collapsed(AbstractAsyncContextManager[T]):
    """A block whose nursery must not show: a group with one leaf leaves it as that leaf."""

    def __init__(self, inner: AbstractAsyncContextManager[T]) -> None:
        self._inner = inner

    async def __aenter__(self) -> T:
        return await self._inner.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, frames)
        except BaseExceptionGroup as group:
            leaf = leaving(group)
        if leaf is error:
            return False
        raise leaf
