"""The last events that one node knows, to be read from any place on.

Knows: two rings, of the cluster's events and of this node's own; from where on the first is complete.
Never: tasks; where events come from.
Holds: whoever asks for what came later than a place is given all of it, or told that some is not known any more; a node
       with many events of its own forgets none of the cluster's for them. Gaps among its own show in their numbers.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs

from aether.metrics.events import LAST, Event, EventType, Place, Since, Told
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.limits import ALERT_EVENTS_KEPT_MAX, EVENTS_KEPT_MAX, LOCAL_EVENTS_KEPT_MAX

_OF_ALERTS: Final = (EventType.ALERT_TRIGGERED, EventType.ALERT_RESOLVED)
Wanted = Callable[[Event], bool]


@attrs.frozen
class Selection:
    """Events, the oldest first. truncated  some that were asked for are not known any more; kept_after  from where on
    all are; more  whether others follow these
    """

    events: tuple[Event, ...]
    truncated: bool
    kept_after: Place
    more: bool = False


class EventLog:
    """Of one process of `node`."""

    def __init__(
        self,
        node: NodeId,
        incarnation: Incarnation,
        *,
        kept_max: int = EVENTS_KEPT_MAX,
        local_max: int = LOCAL_EVENTS_KEPT_MAX,
    ) -> None:
        self._node = node
        self._incarnation = incarnation
        self._kept_max = kept_max
        self._local_max = local_max
        self._arrivals = itertools.count(1)
        self._local_numbers = itertools.count(1)
        self._cluster: deque[tuple[int, Place, Event]] = deque()
        self._local: deque[tuple[int, Event]] = deque()
        self._alerts: deque[Event] = deque(maxlen=ALERT_EVENTS_KEPT_MAX)
        self._kept_after = Place(0, LAST)
        self._kept_since = 0.0
        self._last = Place(0, LAST)
        self._forgotten = 0
        self.newest: int = 0
        """The number of the last arrival."""
        self.beginnings: int = 0
        """How often it began anew."""

    def begin_anew(self, revision: Revision, at: float) -> None:
        """What happened up to `revision` is not known: a snapshot was restored."""
        self._cluster.clear()
        self._alerts.clear()
        self._kept_after = self._last = Place(revision, LAST)
        self._kept_since = at
        self._forgotten = self.newest
        self.beginnings += 1

    def add(self, revision: Revision, at: float, told: Iterable[Told]) -> None:
        """What the entry at `revision`, or the next part of it, came to. at  log time, seconds since the epoch"""
        for each in told:
            ordinal = self._last.ordinal + 1 if self._last.revision == revision and self._last.ordinal < LAST else 0
            self._last = place = Place(revision, ordinal)
            event = _event(each, str(place), at)
            self._cluster.append((self._arrive(), place, event))
            if each.type in _OF_ALERTS:
                self._alerts.append(event)
        while len(self._cluster) > self._kept_max:
            self._forgotten, self._kept_after, event = self._cluster.popleft()
            self._kept_since = event.at

    def add_local(self, at: float, each: Told) -> None:
        """Something that this node alone saw. at  by its clock"""
        identity = f"{self._node}:{self._incarnation}:{next(self._local_numbers)}"
        event = attrs.evolve(_event(each, identity, at), node=str(self._node), ordered=False)
        self._local.append((self._arrive(), event))
        if len(self._local) > self._local_max:
            self._local.popleft()

    def _arrive(self) -> int:
        self.newest = next(self._arrivals)
        return self.newest

    # --- reading ------------------------------------------------------------------------------------------------------

    def alerts(self) -> tuple[Event, ...]:
        """The last events of alerts, the oldest first."""
        return tuple(self._alerts)

    @property
    def last_place(self) -> Place:
        """Of the newest event of the cluster; of where the log begins when there is none."""
        return self._last

    def cluster_after(self, place: Place) -> list[Event]:
        """Events of the cluster that came later, the oldest first."""
        later = itertools.takewhile(lambda each: each[1] > place, reversed(self._cluster))
        return [event for _, _, event in later][::-1]

    def select(self, since: Since | None, wanted: Wanted, limit: int) -> Selection:
        """With `since` the first `limit` events that came later, without it the last ones; of those `wanted`.

        Where the first ones are all of this node, those up to the next of the cluster too: from there one can go on.
        """
        number = 0 if since is None else self.number_at(since)
        found = [event for _, event in self._after(number) if wanted(event)]
        truncated = since is not None and self.is_forgotten(since)
        if since is None:
            return Selection(tuple(found[max(0, len(found) - limit) :]), truncated, self._kept_after)
        if not any(event.ordered for event in found[:limit]):
            limit = next((n for n, event in enumerate(found, 1) if event.ordered), len(found))
        return Selection(tuple(found[:limit]), truncated, self._kept_after, more=len(found) > limit)

    def is_forgotten(self, since: Since) -> bool:
        """Whether some events of the cluster that came later are not known any more."""
        if since.place is not None:
            return since.place < self._kept_after
        return (since.at or 0.0) < self._kept_since

    def number_at(self, since: Since | None) -> int:
        """The arrival behind which `since` begins, of what is kept; the last one without it."""
        if since is None:
            return self.newest
        if since.place is not None:
            place = since.place
            known = next((number for number, at, _ in reversed(self._cluster) if at <= place), 0)
            return max(known, self._forgotten)
        at = since.at or 0.0
        return next((number - 1 for number, event in self._after(0) if event.at > at), self.newest)

    def arrived_after(self, number: int) -> list[tuple[int, Event]] | None:
        """What arrived later, with its number; None when some event of the cluster among it is forgotten."""
        return None if number < self._forgotten else list(self._after(number))

    def _after(self, number: int) -> Iterator[tuple[int, Event]]:
        cluster = itertools.takewhile(lambda each: each[0] > number, reversed(self._cluster))
        local = itertools.takewhile(lambda each: each[0] > number, reversed(self._local))
        ordered = [(arrival, event) for arrival, _, event in cluster][::-1]
        return heapq.merge(ordered, list(local)[::-1], key=lambda each: each[0])


def _event(each: Told, identity: str, at: float) -> Event:
    return Event(
        id=identity,
        at=at,
        type=each.type,
        severity=each.severity,
        subject=each.subject,
        summary=each.summary,
        details=each.details,
    )
