"""The leader asks every second which figures are worth a word, and writes what changed.

Knows: the rows of thresholds and alerts, the figures of the cluster.
Never: how a judgement is made (module alert_rules), who is told.
Holds: alerts are written by the leader alone, by fenced batches, and only on change; a new leader goes on from the
       rows: what stands is not raised again; it works whether or not anybody looks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NoReturn

import trio

from aether.errors import AetherError, BadInput
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.commands import Batch, Delete, Put
from aether.kv.service import KvService
from aether.metrics.alert_rules import Judgement, Streak, Subject, judge, rows_by_subject
from aether.metrics.alert_samples import gather
from aether.metrics.figures import ClusterFigures
from aether.metrics.methods import CallFigures
from aether.metrics.thresholds import effective
from aether.model.ids import NodeId
from aether.model.rows import LeadershipRow

_log = logging.getLogger("aether.alerts")

EVALUATE_S: Final = 1.0


class AlertManager:
    """Of one node; its turns do something while the node leads. live  nodes that answer, this one included"""

    def __init__(
        self,
        kv: KvService,
        figures: ClusterFigures,
        calls: CallFigures,
        *,
        live: Callable[[], Collection[NodeId]],
        wall: Callable[[], float],
    ) -> None:
        self._kv = kv
        self._figures = figures
        self._calls = calls
        self._live = live
        self._wall = wall
        self._thresholds = CachedRows(kv, keys.THRESHOLDS)
        self._alerts = CachedRows(kv, keys.ALERTS)
        self._streaks: Mapping[Subject, Streak] = {}
        self._stood: frozenset[Subject] = frozenset()
        self._complained = False
        self._unwritable: Collection[Subject] = ()  # of which that was said

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled."""
        task_status.started()
        while True:
            fence = self._kv.leadership
            if fence is None:
                self._streaks, self._stood = {}, frozenset()
            else:
                await self._turn(fence)
            await trio.sleep(EVALUATE_S)

    async def _turn(self, fence: LeadershipRow) -> None:
        try:
            judgement = self._judge()
            if judgement.changes:
                await self._write(judgement, fence)
        except AetherError as error:  # the next second decides anew, or another leader does
            _log.info("alerts are not up to date: %s", error)

    def _judge(self) -> Judgement:
        active = rows_by_subject(self._alerts.look())
        for subject in self._stood - active.keys():  # somebody cleared it: it counts anew
            self._streaks = {each: streak for each, streak in self._streaks.items() if each != subject}
        thresholds = effective(self._thresholds.look())
        samples = gather(thresholds, self._figures, self._calls)
        live = {*map(str, self._live()), *(subject for _, subject in samples)}
        judgement = judge(thresholds, samples, live, active, self._streaks, self._wall())
        self._streaks, self._stood = judgement.streaks, frozenset(active)
        if judgement.dropped and not self._complained:
            _log.warning("%d alerts find no room; fewer thresholds, or higher ones, tell more", judgement.dropped)
        self._complained = bool(judgement.dropped)
        return judgement

    async def _write(self, judgement: Judgement, fence: LeadershipRow) -> None:
        changes: list[Put[Any] | Delete[Any]] = []
        unwritable: set[Subject] = set()
        for change in judgement.changes:
            try:
                key = keys.alert(*change.subject)
            except BadInput as error:
                unwritable.add(change.subject)
                if change.subject not in self._unwritable:
                    _log.warning("an alert of %s cannot be written: %s", change.subject, error)
                continue
            changes.append(Delete(key) if change.row is None else Put(key, change.row))
        self._unwritable = unwritable
        if not changes:
            return
        result = await self._kv.propose(Batch(changes=tuple(changes)), fence=fence)
        if result.applied:
            self._stood = frozenset(rows_by_subject(self._alerts.look()))
