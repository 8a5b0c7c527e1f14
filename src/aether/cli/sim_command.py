"""`aether sim`: clusters simulated from seeds, until a rule breaks or time is up.

Knows: the options, how results and traces are shown.
Never: what is simulated, what the rules are.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from aether.cli.exits import CommandFailed, Exit
from aether.testing.simulation.graveyard import grave_of, read_grave, write_grave
from aether.testing.simulation.plots import PLOTS
from aether.testing.simulation.report import Report
from aether.testing.simulation.runner import STEPS_DEFAULT, run
from aether.testing.simulation.shrink import shrink
from aether.testing.simulation.swarm import swarm
from aether.testing.simulation.trace import HEADER


def _seed(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else int(text, 0)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no number; write it as 1234 or 0x4d2") from error


_plot = click.option("--plot", type=click.Choice(sorted(PLOTS)), help="Which faults. Default: each seed draws it.")
_steps = click.option(
    "--steps", type=click.IntRange(1), default=STEPS_DEFAULT, show_default=True, help="Events under faults."
)
_folder = click.Path(file_okay=False, exists=True, path_type=Path)


@click.group()
def sim() -> None:
    """Simulate consensus under faults, each cluster from one seed.

    Each line of a trace is one event in fixed columns; docs/design/simulation.md has the legend.
    """


@sim.command(name="run")
@click.option("--seconds", type=click.FloatRange(0), help="Stop after so long. Default: when --seeds are done.")
@click.option("--seeds", type=click.IntRange(1), help="How many seeds. Default: 100, or no end with --seconds.")
@click.option("--seed-from", callback=_seed, help="The first seed. Default: drawn, and printed.")
@_plot
@_steps
@click.option("--processes", type=click.IntRange(1), help="Default: one per processor.")
@click.option("--graveyard", type=_folder, help="Put a file for each seed that fails there.")
def run_seeds(
    seconds: float | None,
    seeds: int | None,
    seed_from: int | None,
    plot: str | None,
    steps: int,
    processes: int | None,
    graveyard: Path | None,
) -> None:
    """Run many seeds. Exit code 1 when a rule broke in one of them."""
    first = seed_from if seed_from is not None else random.SystemRandom().getrandbits(32)
    count = seeds or (None if seconds is not None else 100)
    chosen: Iterator[int] = itertools.count(first) if count is None else iter(range(first, first + count))
    click.echo(f"from seed {first:#x}")
    done = failed = events = 0
    cpu_s, totals = 0.0, Counter[str]()
    for result in swarm(chosen, steps, plot, processes=processes or os.cpu_count() or 1, seconds=seconds):
        done, events, cpu_s = done + 1, events + result.events, cpu_s + result.cpu_s
        totals.update(result.counts)
        if result.violation is not None:
            failed += 1
            click.echo(f"seed {result.seed:#x} {result.plot}: VIOLATED: {result.violation}")
            click.echo(f"  aether sim replay --seed {result.seed:#x} --plot {result.plot} --steps {steps}")
            if graveyard is not None:
                _bury(run(result.seed, steps, plot=result.plot), graveyard)
    click.echo(_summary(done, events, cpu_s, totals))
    if failed:
        raise CommandFailed(Exit.FAILED, f"rules broke in {failed} of {done} seeds")


def _summary(seeds: int, events: int, cpu_s: float, totals: Counter[str]) -> str:
    names = ("crashes", "partitions", "leaders", "restores", "member changes", "refused", "acknowledged", "reads")
    shown = ", ".join(f"{totals[name]} {name}" for name in names)
    return f"{seeds} seeds, {events} events ({events / max(cpu_s, 1e-9):.0f} a second of one core): {shown}"


@sim.command()
@click.option("--seed", callback=_seed, help="Which run.")
@_plot
@_steps
@click.option("--grave", type=click.Path(dir_okay=False, exists=True, path_type=Path), help="A file of a failed run.")
@click.option("--last", type=click.IntRange(1), help="Show the last lines only.")
@click.option("--shrink", "shrinks", is_flag=True, help="First leave out the faults that the failure does not need.")
@click.option("--graveyard", type=_folder, help="Put a file for the failed run there.")
def replay(
    seed: int | None,
    plot: str | None,
    steps: int,
    grave: Path | None,
    last: int | None,
    shrinks: bool,
    graveyard: Path | None,
) -> None:
    """Show one run, event by event. Exit code 1 when a rule broke."""
    if (seed is None) is (grave is None):
        raise click.UsageError("give --seed or --grave")
    if grave is not None:
        kept = read_grave(grave)
        report = run(kept.seed, kept.steps, plot=kept.plot, only=kept.only)
    else:
        assert seed is not None
        report = run(seed, steps, plot=plot)
    if shrinks and report.violation is not None:
        report = _shrunk(report)
    click.echo(HEADER)
    for line in report.trace.lines(last):
        click.echo(line)
    click.echo(str(report))
    if report.violation is not None:
        if graveyard is not None:
            _bury(report, graveyard)
        raise CommandFailed(Exit.FAILED, f"a rule broke: {report.rule}")


def _shrunk(report: Report) -> Report:
    small = _smallest(report)
    click.echo(f"{len(small.struck)} of {len(report.struck)} faults are needed:")
    for name in small.struck:
        click.echo(f"  {name}")
    return small


def _smallest(report: Report) -> Report:
    return shrink(report, lambda only, steps: run(report.seed, steps, plot=report.plot, only=only))


def _bury(report: Report, graveyard: Path) -> None:
    grave = grave_of(_smallest(report))
    path = graveyard / grave.file_name
    path.write_text(write_grave(grave))
    click.echo(f"  kept in {path}")
