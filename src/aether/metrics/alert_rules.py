"""When an alert begins, changes and ends: a pure step from one second to the next.

Knows: thresholds, how long a figure must stand above or below one.
Never: where figures come from, rows' keys, who is told.
Holds: an alert begins after ALERT_RAISE_SAMPLES figures at or above its threshold, and ends, or becomes milder, only
       after ALERT_CLEAR_SAMPLES figures that lie below it by a margin: one that swings around a threshold does not
       flap. A figure that is missing changes nothing, unless its subject is gone for ALERT_GONE_SAMPLES.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs

from aether.model.alerts import AlertRow, Severity, ThresholdRow
from aether.model.limits import ALERT_CLEAR_SAMPLES, ALERT_GONE_SAMPLES, ALERT_RAISE_SAMPLES, ALERTS_MAX

MARGIN: Final = 0.05
"""Of a threshold, by which a figure must lie below it to count as below."""

Subject = tuple[str, str]
"""(metric, node or method)"""


@attrs.frozen
class Streak:
    """How many figures in a row were at or above WARNING and CRITICAL, below them by the margin, or missing."""

    above_warning: int = 0
    above_critical: int = 0
    below_warning: int = 0
    below_critical: int = 0
    gone: int = 0

    def after(self, value: float, threshold: ThresholdRow) -> Streak:
        """One more figure."""
        return Streak(
            above_warning=self.above_warning + 1 if value >= threshold.warning else 0,
            above_critical=self.above_critical + 1 if value >= threshold.critical else 0,
            below_warning=self.below_warning + 1 if value < cleared_below(threshold.warning) else 0,
            below_critical=self.below_critical + 1 if value < cleared_below(threshold.critical) else 0,
        )


NO_STREAK: Final = Streak()


def cleared_below(limit: float) -> float:
    """Below this a figure counts as below `limit`."""
    return limit - abs(limit) * MARGIN


@attrs.frozen(kw_only=True)
class AlertChange:
    """The alert of `subject` is `row` from now on; None = it is over. why  in words"""

    subject: Subject
    row: AlertRow | None
    why: str = ""


@attrs.frozen(kw_only=True)
class Judgement:
    """What changes, and the streaks to go on with. dropped  alerts that found no room"""

    changes: tuple[AlertChange, ...]
    streaks: Mapping[Subject, Streak]
    dropped: int = 0


def judge(
    thresholds: Mapping[str, ThresholdRow],
    samples: Mapping[Subject, float],
    live: Collection[str],
    active: Mapping[Subject, AlertRow],
    streaks: Mapping[Subject, Streak],
    now: float,
) -> Judgement:
    """One second. samples  the newest figure of each subject; live  subjects that are there, with figures or not."""
    changes: list[AlertChange] = []
    after: dict[Subject, Streak] = {}
    room, dropped = ALERTS_MAX - len(active), 0
    for subject in [*active, *_rising(thresholds, samples, active, streaks)]:
        threshold, row = thresholds.get(subject[0]), active.get(subject)
        if threshold is None:
            if row is not None:
                changes.append(AlertChange(subject=subject, row=None, why="its threshold was removed"))
            continue
        streak = _streak(streaks.get(subject, NO_STREAK), samples.get(subject), threshold, subject[1] in live)
        severity, why = _severity(None if row is None else row.severity, streak)
        if severity is (None if row is None else row.severity):
            if row is not None or streak.above_warning:
                after[subject] = streak
            continue
        if row is None and room <= 0:
            dropped += 1
            after[subject] = streak
            continue
        room -= row is None
        changes.append(_change(subject, severity, threshold, samples.get(subject), row, now, why))
    return Judgement(changes=tuple(changes), streaks=after, dropped=dropped)


def _rising(
    thresholds: Mapping[str, ThresholdRow],
    samples: Mapping[Subject, float],
    active: Mapping[Subject, AlertRow],
    streaks: Mapping[Subject, Streak],
) -> list[Subject]:
    """Those without an alert that lie, or lay just now, above a threshold: of many nodes, hardly any."""
    high = (each for each, value in samples.items() if each[0] in thresholds and value >= thresholds[each[0]].warning)
    return [each for each in dict.fromkeys((*high, *streaks)) if each in samples and each not in active]


def _streak(streak: Streak, value: float | None, threshold: ThresholdRow, is_live: bool) -> Streak:
    if value is None or math.isnan(value):
        return attrs.evolve(streak, gone=0 if is_live else streak.gone + 1)
    return streak.after(value, threshold)


def _severity(current: Severity | None, streak: Streak) -> tuple[Severity | None, str]:
    if current is not None and streak.gone >= ALERT_GONE_SAMPLES:
        return None, "its subject is gone"
    if current is not Severity.CRITICAL and streak.above_critical >= ALERT_RAISE_SAMPLES:
        return Severity.CRITICAL, ""
    if current is None and streak.above_warning >= ALERT_RAISE_SAMPLES:
        return Severity.WARNING, ""
    if current is not None and streak.below_warning >= ALERT_CLEAR_SAMPLES:
        return None, "it is below the threshold again"
    if current is Severity.CRITICAL and streak.below_critical >= ALERT_CLEAR_SAMPLES:
        return Severity.WARNING, ""
    return current, ""


def _change(
    subject: Subject,
    severity: Severity | None,
    threshold: ThresholdRow,
    value: float | None,
    row: AlertRow | None,
    now: float,
    why: str,
) -> AlertChange:
    if severity is None:
        return AlertChange(subject=subject, row=None, why=why)
    limit = threshold.critical if severity is Severity.CRITICAL else threshold.warning
    new = AlertRow(
        metric=subject[0],
        subject=subject[1],
        severity=severity,
        value=0.0 if value is None else value,
        threshold=limit,
        since=now if row is None else row.since,
    )
    return AlertChange(subject=subject, row=new, why=why)


def rows_by_subject(rows: Sequence[AlertRow]) -> dict[Subject, AlertRow]:
    """The rows of active alerts."""
    return {(row.metric, row.subject): row for row in rows}
