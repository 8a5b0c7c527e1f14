"""What people change about alerts: thresholds, who is told, and that they have seen enough.

Knows: the rows of thresholds, alerts and sinks.
Never: HTTP, when an alert begins.
Holds: whatever is changed is checked first, and changed in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from aether.errors import Conflict
from aether.kv import keys
from aether.kv.commands import Batch, Delete, Put
from aether.kv.service import KvService
from aether.metrics.alert_sinks import check_webhooks
from aether.metrics.events import Event
from aether.metrics.thresholds import DEFAULTS, check_metric, check_threshold, effective
from aether.model.alerts import AlertRow, AlertSinksRow, Severity, ThresholdRow
from aether.model.ids import Revision
from aether.model.limits import THRESHOLDS_MAX


class AlertOperator:
    """history  events of alerts, the oldest first"""

    def __init__(self, kv: KvService, history: Callable[[], Sequence[Event]], wall: Callable[[], float]) -> None:
        self._kv = kv
        self._history = history
        self._wall = wall

    # --- reading ------------------------------------------------------------------------------------------------------

    def thresholds(self) -> dict[str, ThresholdRow]:
        """What holds, by metric."""
        return effective(self._kv.rows(keys.THRESHOLDS))

    def active(self) -> list[AlertRow]:
        """What holds now, the oldest first."""
        return sorted(self._kv.rows(keys.ALERTS), key=lambda row: (row.since, row.metric, row.subject))

    def history(self) -> Sequence[Event]:
        """Beginnings and ends of alerts, the oldest first."""
        return self._history()

    def sinks(self) -> AlertSinksRow:
        return self._kv.get(keys.alert_sinks) or AlertSinksRow()

    # --- changing -----------------------------------------------------------------------------------------------------

    async def set_threshold(self, metric: str, warning: float, critical: float, by: str = "") -> Revision:
        """Raises BadInput (every problem), Conflict (there are THRESHOLDS_MAX)."""
        check_threshold(metric, warning, critical)
        if len(self.thresholds()) >= THRESHOLDS_MAX and metric not in self.thresholds():
            raise Conflict("thresholds", f"there are {THRESHOLDS_MAX} already; remove one first")
        row = ThresholdRow(metric=metric, warning=warning, critical=critical, by=by, at=self._wall())
        return await self._write(Put(keys.threshold(metric), row))

    async def remove_threshold(self, metric: str, by: str = "") -> Revision:
        """Of a default, that it does not hold any more. One that is not there is no failure. Raises BadInput."""
        check_metric(metric)
        default = DEFAULTS.get(metric)
        if default is not None:
            row = attrs.evolve(default, is_off=True, by=by, at=self._wall())
            return await self._write(Put(keys.threshold(metric), row))
        return await self._write(Delete(keys.threshold(metric)))

    async def clear(self) -> tuple[Revision, int]:
        """End every alert, and say how many; one whose figure still stands too high begins anew."""
        active = self.active()
        return await self._write(*(Delete(keys.alert(row.metric, row.subject)) for row in active)), len(active)

    async def set_sinks(self, webhooks: Sequence[str], *, log: bool, severity: Severity, by: str = "") -> Revision:
        """Raises BadInput with every problem."""
        check_webhooks(webhooks)
        row = AlertSinksRow(webhooks=tuple(webhooks), log=log, severity=severity, by=by, at=self._wall())
        return await self._write(Put(keys.alert_sinks, row))

    async def _write(self, *changes: Put[Any] | Delete[Any]) -> Revision:
        if not changes:
            return await self._kv.barrier()
        result = await self._kv.propose(Batch(changes=changes))
        return result.revision
