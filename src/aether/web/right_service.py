"""Streams and WebSockets of protected routes end with the right of whoever opened them.

Knows: when the next look is due; how a stream and a WebSocket are ended.
Never: who may use a route (told by a function), what is streamed.
Holds: nothing is sent later than one look after the right is gone; who looks says when the next one is due. A look that
       fails is repeated; after LOOKS_LOST_MAX in a row without an answer the stream ends too. A stream of events ends
       as if it were over, another is cut. Routes that were public are looked at as well, when they have something to
       send: a rule may come.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Final

import attrs
import trio

from aether.model.limits import RIGHT_LOOK_S
from aether.slice_api.http_body import EVENTS
from aether.slice_api.negotiation import media_type
from aether.web.request import Response, Upgrade
from aether.web.send_service import Cut

_log: Final = logging.getLogger("aether.web")
LOOKS_LOST_MAX: Final = 3

Look = Callable[[], Awaitable[float | None]]
"""For how many seconds the right holds until the next look; None when it is gone. Raises when nobody can say."""


class Right:
    """Of one open answer."""

    def __init__(self, look: Look, first_s: float = RIGHT_LOOK_S) -> None:
        self._look = look
        self._lost = 0
        self.is_gone: bool = False
        self.due_at: float = trio.current_time() + first_s

    async def holds(self) -> bool:
        """Look when it is due."""
        if trio.current_time() < self.due_at:
            return True
        try:
            next_s = await self._look()
            self._lost = 0
        except Exception as error:  # noqa: BLE001 - a verifier of the application may raise anything
            self._lost += 1
            _log.warning("whether an open stream may go on cannot be said: %s: %s", type(error).__name__, error)
            next_s = RIGHT_LOOK_S if self._lost < LOOKS_LOST_MAX else None
        if next_s is None:
            self.is_gone = True
            return False
        self.due_at = trio.current_time() + next_s
        return True


_OWN: Final[ContextVar[Right | None]] = ContextVar("aether_right", default=None)
"""Of the WebSocket that this task serves."""


def is_gone() -> bool:
    """Whether what this task serves ends because the right to it has ended."""
    right = _OWN.get()
    return right is not None and right.is_gone


def lasting(response: Response, look: Look, *, silent: bool, first_s: float = RIGHT_LOOK_S) -> Response:
    """`response`, which ends when the right does. One that is whole is left alone.

    silent   whether a stream is looked at also while it has nothing to send
    first_s  until the first look
    """
    if response.upgrade is not None:
        return attrs.evolve(response, upgrade=_watched(response.upgrade, Right(look, first_s)))
    if response.stream is not None:
        is_events = media_type(response.content_type) == EVENTS
        return attrs.evolve(response, stream=_Parts(response.stream, Right(look, first_s), is_events, silent))
    return response


def _watched(upgrade: Upgrade, right: Right) -> Upgrade:
    async def watched(stream: trio.abc.Stream, rest: bytes) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, right, nursery.cancel_scope)
            own = _OWN.set(right)
            try:
                await upgrade(stream, rest)
            finally:
                _OWN.reset(own)
            nursery.cancel_scope.cancel()

    return watched


async def _watch(right: Right, scope: trio.CancelScope) -> None:
    while True:
        await trio.sleep_until(right.due_at)
        if not await right.holds():
            scope.cancel()
            return


class _Parts:
    """Parts of a stream, as long as they may be sent."""

    def __init__(self, source: AsyncIterator[bytes], right: Right, is_events: bool, silent: bool) -> None:
        self._source = source
        self._right = right
        self._is_events = is_events
        self._silent = silent

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        part: bytes | None = None
        while await self._right.holds():
            if part is not None:
                return part
            if not self._silent:
                part = await anext(self._source)
                continue
            with trio.move_on_at(self._right.due_at):
                part = await anext(self._source)
        if self._is_events:
            raise StopAsyncIteration
        raise Cut

    async def aclose(self) -> None:
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()
