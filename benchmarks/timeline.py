"""A picture of a run: what clients were answered, and how long they waited, before and after something happened.

Knows: SVG, scales, a handful of colours that are told apart on light and dark pages.
Never: where the figures come from; any number that was not given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

import attrs

WIDTH: Final = 880
HEIGHT: Final = 424
LEFT: Final = 64
RIGHT: Final = 24
RATE_TOP: Final = 92
RATE_HEIGHT: Final = 120
WAIT_TOP: Final = 266
WAIT_HEIGHT: Final = 104
INK: Final = "#24292f"
FAINT: Final = "#57606a"
GRID: Final = "#d0d7de"
GOOD: Final = "#2da44e"
BAD: Final = "#cf222e"
MIDDLE: Final = "#0969da"
SLOWEST: Final = "#bc4c00"
HEADROOM: Final = 1.45  # for the words at events
BUCKETS_MAX: Final = 400
TICKS: Final = (1, 2, 5)


@attrs.frozen
class Answer:
    """One request. sent_s  on the clock of the run; latency_s  until its last answer; ok  as its client wanted it"""

    sent_s: float
    latency_s: float
    ok: bool

    @property
    def done_s(self) -> float:
        return self.sent_s + self.latency_s


@attrs.frozen
class Bucket:
    """What was answered in one stretch of time. median_s, slowest_s  0 when nothing was"""

    begin_s: float
    good: int
    bad: int
    median_s: float
    slowest_s: float


def buckets(answers: Sequence[Answer], width_s: float, end_s: float) -> list[Bucket]:
    """Answers by when they came; every one before `end_s` is in exactly one bucket."""
    count = max(1, min(BUCKETS_MAX, -int(-end_s // width_s)))
    sorted_in: list[list[Answer]] = [[] for _ in range(count)]
    for answer in answers:
        if answer.done_s < count * width_s:
            sorted_in[int(answer.done_s // width_s)].append(answer)
    made: list[Bucket] = []
    for number, inside in enumerate(sorted_in):
        waits = sorted(answer.latency_s for answer in inside)
        good = sum(answer.ok for answer in inside)
        median, slowest = (waits[len(waits) // 2], waits[-1]) if waits else (0.0, 0.0)
        made.append(Bucket(number * width_s, good, len(inside) - good, median, slowest))
    return made


def step(top: float, ticks_max: int = 5) -> float:
    """A round distance of grid lines, at most `ticks_max` of them up to `top`."""
    power = 0.001
    while True:
        for factor in TICKS:
            if top / (power * factor) <= ticks_max:
                return power * factor
        power *= 10


@attrs.frozen(kw_only=True)
class Timeline:
    """The whole picture. events  (second, words); notes  lines below it, such as the command that made it"""

    title: str
    subtitle: str
    answers: Sequence[Answer]
    events: Sequence[tuple[float, str]]
    notes: Sequence[str]
    width_s: float = 0.25

    def svg(self) -> str:
        """The text of a file. The same figures give the same text."""
        end_s = max((answer.done_s for answer in self.answers), default=0.0) + self.width_s
        found = buckets(self.answers, self.width_s, end_s)
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"',
            ' role="img" font-family="system-ui, sans-serif" font-size="12">',
            f"<title>{escape(self.title)}</title>",
            f"<desc>{escape(self.subtitle)}</desc>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff" stroke="{GRID}"/>',
            _text(LEFT, 30, self.title, size=18, weight="600"),
            _text(LEFT, 50, self.subtitle, fill=FAINT),
            *self._rates(found, end_s),
            *self._waits(found, end_s),
            *self._marks(end_s),
            *(_text(LEFT, HEIGHT - 12, "  ·  ".join(self.notes), fill=FAINT, size=10.5),),
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    def _rates(self, found: Sequence[Bucket], end_s: float) -> Iterator[str]:
        top = max(max(bucket.good + bucket.bad for bucket in found) / self.width_s, 1.0) * HEADROOM
        yield _text(LEFT, RATE_TOP - 14, "answers a second", weight="600")
        yield _legend(LEFT + 132, RATE_TOP - 14, GOOD, "as wanted")
        yield _legend(LEFT + 222, RATE_TOP - 14, BAD, "failed")
        yield from _grid(RATE_TOP, RATE_HEIGHT, top, "g")
        scale, wide = RATE_HEIGHT / top, _x(self.width_s, end_s) - _x(0, end_s)
        for bucket in found:
            high, left = bucket.good / self.width_s * scale, _x(bucket.begin_s, end_s)
            yield _bar(left, RATE_TOP + RATE_HEIGHT - high, wide, high, GOOD)
            if bucket.bad:
                red = max(2.0, bucket.bad / self.width_s * scale)
                yield _bar(left, RATE_TOP + RATE_HEIGHT - high - red, wide, red, BAD)

    def _waits(self, found: Sequence[Bucket], end_s: float) -> Iterator[str]:
        top = max(max(bucket.slowest_s for bucket in found) * 1e3, 1.0) * 1.05
        yield _text(LEFT, WAIT_TOP - 14, "time until the answer, ms", weight="600")
        yield _legend(LEFT + 190, WAIT_TOP - 14, MIDDLE, "median")
        yield _legend(LEFT + 262, WAIT_TOP - 14, SLOWEST, f"slowest of each {self.width_s:g} s")
        yield from _grid(WAIT_TOP, WAIT_HEIGHT, top, "g")
        answered = [bucket for bucket in found if bucket.good + bucket.bad]
        for colour, name in ((SLOWEST, "slowest_s"), (MIDDLE, "median_s")):
            points = " ".join(
                f"{_x(bucket.begin_s + self.width_s / 2, end_s):.1f},"
                f"{WAIT_TOP + WAIT_HEIGHT * (1 - getattr(bucket, name) * 1e3 / top):.1f}"
                for bucket in answered
            )
            yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        for second in range(0, int(end_s) + 1, max(1, round(step(end_s, 12)))):
            yield _text(_x(second, end_s), WAIT_TOP + WAIT_HEIGHT + 16, f"{second} s", fill=FAINT, anchor="middle")

    def _marks(self, end_s: float) -> Iterator[str]:
        for second, _ in self.events:
            x = _x(second, end_s)
            yield (
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{RATE_TOP - 6}" y2="{WAIT_TOP + WAIT_HEIGHT}" '
                f'stroke="{INK}" stroke-dasharray="3 3"/>'
            )
        for number, (second, words) in enumerate(self.events):
            x, y, width = _x(second, end_s), RATE_TOP + 6 + 18 * number, 6.6 * len(words) + 10
            yield f'<rect x="{x + 4:.1f}" y="{y - 12}" width="{width:.0f}" height="16" fill="#ffffff"/>'
            yield _text(x + 8, y, words, weight="600")


def _x(second: float, end_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * second / end_s


def _text(
    x: float, y: float, text: str, *, fill: str = INK, size: float = 12, weight: str = "", anchor: str = ""
) -> str:
    more = (f' font-weight="{weight}"' if weight else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" font-size="{size:g}"{more}>{escape(text)}</text>'


def _bar(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.5, width - 0.6):.1f}" height="{height:.1f}" fill="{fill}"/>'


def _legend(x: float, y: float, fill: str, words: str) -> str:
    return f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{fill}"/>' + _text(x + 14, y, words, fill=FAINT)


def _grid(top_px: float, height: float, top: float, spelt: str) -> Iterator[str]:
    distance = step(top)
    for number in range(int(top / distance) + 1):
        y = top_px + height * (1 - number * distance / top)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        yield _text(LEFT - 8, y + 4, f"{number * distance:{spelt}}", fill=FAINT, anchor="end")
