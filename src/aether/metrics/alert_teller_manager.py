"""The leader tells the sinks of alerts what happened.

Knows: the rows of the sinks and of how far they were told, the events of the cluster.
Never: how a message is sent (module webhook_service), when an alert begins.
Holds: one leader tells each webhook of each change at most once; the next one goes on behind what the row says was
       told, so it repeats only what is not known to have arrived. No webhook waits for another: each has what it is
       to be told, bounded; one that fails misses what waits for it, which is said once.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Sequence
from typing import Final, NoReturn

import attrs
import trio

from aether.errors import AetherError
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.kv.keys import ClusterRow
from aether.kv.service import KvService
from aether.metrics.alert_sinks import is_told, masked, webhook_body
from aether.metrics.events import Event, EventType, Place
from aether.metrics.events_service import Events
from aether.metrics.webhook_service import Post, deliver, post
from aether.model.alerts import AlertSinksRow, AlertsToldRow
from aether.model.limits import ALERTS_TOLD_AT_ONCE_MAX, WEBHOOK_WAITING_MAX
from aether.model.rows import LeadershipRow

_log = logging.getLogger("aether.alerts")
_LOOK_S: Final = 1.0


@attrs.define(eq=False)
class _Hook:
    """One webhook: what it is to be told of, at most WEBHOOK_WAITING_MAX, and up to where it was."""

    told: Place = attrs.field(factory=lambda: Place(0, 0))
    waiting: deque[Event] = attrs.field(factory=lambda: deque[Event]())
    under_way: Event | None = None
    woken: trio.Event = attrs.field(factory=trio.Event)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    @property
    def waits(self) -> bool:
        return bool(self.waiting) or self.under_way is not None

    def add(self, before: Place, news: Sequence[Event]) -> int:
        """What happened behind `before`. Returns how many of the oldest find no room."""
        if not self.waits:
            self.told = before
        self.waiting.extend(news)
        missed = max(0, len(self.waiting) - WEBHOOK_WAITING_MAX)
        for _ in range(missed):
            self.waiting.popleft()
        self.woken.set()
        return missed

    def take(self) -> Event:
        self.under_way = self.waiting.popleft()
        return self.under_way

    def is_over(self, is_told: bool) -> int:
        """What was taken was told, or is missed together with all that waits; returns how many are."""
        assert self.under_way is not None, "nothing was taken"
        missed = 0
        if is_told:
            self.told = _place_of(self.under_way)
        else:
            missed = 1 + len(self.waiting)
            self.waiting.clear()
        self.under_way = None
        return missed


class AlertTeller:
    """Of one node; its rounds do something while the node leads."""

    def __init__(self, kv: KvService, events: Events, *, send: Post = post) -> None:
        self._kv = kv
        self._events = events
        self._send = send
        self._fence: LeadershipRow | None = None
        self._place: Place = events.log.last_place
        self._hooks: dict[str, _Hook] = {}
        self._owes = False  # something was told, or waits, that no row says yet
        self._woken = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            task_status.started()
            while True:
                self._woken = trio.Event()
                fence = self._kv.leadership
                if fence is None:
                    self._keep_hooks(())
                else:
                    self._begin(fence)
                    await self._round(fence, nursery)
                self._fence = fence
                with trio.move_on_after(_LOOK_S):
                    await self._woken.wait()
        raise AssertionError("its tasks end only by cancellation")

    async def _follow(self) -> NoReturn:
        while True:
            seen = self._events.log.newest
            await self._events.arrived(seen)
            self._woken.set()
            await trio.lowlevel.checkpoint()

    def _begin(self, fence: LeadershipRow) -> None:
        """As a new leader: go on behind what was told, or begin with what happens from now on."""
        if self._fence == fence:
            return
        self._keep_hooks(())
        told = self._kv.get(keys.alerts_told)
        self._place = self._events.log.last_place if told is None else Place(told.revision, told.ordinal)

    async def _round(self, fence: LeadershipRow, nursery: trio.Nursery) -> None:
        sinks = self._kv.get(keys.alert_sinks) or AlertSinksRow()
        later = self._events.after(self._place)[:ALERTS_TOLD_AT_ONCE_MAX]
        news = [event for event in later if is_told(event, sinks)]
        if sinks.log:
            for event in news:
                _log.log(_level(event), "%s (event %s)", event.summary, event.id)
        before = self._place
        if later:
            self._place = _place_of(later[-1])
        self._keep_hooks(sinks.webhooks)
        told = self._kv.get(keys.alerts_told)
        if not sinks.webhooks:
            if told is not None:  # whoever is told later is not told of what was before
                await self._write(Delete(keys.alerts_told), fence)
            return
        for url in sinks.webhooks:
            if url not in self._hooks:
                hook = self._hooks[url] = _Hook()
                nursery.start_soon(self._serve, url, hook)
            if news:
                hook = self._hooks[url]
                missed = hook.add(before, news)
                if missed:
                    _log.warning("webhook %s misses %d alerts: it is too slow for them", masked(url), missed)
        self._owes = self._owes or bool(news)
        await self._remember(told, fence)

    async def _remember(self, told: AlertsToldRow | None, fence: LeadershipRow) -> None:
        """Write how far all webhooks were told: the slowest says it."""
        waiting = [hook.told for hook in self._hooks.values() if hook.waits]
        place = min(waiting, default=self._place)
        if told is None or (self._owes and place > Place(told.revision, told.ordinal)):
            row = AlertsToldRow(revision=place.revision, ordinal=place.ordinal)
            await self._write(Put(keys.alerts_told, row), fence)
            self._owes = bool(waiting)

    def _keep_hooks(self, urls: Collection[str]) -> None:
        for url in self._hooks.keys() - set(urls):
            self._hooks.pop(url).scope.cancel()

    async def _serve(self, url: str, hook: _Hook) -> None:
        """One webhook, until it is one no more: none waits for another."""
        with hook.scope:
            while True:
                await hook.woken.wait()
                cluster = self._kv.get(keys.cluster)
                while hook.waiting:
                    problem = await self._tell(url, hook.take(), cluster)
                    missed = hook.is_over(not problem)
                    if missed:
                        _log.warning("webhook %s misses %d alerts: %s", masked(url), missed, problem)
                hook.woken = trio.Event()
                self._woken.set()

    async def _tell(self, url: str, event: Event, cluster: ClusterRow | None) -> str:
        name, uuid = ("", "") if cluster is None else (cluster.name, cluster.uuid)
        once = f"{uuid}:{event.id}"  # revisions of two clusters are alike
        headers = {"Content-Type": "application/json", "Idempotency-Key": once, "User-Agent": "aether"}
        return await deliver(self._send, url, webhook_body(event, name), headers)

    async def _write(self, change: Put[AlertsToldRow] | Delete[AlertsToldRow], fence: LeadershipRow) -> None:
        try:
            await self._kv.propose(Batch(changes=(change,)), fence=fence)
        except AetherError as error:  # the next leader may tell these again, and that is all
            _log.info("how far webhooks were told is not written: %s", error)


def _place_of(event: Event) -> Place:
    revision, _, ordinal = event.id.partition(".")
    return Place(int(revision), int(ordinal))


def _level(event: Event) -> int:
    return logging.INFO if event.type is EventType.ALERT_RESOLVED else logging.WARNING
