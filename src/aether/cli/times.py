"""Spans and moments as people write them.

Knows: `30m`, `1h30m`, `90`; ISO 8601; the time zone of this machine.
Never: what they are for.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

import click

from aether.cli.param_types import NumberParam

_UNIT_S: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_SPAN: Final = re.compile(r"(?:\d{1,9}(?:\.\d{1,3})?[smhd])+")
_PART: Final = re.compile(r"([\d.]+)([smhd])")


def span_s(text: str) -> float | None:
    """Seconds that `text` says: `90`, `30m`, `1h30m`; None when it says none, or 0."""
    if re.fullmatch(r"\d{1,9}(?:\.\d{1,3})?", text):
        return float(text) or None
    if _SPAN.fullmatch(text) is None:
        return None
    return sum(float(count) * _UNIT_S[unit] for count, unit in _PART.findall(text)) or None


def local_time(epoch_s: float) -> str:
    """In the time zone of this machine; "" for 0."""
    if not epoch_s:
        return ""
    return datetime.fromtimestamp(epoch_s).astimezone().isoformat(" ", "seconds")


class _Span(NumberParam):
    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = span_s(str(value))
        if found is None:
            self.fail(f"{value!r} is no span of time; write 90s, 30m, 2h or 1h30m", param, ctx)
        return found


class _Moment(NumberParam):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return datetime.fromisoformat(str(value)).timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{value!r} is no time; write 2031-05-01T18:00, or with a zone 2031-05-01T18:00+02:00", param, ctx
            )


SPAN: Final = _Span()
MOMENT: Final = _Moment()
