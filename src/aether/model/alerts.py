"""When a figure is worth a word to somebody, and the rows that say so.

Knows: thresholds, severities, the rows of active alerts.
Never: where figures come from, who is told.
"""

from __future__ import annotations

import enum

import attrs


class Severity(enum.Enum):
    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


@attrs.frozen(kw_only=True)
class ThresholdRow:
    """From when on one metric is worth a word. Key `thresholds/{metric}`.

    is_off  the metric is worth none, whatever holds without a row
    """

    metric: str
    warning: float
    critical: float
    is_off: bool = False
    by: str = ""
    at: float = 0.0


@attrs.frozen(kw_only=True)
class AlertRow:
    """One alert that holds now. Key `alerts/{metric}/{subject}`.

    subject    the node, or the method of a slice, that it is about
    value      when the severity last changed; threshold  the one it crossed
    since      seconds since the epoch
    """

    metric: str
    subject: str
    severity: Severity
    value: float
    threshold: float
    since: float


@attrs.frozen(kw_only=True)
class AlertSinksRow:
    """Who is told of alerts. Key `alert-sinks`.

    webhooks  addresses that get each one by POST; they may hold secrets, so no answer and no log shows them
    log       whether the leader logs them
    severity  from when on; an end is told when its beginning was
    """

    webhooks: tuple[str, ...] = attrs.field(default=(), repr=False)
    log: bool = True
    severity: Severity = Severity.WARNING
    by: str = ""
    at: float = 0.0


@attrs.frozen(kw_only=True)
class AlertsToldRow:
    """Up to which event of the cluster the webhooks have been told. Key `alerts-told`; written while there are any."""

    revision: int
    ordinal: int
