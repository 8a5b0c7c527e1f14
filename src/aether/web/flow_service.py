"""A streamed answer on its way from the method to the client.

Knows: the items that the owner of the code sends, heartbeats, how a stream of events tells of a Fault.
Never: how the items travel, sockets, what they mean.
Holds: the method's stream is open until `aclose`, which the connection calls in the task that made the request; nothing
       is read ahead. A failure in the middle cuts the answer, unless it is a stream of events, which can say so.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Final

import trio

from aether.errors import BadInput
from aether.model import limits
from aether.slice_api.http_body import EVENTS
from aether.slice_api.http_exchange import HEARTBEAT
from aether.slice_api.negotiation import media_type
from aether.web.leaving import Leaving
from aether.web.request import Response
from aether.web.slices import Head

Explain = Callable[[Exception], Response]
_FAULT_EVENT: Final = b"event: fault\ndata: "


class Flow:
    """What follows the head. `stack` keeps the method's stream open; `explain` makes a problem of an exception."""

    def __init__(
        self, head: Head, items: AsyncIterator[object], stack: AsyncExitStack, explain: Explain, leaving: Leaving
    ) -> None:
        self._leaving = leaving
        self._items = items
        self._stack = stack
        self._explain = explain
        self._events = media_type(head.content_type) == EVENTS
        self._done = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._done:
            raise StopAsyncIteration
        if not self._events:
            return _piece(await anext(self._items))
        with trio.move_on_after(limits.HTTP_HEARTBEAT_S) as scope:
            self._leaving.add(scope.cancel)
            try:
                return _piece(await anext(self._items))
            except StopAsyncIteration:
                raise
            except Exception as error:  # noqa: BLE001 - the client is told what ended its stream
                self._done = True
                return _FAULT_EVENT + self._explain(error).body + b"\n\n"
            finally:
                self._leaving.forget(scope.cancel)
        if self._leaving.begun:  # the client connects again, to a node that stays
            raise StopAsyncIteration
        return HEARTBEAT

    async def aclose(self) -> None:
        await self._stack.aclose()


async def first_part(items: AsyncIterator[object]) -> bytes | None:
    """The first part of a stream when it comes soon, b"" when it does not, None when there is none at all.

    Raises what the method raised before it.
    """
    with trio.move_on_after(limits.HTTP_FIRST_ITEM_S):
        try:
            return _piece(await anext(items))
        except StopAsyncIteration:
            return None
    return b""


async def parts_at_once(items: AsyncIterator[object], reads_on: Callable[[], bool]) -> tuple[bytes, bool]:
    """What is there soon of an answer that its method spells, and whether that is all.

    reads_on  whether the method is still being sent the request's body: until then nothing is answered
    """
    found = bytearray()
    soon = trio.current_time() + limits.HTTP_FIRST_ITEM_S
    while len(found) <= limits.HTTP_WHOLE_BYTES_MAX or reads_on():
        with trio.move_on_at(math.inf if reads_on() else soon) as scope:
            try:
                found += _piece(await anext(items))
            except StopAsyncIteration:
                return bytes(found), True
        if scope.cancelled_caught:
            break
        if len(found) > limits.HTTP_BODY_BYTES_MAX:
            raise BadInput("a method answered at length before it had read the request", ("read its body first",))
    return bytes(found), False


def _piece(item: object) -> bytes:
    if not isinstance(item, bytes):
        raise BadInput("a slice streamed something that is no bytes", (f"part: {str(item)[:80]}",))
    return item
