"""What the endpoints of alerts ask for.

Knows: the protocol.
Never: where alerts come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from aether.metrics.events import Event
from aether.model.alerts import AlertRow, AlertSinksRow, Severity, ThresholdRow
from aether.model.ids import Revision


class Alerting(Protocol):
    """Thresholds, alerts, and who is told. aether.metrics.alert_operator.AlertOperator is one."""

    def thresholds(self) -> Mapping[str, ThresholdRow]: ...
    def active(self) -> Sequence[AlertRow]: ...
    def history(self) -> Sequence[Event]: ...
    def sinks(self) -> AlertSinksRow: ...
    async def set_threshold(self, metric: str, warning: float, critical: float, by: str = "") -> Revision: ...
    async def remove_threshold(self, metric: str, by: str = "") -> Revision: ...
    async def clear(self) -> tuple[Revision, int]: ...
    async def set_sinks(self, webhooks: Sequence[str], *, log: bool, severity: Severity, by: str = "") -> Revision: ...
