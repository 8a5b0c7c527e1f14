"""What a soak says: the verdict on each figure, the table, the plot.

Knows: samples, events, bounds.
Never: a running cluster.
Holds: the table says of each figure how small a growth it could have seen, so that "flat" means something.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from benchmarks.soak.flatness import Finding, Trend, judge
from benchmarks.soak.run import CUSTOMERS, Event, Soaked
from benchmarks.soak.samples import WATCHED, Sample, Watched, points

BEGIN: Final = "<!-- written by `nox -s soak` -->"
END: Final = "<!-- end of what `nox -s soak` writes -->"
EVENTS_SHOWN: Final = 80
PLOTTED: Final = ("rss", "fds", "threads", "tasks", "disk", "rows", "workers_rss")


@attrs.frozen(kw_only=True)
class Row:
    """One figure of one node (or of all): what it was, and whether it grew."""

    figure: Watched
    node: str
    lives: int
    first: float
    median: float
    most: float
    finding: Finding


@attrs.frozen(kw_only=True)
class Clients:
    """What customers saw in all. p50_s, p99_s  medians and worst of those of single samples"""

    requests: int
    failed: int
    asked_again: int
    held: int
    p50_s: float
    p99_s: float
    p99_worst_s: float


def rows_of(samples: Sequence[Sample]) -> list[Row]:
    """One for each figure and node that was ever seen."""
    found: list[Row] = []
    nodes = sorted({s.node for s in samples} - {CUSTOMERS})
    for figure in WATCHED:
        for node in nodes:
            seen = sorted(points(samples, figure, node), key=lambda point: point.at_s)
            if not seen:
                continue
            values = [point.value for point in seen]
            found.append(
                Row(
                    figure=figure,
                    node=node,
                    lives=len({s.life for s in samples if s.node == node}),
                    first=values[0],
                    median=statistics.median(values),
                    most=max(values),
                    finding=judge(seen, figure.bound),
                )
            )
    return found


def clients_of(samples: Iterable[Sample]) -> Clients:
    seen = [s.seen for s in samples if s.node == CUSTOMERS and s.seen["requests"]]
    sums = {name: round(sum(each[name] for each in seen)) for name in ("requests", "failed", "asked_again", "held")}
    return Clients(
        **sums,
        p50_s=statistics.median(each["p50"] for each in seen) if seen else 0.0,
        p99_s=statistics.median(each["p99"] for each in seen) if seen else 0.0,
        p99_worst_s=max((each["p99"] for each in seen), default=0.0),
    )


def exit_code(soaked: Soaked, rows: Sequence[Row]) -> int:
    """0 everything is flat; 1 something grows, or a promise was broken; 3 a figure was watched long enough nowhere."""
    if soaked.wrong or any(row.finding.trend is Trend.GROWS for row in rows):
        return 1
    said = {row.figure.name for row in rows if row.finding.trend is not Trend.TOO_SHORT}
    return 0 if rows and all(row.figure.name in said for row in rows) else 3


def verdict(soaked: Soaked, rows: Sequence[Row]) -> str:
    grown = [f"{row.figure.name} of {row.node}" for row in rows if row.finding.trend is Trend.GROWS]
    short = [f"{row.figure.name} of {row.node}" for row in rows if row.finding.trend is Trend.TOO_SHORT]
    lines = [f"**Grows: {', '.join(grown)}.**" if grown else "Nothing grows that was watched long enough."]
    if short:
        lines.append(f"Watched for too short a time to say: {', '.join(short)}.")
    if soaked.wrong:
        lines.append(f"**{len(soaked.wrong)} things went against a promise**, the first: {soaked.wrong[0][:300]}")
    else:
        lines.append("No request failed, no node ended by itself, and the cluster was well after every disturbance.")
    return " ".join(lines)


def table(rows: Sequence[Row]) -> str:
    heads = [
        "figure",
        "node",
        "processes",
        "first",
        "median",
        "most",
        "growth/hour",
        "watched",
        "visible/hour",
        "verdict",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        unit = f" {row.figure.unit}" if row.figure.unit else ""
        finding = row.finding
        growth, visible = f"{finding.per_hour:+.1f}{unit}", f"{finding.visible_per_hour:.1f}{unit}"
        if finding.trend is Trend.TOO_SHORT:
            growth = visible = "-"
        cells = [
            *(row.figure.name, row.node, str(row.lives), f"{row.first:.0f}{unit}", f"{row.median:.0f}{unit}"),
            *(f"{row.most:.0f}{unit}", growth, f"{finding.watched_s / 60:.0f} min", visible, str(finding.trend)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine() -> str:
    """What it ran on, without its name."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    kernel = f"{platform.system()} {platform.release()}, {platform.machine()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores, {pages / 2**30:.0f} GiB, {kernel}, {python}; load at the end {load}"


def text(soaked: Soaked, command: str, minutes: float) -> str:
    """The part of the page that a run writes."""
    plan, rows, clients = soaked.plan, rows_of(soaked.samples), clients_of(soaked.samples)
    ended = f"{time.strftime('%Y-%m-%d')}, {minutes:.0f} minutes of {plan.rate:g} requests/s to {plan.nodes} nodes"
    seen = f"{clients.requests:,} requests: {clients.failed} failed, {clients.asked_again:,} further attempts"
    if clients.held:
        seen += f", {clients.held:,} not sent because too many were under way"
    latency = f"median {1e3 * clients.p50_s:.0f} ms; p99 of ten seconds {1e3 * clients.p99_s:.0f} ms in the median"
    about = [f"| `{f.name}` | {f.about} | {_number(f)} |" for f in WATCHED]
    parts = [
        *(
            BEGIN,
            "",
            "## The last run",
            "",
            f"{ended}.",
            "",
            f"```console\n$ {command}\n```",
            "",
            f"{machine()}.",
            "",
            verdict(soaked, rows),
            "",
        ),
        f"{seen}. Latency: {latency}, {1e3 * clients.p99_worst_s:.0f} ms at worst.",
        *("", "![figures over time](soak.png)", "", table(rows), ""),
        *("| figure | what it is | flat up to |", "|---|---|---|", *about, ""),
        *("| at | disturbance | well again after |", "|---|---|---|"),
        *(_event(event) for event in soaked.events[:EVENTS_SHOWN]),
        *("", END),
    ]
    return "\n".join(parts)


def _number(figure: Watched) -> str:
    unit = f" {figure.unit}" if figure.unit else ""
    return f"{figure.bound.per_hour:g}{unit} an hour, or {figure.bound.slack:g}{unit} in all"


def _event(event: Event) -> str:
    after = event.wrong or f"{event.well_s:.1f} s"
    return f"| {event.at_s / 60:.1f} min | {event.words} | {after} |"


def put(page: Path, written: str) -> None:
    """Replace what an earlier run wrote into `page`; the words around it stay."""
    old = page.read_text()
    before, found, rest = old.partition(BEGIN)
    after = rest.partition(END)[2] if found else "\n"
    page.write_text(f"{before}{written}{after}")


def plot(soaked: Soaked, path: Path) -> None:
    """Every figure over time, a line for each node; disturbances as thin lines. Needs matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    samples = soaked.samples
    shown = [figure for figure in WATCHED if figure.name in PLOTTED]
    picture, axes = plt.subplots(len(shown) + 1, 1, figsize=(9, 1.7 * (len(shown) + 1)), sharex=True)
    nodes = sorted({s.node for s in samples} - {CUSTOMERS})
    colours = dict(zip(nodes, ("C3", "C0", "C1", "C2", "C4"), strict=False))
    for axis, figure in zip(axes, shown, strict=False):
        for node in nodes:
            by_life: dict[object, list[tuple[float, float]]] = {}
            for point in points(samples, figure, node):
                by_life.setdefault(point.life, []).append((point.at_s / 60, point.value))
            for number, line in enumerate(by_life.values()):
                label = node if number == 0 else None
                axis.plot(*zip(*line, strict=True), color=colours.get(node, "C5"), linewidth=1, label=label)
        axis.set_ylabel(f"{figure.name}\n{figure.unit}".strip(), fontsize=8)
        axis.set_ylim(bottom=0)
    customers = [(s.at_s / 60, 1e3 * s.seen["p99"]) for s in samples if s.node == CUSTOMERS]
    if customers:
        axes[-1].plot(*zip(*customers, strict=True), color="black", linewidth=1)
    axes[-1].set_ylabel("p99\nms", fontsize=8)
    axes[-1].set_yscale("log")
    axes[-1].set_xlabel("minutes")
    for axis in axes:
        for event in soaked.events:
            axis.axvline(event.at_s / 60, color="0.85", linewidth=0.8, zorder=0)
        axis.tick_params(labelsize=7)
    axes[0].legend(fontsize=7, ncols=4, loc="lower right")
    picture.tight_layout()
    picture.savefig(path, dpi=90)
    plt.close(picture)
