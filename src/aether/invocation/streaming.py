"""What opening a stream takes and gives, at the seams of this room.

Knows: the Protocols of a stream's two ends, and how it can end.
Never: how items travel.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import attrs

from aether.errors import StreamBroken
from aether.invocation.reply import Abandoned, Outcome, Reply
from aether.slice_api.handover_service import Sink

if TYPE_CHECKING:
    import trio


@attrs.frozen
class Input:
    """A stream that a caller sends. source  its items; encode  makes each plain data, None when they are

    reference  where the callee can read it itself, spelt by `handing`; None: only the caller can
    """

    source: AsyncIterable[Any]
    encode: Callable[[Any], Any] | None = None
    reference: object = None


Inputs = Mapping[str, Input]


class StreamEnded(Exception):
    """A stream could not be opened, or ended otherwise than by its last item; `reply` says how."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self.reply = reply


class ServedSink(Sink, Protocol):
    """Where an instance puts the items of one stream."""

    def opened(self) -> None:
        """The method is about to begin: nothing of it ran, its arguments fit, and it has a place to run."""
        ...

    def hand_on(self, reference: object) -> bool:
        """In place of `opened` and of items: the reader shall open `reference` itself. False: it cannot."""
        ...


class InputStream(Protocol):
    """The reading end of a stream: items as plain data, or as `decode` makes them."""

    def __aiter__(self) -> AsyncIterator[Any]: ...
    async def __anext__(self) -> Any: ...

    def decoded(
        self, decode: Callable[[Any], Any], error: Callable[[Reply], BaseException] | None = None
    ) -> AsyncIterator[Any]:
        """Let items go through `decode` when they are read. error  for an end that only a stream handed on can have"""
        ...

    def close(self, reason: str = ...) -> None:
        """The reader leaves: the callee is cancelled. Never blocks; closing twice is fine."""
        ...


class OpenStream(InputStream, Protocol):
    """The same for a caller.

    Iterating raises what `error` of its Opening makes of the end, StreamBroken when it was cut off.
    """

    async def outcome(self) -> Reply:
        """Wait for the end and drop the items before it. Raises StreamBroken."""
        ...


@attrs.define(eq=False)
class Feed:
    """One stream that the caller sends. finish  says that the last item was put; scope  of the task that feeds it"""

    sink: Sink
    finish: Callable[[], None]
    scope: trio.CancelScope


class Wishes(TypedDict, total=False):
    """What whoever asks for a stream may add, by keyword: as in Opening, which has the defaults."""

    inputs: Inputs
    ahead: int
    decode: Callable[[Any], Any] | None
    error: Callable[[Reply], BaseException]


@attrs.frozen(kw_only=True)
class Opening:
    """How a caller wants its stream.

    until   when the stream must be over, on the caller's clock; infinity without a deadline
    give_up_at  a little earlier, as for calls: the callee's deadline
    ahead   items that the callee may be ahead, 0 = the default; inputs  what the caller sends, by parameter
    decode  an item from plain data; error  the exception for an end that is no Done
    broke   told of an end that is no Done, maybe more than once
    """

    until: float
    give_up_at: float
    name: str
    ahead: int = 0
    inputs: Inputs = attrs.field(factory=dict[str, Input])
    decode: Callable[[Any], Any] | None = None
    error: Callable[[Reply], BaseException] = StreamEnded
    broke: Callable[[Outcome], None] = lambda _: None


@attrs.frozen
class Opened:
    """What came of opening it: the method has begun.

    feeds  by parameter, where the caller's streams go; left  to be called when the reader has left it
    """

    stream: OpenStream
    feeds: Mapping[str, Feed] = attrs.field(factory=dict[str, Feed])
    left: Callable[[], None] = lambda: None


@attrs.frozen
class Onward:
    """What came of opening it: the method handed it on. reference  spelt by `handing`"""

    reference: object


def final_error(final: Outcome, opening: Opening, received: int) -> BaseException:
    """The exception for an end that is no Done."""
    opening.broke(final)
    if isinstance(final, Abandoned):
        return StreamBroken(opening.name, received, final.reason)
    return opening.error(final)


def settled(final: Outcome, opening: Opening, received: int) -> Reply:
    """`final` as a Reply. Raises StreamBroken for what was cut off."""
    if isinstance(final, Abandoned):
        raise final_error(final, opening, received)
    return final
