"""The WebSocket behind the page of a cluster: what the original's dashboard sends and understands, and more.

Knows: who listens, when the next frame is due, what a client may say.
Never: what a frame holds; any rule of access: a change goes through the API like every other, with the client's token.
Holds: one frame is made each second for all clients of a node, none without clients. What waits for one client is a few
       frames: one that takes none is ended.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

import attrs
import trio

from aether.errors import AetherError, BadInput
from aether.management.access import AccessRules
from aether.management.actors import Actors
from aether.management.alert_endpoints import shown_alert, thresholds
from aether.management.dashboard_frame import (
    Frame,
    alert_message,
    figures_of,
    message,
    state_key,
    state_of,
)
from aether.management.event_streams_service import encode
from aether.management.facts import Facts
from aether.management.history_service import history
from aether.management.live_service import Outbox, Talk
from aether.management.rollout_wish import shown as shown_update
from aether.metrics.slow_calls import show_strategy
from aether.model.limits import DASHBOARD_COMMAND_BYTES_MAX, DASHBOARD_EVERY_S, DASHBOARD_MESSAGES_AHEAD
from aether.web.problem import problem_of
from aether.web.request import JSON_TYPE, Request, Response
from aether.web.websocket_service import Message

Command = Mapping[str, object]
_NOT_HANDED_ON: Final = frozenset({"content-type", "content-length", "if-match", "upgrade", "connection"})


class Dashboard:
    """Of one node.

    facts  as they are now;  ask  the whole API, for changes
    """

    def __init__(
        self,
        facts: Callable[[], Facts],
        actors: Actors,
        access: AccessRules,
        ask: Callable[[Request], Awaitable[Response]],
    ) -> None:
        self._facts = facts
        self._actors = actors
        self._access = access
        self._ask = ask
        self._due = -1
        self._frame: Frame | None = None
        self._key: object = None
        self._making = trio.Lock()
        self.frames: int = 0
        """How many were made."""

    def open(self, request: Request) -> Response:
        """The WebSocket. Raises Overloaded when too many clients listen."""
        return self._actors.live.socket(request, self._talk(request), DASHBOARD_MESSAGES_AHEAD)

    def _talk(self, request: Request) -> Talk:
        async def talk(incoming: trio.MemoryReceiveChannel[Message], outbox: Outbox) -> None:
            place = self._actors.events.log.last_place
            frame = await self._newest()
            known = frame.state_number
            outbox.put(frame.initial())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, request, incoming, outbox)
                while True:
                    await trio.sleep_until((_due() + 1) * DASHBOARD_EVERY_S)
                    frame = await self._newest()
                    outbox.put(frame.update(known))
                    known = frame.state_number
                    log = self._actors.events.log
                    for event in log.cluster_after(place):
                        told = alert_message(event, frame.at_ms)
                        if told is not None:
                            outbox.put(told)
                    place = log.last_place

        return talk

    # --- frames -------------------------------------------------------------------------------------------------------

    async def _newest(self) -> Frame:
        """The frame of this second, made by whoever asks first."""
        async with self._making:
            due = _due()
            if self._frame is None or due != self._due:
                self._due, self._frame = due, await self._made()
            return self._frame

    async def _made(self) -> Frame:
        self.frames += 1
        actors, facts, last = self._actors, self._facts(), self._frame
        key = state_key(facts)
        if last is None or key != self._key:
            updates = [shown_update(update) for update in await actors.rollouts.known()]
            state, self._key = state_of(facts, updates, await thresholds(actors, {}, {})), key
        else:
            state = last.state
        figures = figures_of(
            facts,
            actors.figures.view,
            actors.invocations.figures.methods(),
            [shown_alert(row) for row in actors.alerts.active()],
            str(show_strategy(actors.invocations.strategy).get("type", "")),
        )
        number = 1 if last is None else last.state_number + (state != last.state)
        return Frame(self._now_ms(), figures, state, number)

    def _now_ms(self) -> int:
        return round(self._access.wall() * 1e3)

    # --- what a client says -------------------------------------------------------------------------------------------

    async def _listen(self, request: Request, incoming: trio.MemoryReceiveChannel[Message], outbox: Outbox) -> None:
        async for text in incoming:
            await outbox.room()
            try:
                answer = await self._answer(request, read_command(text))
            except AetherError as error:
                answer = self._problem(problem_of(error, request.request_id))
            if answer is not None:
                outbox.put(answer)

    async def _answer(self, request: Request, command: Command) -> str | None:
        match command["type"]:
            case "SUBSCRIBE":
                return None  # whoever is connected gets everything
            case "GET_HISTORY":
                query = {"range": str(command.get("timeRange", "15m"))}
                return encode(
                    {"type": "HISTORY", "timestamp": self._now_ms(), **await history(self._actors, query, {})}
                )
            case "SET_THRESHOLD":
                return await self._set_threshold(request, {k: v for k, v in command.items() if k != "type"})
            case other:
                known = "SUBSCRIBE, SET_THRESHOLD, GET_HISTORY"
                raise BadInput("the message does not fit", (f"type: {str(other)[:40]!r} is none of {known}",))

    async def _set_threshold(self, request: Request, wish: Command) -> str:
        """As POST /thresholds of the same client: the role it needs, its audit, its answer."""
        kept = tuple((name, value) for name, value in request.headers if name not in _NOT_HANDED_ON)
        asked = attrs.evolve(
            request,
            verb="POST",
            path="/thresholds",
            query_text="",
            headers=(*kept, ("content-type", JSON_TYPE)),
            body=encode(wish).encode(),
        )
        response = await self._ask(asked)
        if response.status >= 400:
            return self._problem(response)
        return message("THRESHOLD_SET", self._now_ms(), wish)

    def _problem(self, response: Response) -> str:
        told = cast("dict[str, object]", json.loads(response.body))
        data = {"status": response.status, "detail": told.get("detail", told.get("title", ""))}
        problems = told.get("problems")
        return message("PROBLEM", self._now_ms(), data if problems is None else {**data, "problems": problems})


def _due() -> int:
    """The number of the frame that is due now."""
    return math.floor(trio.current_time() / DASHBOARD_EVERY_S + 1e-9)


def read_command(text: Message) -> Command:
    """What a client says: an object with a `type`. Raises BadInput."""
    if len(text) > DASHBOARD_COMMAND_BYTES_MAX:
        raise BadInput("the message does not fit", (f"it is longer than {DASHBOARD_COMMAND_BYTES_MAX} characters",))
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("the message does not fit", ("it is no JSON",)) from error
    if not isinstance(found, dict) or not isinstance(cast("Command", found).get("type"), str):
        raise BadInput("the message does not fit", ('it is no object with a type: {"type": "GET_HISTORY"}',))
    return cast("Command", found)
