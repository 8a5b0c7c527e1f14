"""Streams as their reader sees them: opened as a block, iterated inside it.

Knows: what a stream method of a proxy hands out, and that a plain object's method is a generator like any other.
Never: where the items come from.
Holds: nothing of a stream runs before its block is entered, and nothing after it was left.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, NoReturn, Protocol, TypeVar, cast, runtime_checkable

from aether.errors import ContractError
from aether.model.limits import STREAM_AHEAD_ITEMS_MAX

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
OPEN = "__aether_open__"


@runtime_checkable
class Openable(Protocol[T_co]):
    """A source that knows how it is opened: a call over the cluster, or the reading end of one."""

    def __aether_open__(self, ahead: int) -> AbstractAsyncContextManager[AsyncIterator[T_co]]: ...


class Unopened(Generic[T]):
    """What a stream method of a proxy returns: a call that is made when `aether.stream` opens it. Opens many times.

    reference  what another slice needs to open it itself; None: it is read through whoever has it
    """

    __slots__ = ("_open", "reference", "where")

    def __init__(
        self,
        where: str,
        opened: Callable[[int], AbstractAsyncContextManager[AsyncIterator[Any]]],
        reference: object = None,
    ) -> None:
        self.where: str = where
        self.reference: object = reference
        self._open = opened

    def __aether_open__(self, ahead: int) -> AbstractAsyncContextManager[AsyncIterator[T]]:
        return self._open(ahead)

    def __aiter__(self) -> AsyncIterator[T]:
        raise TypeError(self._fix())

    async def __anext__(self) -> T:
        raise TypeError(self._fix())

    async def __aenter__(self) -> AsyncIterator[T]:
        raise TypeError(self._fix())

    async def __aexit__(self, *exc_info: object) -> None:
        raise TypeError(self._fix())

    def __await__(self) -> Generator[Any, Any, NoReturn]:
        raise TypeError(self._fix())

    def __repr__(self) -> str:
        return f"<unopened stream of {self.where}>"

    def _fix(self) -> str:
        name = self.where.rpartition(".")[2]
        return (
            f"{self.where} is a stream of another slice, which ends with a block: write `async with "
            f"aether.stream(....{name}(...)) as items:` and iterate `items` inside it"
        )


def stream(source: AsyncIterable[T], *, ahead: int = 0) -> AbstractAsyncContextManager[AsyncIterator[T]]:
    """Open a stream: `async with aether.stream(ticker.ticks("A")) as ticks: async for tick in ticks: ...`.

    source  what a stream method returns, of a slice or of a plain object; any async generator
    ahead   items that the generator may be ahead of the reader; 0 = what the cluster thinks fit

    The generator runs in a task of its own, and leaving the block cancels that task. What it raises comes out of the
    iteration, after the items before it: its Faults and trio.TooSlowError as themselves, anything else as CallFailed
    (over a plain object, as itself). Entering raises what a call raises: NoInstance, Overloaded, BadInput. A stream
    cut off half-way (connection lost, instance stopped) raises StreamBroken.
    """
    given: object = ahead
    if type(given) is not int or not 0 <= ahead <= STREAM_AHEAD_ITEMS_MAX:
        raise ContractError(f"aether.stream(ahead={given!r}): give items, from 0 to {STREAM_AHEAD_ITEMS_MAX}")
    if isinstance(source, Openable):
        return cast("Openable[T]", source).__aether_open__(ahead)
    if not hasattr(source, "__aiter__"):
        raise TypeError(f"aether.stream takes what a stream method returns, got {source!r:.80}; {_fix(source)}")
    from aether.slice_api.handover_service import opened_here  # trio comes with the first stream, not with aether

    return opened_here(source, ahead)


def _fix(source: object) -> str:
    if isinstance(source, Coroutine):
        source.close()  # it is of no use to anybody, and Python need not say so too
        return "that is a call and no stream: await it"
    return "did you forget `()`?" if callable(source) else "call a method that is annotated AsyncIterator[...]"
