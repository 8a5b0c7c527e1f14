"""The events of one node: made of what is applied here, read and followed here.

Knows: the store that it observes; who waits for the next event.
Never: which change tells what (module derivation), who asks, how events leave the process.
Holds: every applied change is seen once, in order; applying pays for a mark alone, unless nobody derived for very long;
       whoever reads sees everything that is applied; nobody is buffered for.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

import attrs
import trio

from aether.errors import TryAgain
from aether.kv.service import KvService
from aether.kv.store import RowChange
from aether.metrics.derivation import BEGINNING, OBSERVED, Derivation
from aether.metrics.event_log import EventLog, Selection, Wanted
from aether.metrics.events import Event, EventType, Place, Since, Told, told
from aether.model.alerts import Severity
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.limits import EVENTS_PENDING_MAX

_log = logging.getLogger("aether.events")
_TAKEN_MAX: Final = 64  # events that one follower holds
_STEP: Final = 100  # changes that events are made of without a pause


@attrs.frozen
class _Beginning:
    """The state after a restored snapshot."""

    revision: Revision
    at_ms: int
    rows: Sequence[tuple[str, bytes]]


class Events:
    """Of one process of a node. `run` lets events reach those that wait soon after they were applied."""

    def __init__(self, node: NodeId, incarnation: Incarnation, kv: KvService, wall: Callable[[], float]) -> None:
        self._kv = kv
        self._wall = wall
        self._events = EventLog(node, incarnation)
        self._derivation = Derivation()
        self._pending: deque[RowChange | _Beginning] = deque()
        self._work = trio.Event()
        self._arrived = trio.Event()
        kv.observe(OBSERVED, self)

    @property
    def count(self) -> int:
        """How many events this process saw so far."""
        return self._events.newest

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled."""
        task_status.started()
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while self._pending:
                self._derive(_STEP)
                await trio.lowlevel.checkpoint()

    # --- what the store tells -----------------------------------------------------------------------------------------

    def changed(self, changes: Sequence[RowChange]) -> None:
        """See aether.kv.service.RowObserver."""
        self._pending.extend(changes)
        if len(self._pending) > EVENTS_PENDING_MAX:
            self._derive()
        self._work.set()

    def restored(self) -> None:
        """See aether.kv.service.RowObserver."""
        rows = [(key, raw) for prefix in BEGINNING for key, raw, _ in self._kv.scan(prefix)]
        self._pending.clear()
        self._pending.append(_Beginning(self._kv.revision, self._kv.log_time_ms, rows))
        self._work.set()

    # --- what this node tells -----------------------------------------------------------------------------------------

    def local(
        self,
        kind: EventType,
        subject: str,
        summary: str,
        details: Mapping[str, object] | None = None,
        severity: Severity | None = None,
    ) -> None:
        """Something that this node alone saw: unordered among the events of others. Never blocks."""
        self._derive()
        self._events.add_local(self._wall(), told(kind, subject, summary, details, severity))
        self._wake()

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def log(self) -> EventLog:
        """With everything that is applied here."""
        self._derive()
        return self._events

    def after(self, place: Place) -> Sequence[Event]:
        """Events of the cluster that came later, as far as they are kept, the oldest first."""
        return self.log.cluster_after(place)

    def select(self, since: Since | None, wanted: Wanted, limit: int) -> Selection:
        """See EventLog.select."""
        return self.log.select(since, wanted, limit)

    def follow(self, since: Since | None = None) -> Following:
        """Every event from `since` on, then those to come; from now on without it."""
        log = self.log
        return Following(self, log.number_at(since), log.beginnings)

    async def arrived(self, number: int) -> None:
        """Return once an event has arrived behind `number`. Cancelled, it loses nothing."""
        while self.log.newest <= number:
            await self._arrived.wait()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _derive(self, changes_max: int | None = None) -> None:
        pending, events = self._pending, self._events
        before, beginnings = events.newest, events.beginnings
        for _ in range(len(pending) if changes_max is None else min(changes_max, len(pending))):
            change = pending.popleft()
            if isinstance(change, _Beginning):
                self._derivation = Derivation(change.rows)
                events.begin_anew(change.revision, change.at_ms / 1000)
            else:
                events.add(change.revision, change.at_ms / 1000, self._told(change))
        if (events.newest, events.beginnings) != (before, beginnings):
            self._wake()

    def _told(self, change: RowChange) -> list[Told]:
        try:
            return self._derivation.derive(change)
        except Exception:  # noqa: BLE001 - logged; a rule's bug costs one event, never the node that applies the row
            _log.exception("no event could be made of a change of %s at revision %d", change.key, change.revision)
            return [told(EventType.ROW_UNREADABLE, change.key, f"no event could be made of a change of {change.key}")]

    def _wake(self) -> None:
        self._arrived.set()
        self._arrived = trio.Event()


@attrs.define(eq=False)
class FellBehind(TryAgain):
    """Events were forgotten before this follower took them, or the log began anew: ask from the last one that came."""

    def __str__(self) -> str:
        return "events were forgotten before they were taken; ask again, since the last one that came"


class Following:
    """An async iterator of events. It holds a place in the log, and few events: who is slow raises FellBehind."""

    def __init__(self, events: Events, number: int, beginnings: int) -> None:
        self._events = events
        self._number = number
        self._beginnings = beginnings
        self._taken: deque[tuple[int, Event]] = deque()

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> Event:
        """The next one. Cancelled, it loses nothing. Raises FellBehind."""
        while not self._taken:
            await self._events.arrived(self._number)
            log = self._events.log
            later = log.arrived_after(self._number)
            if later is None or log.beginnings != self._beginnings:
                raise FellBehind
            self._taken.extend(later[:_TAKEN_MAX])
        self._number, event = self._taken.popleft()
        return event
