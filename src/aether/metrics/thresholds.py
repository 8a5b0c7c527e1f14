"""From when on a figure is worth a word: what holds at birth, and what operators say.

Knows: the default thresholds, which names mean something, what makes a threshold valid.
Never: where figures come from, who is told.
Holds: a default holds until a row says otherwise, however many other rows there are; CRITICAL is never below WARNING.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from aether.errors import BadInput
from aether.metrics.figures import FIGURES
from aether.model.alerts import ThresholdRow

DEFAULTS: Final[Mapping[str, ThresholdRow]] = MappingProxyType(
    {
        "cpu.usage": ThresholdRow(metric="cpu.usage", warning=0.7, critical=0.9),
        "heap.usage": ThresholdRow(metric="heap.usage", warning=0.7, critical=0.85),
    }
)
METHOD_PREFIX: Final = "method."
METHOD_FIGURES: Final = ("rate", "in_flight", "failure_rate", "p50_s", "p95_s", "p99_s", "p999_s")
"""Of each method of each version, as `method.p95_s` and so on."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*", re.IGNORECASE)
NAME_CHARS_MAX: Final = 100
_FORBIDDEN: Final = frozenset({"error"})
"""Clients of the original take an answer with that key for a failure."""


def is_known(metric: str) -> bool:
    """Whether any node tells a figure of this name."""
    if metric.startswith(METHOD_PREFIX):
        return metric.removeprefix(METHOD_PREFIX) in METHOD_FIGURES
    return metric in FIGURES


def check_threshold(metric: str, warning: float, critical: float) -> None:
    """Raise BadInput with every problem."""
    problems = _name_problems(metric)
    for name, value in (("warning", warning), ("critical", critical)):
        if not math.isfinite(value):
            problems.append(f"{name}: {value} is no finite number")
    if not problems and warning > critical:
        problems.append(f"warning {warning:g} lies above critical {critical:g}: it would never be said; swap them")
    if problems:
        raise BadInput("the threshold does not fit", tuple(problems))


def check_metric(metric: str) -> None:
    """Raise BadInput unless `metric` may be the name of a figure."""
    problems = _name_problems(metric)
    if problems:
        raise BadInput("the metric does not fit", tuple(problems))


def _name_problems(metric: str) -> list[str]:
    if _NAME.fullmatch(metric) and len(metric) <= NAME_CHARS_MAX and metric.lower() not in _FORBIDDEN:
        return []
    return [f"metric: {metric[:80]!r} is no name of a figure, such as cpu.usage or method.p95_s"]


def effective(rows: Iterable[ThresholdRow]) -> dict[str, ThresholdRow]:
    """What holds, by metric, in the order of names."""
    said = {row.metric: row for row in rows}
    together = {**DEFAULTS, **said}
    return {metric: row for metric, row in sorted(together.items()) if not row.is_off}
