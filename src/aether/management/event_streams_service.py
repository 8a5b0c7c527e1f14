"""Events as they happen, to those who listen.

Knows: streams of events and WebSockets; what a client is told that was away for too long.
Never: which events there are.
Holds: a client that comes back with the last id it has misses no event of the cluster, or is told that it did; one that
       is slower than events are forgotten is ended.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import trio

from aether.management.event_queries import EventQuery
from aether.management.event_source import EventSource
from aether.management.live_service import Outbox, ServerEvent, Talk
from aether.metrics.events import Event
from aether.metrics.events_service import FellBehind
from aether.web.websocket_service import Message

TRUNCATED = "truncated"


def encode(value: object) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _lost(events: EventSource, asked: EventQuery) -> str:
    """The kept place, when some of what was asked for is forgotten, else ""."""
    log = events.log
    is_lost = asked.since is not None and log.is_forgotten(asked.since)
    return str(log.select(None, lambda _: False, 0).kept_after) if is_lost else ""


class EventStream:
    """Events for `Live.stream`: those of the cluster carry the id that a client comes back with."""

    def __init__(self, events: EventSource, asked: EventQuery) -> None:
        self._lost = _lost(events, asked)
        self._wanted = asked.wanted
        self._following = events.follow(asked.since)

    def __aiter__(self) -> AsyncIterator[ServerEvent]:
        return self

    async def __anext__(self) -> ServerEvent:
        if self._lost:
            kept, self._lost = self._lost, ""
            return ServerEvent(name=TRUNCATED, data=encode({"truncated": True, "keptAfter": kept}))
        try:
            while not self._wanted(event := await anext(self._following)):
                pass
        except FellBehind as error:  # the client comes back, and is told that it missed some
            raise StopAsyncIteration from error
        return _as_server_event(event)


def _as_server_event(event: Event) -> ServerEvent:
    """One of this node alone has no id to come back with: it would mean nothing to another node."""
    return ServerEvent(data=encode(event.shown()), id=event.id if event.ordered else "")


def event_talk(events: EventSource, asked: EventQuery) -> Talk:
    """Events over a WebSocket: a message each. What the client says is read, and means nothing."""

    async def talk(incoming: trio.MemoryReceiveChannel[Message], outbox: Outbox) -> None:
        stream = EventStream(events, asked)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ignore, incoming)
            async for event in stream:
                await outbox.room()
                outbox.put(event.data)
            nursery.cancel_scope.cancel()

    return talk


async def _ignore(incoming: trio.MemoryReceiveChannel[Message]) -> None:
    async for _ in incoming:
        pass
