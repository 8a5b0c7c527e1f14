"""How far a change has come, while a command waits for it: a bar on a terminal, else a line whenever something moved.

Knows: what /slices/status says of wanted and ACTIVE instances; rich when it is installed.
Never: asking for the change. What it prints goes to the standard error: the answer stands alone on the standard output.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Protocol

import attrs
import click

FIRST_S: Final = 0.7
"""A change that is through by then shows nothing."""
AGAIN_S: Final = 1.0
NAMED_MAX: Final = 3


@attrs.frozen
class Standing:
    """Instances that are ACTIVE of those that are wanted; waiting  what is missing, in words"""

    active: int
    wanted: int
    waiting: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        return not self.waiting

    def __str__(self) -> str:
        named = "; ".join(self.waiting[:NAMED_MAX])
        more = len(self.waiting) - NAMED_MAX
        return f"{self.active} of {self.wanted} instances ACTIVE" + (
            f"; {named}{f'; and {more} more' if more > 0 else ''}" if named else ""
        )


def standing(answer: Any, artifact: str = "") -> Standing:
    """Of /slices/status. artifact  only this slice (group:artifact, with or without a version); "" = all"""
    base = ":".join(artifact.split(":")[:2])
    rows = [each for each in answer["slices"] if not base or each["artifact"].startswith(f"{base}:")]
    waiting = tuple(_missing(each) for each in rows if each["activeInstances"] < each["desiredInstances"])
    return Standing(sum(r["activeInstances"] for r in rows), sum(r["desiredInstances"] for r in rows), waiting)


def _missing(row: Any) -> str:
    states = Counter(str(each["state"]) for each in row["instances"] if each["state"] != "ACTIVE")
    said = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "nothing placed yet"
    return f"{row['artifact']} {row['activeInstances']}/{row['desiredInstances']} ({said})"


class Display(Protocol):
    def update(self, now: Standing) -> None: ...


@attrs.define
class Lines:
    """One line for each standing that differs from the one before."""

    _last: Standing | None = None

    def update(self, now: Standing) -> None:
        if now != self._last:
            click.echo(str(now), err=True)
        self._last = now


@contextlib.contextmanager
def displayed(*, color: bool = True) -> Generator[Display]:
    """A bar where rich and the terminal allow it, else lines. It is gone when the block ends."""
    if sys.stderr.isatty():
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        except ImportError:
            pass  # without the extra, lines
        else:
            columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
            console = Console(stderr=True, no_color=not color)
            with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
                task = progress.add_task("", total=None)

                class Bar:
                    def update(self, now: Standing) -> None:
                        total = max(now.wanted, 1)
                        progress.update(task, total=total, completed=now.active, description=str(now), refresh=True)

                yield Bar()
                return
    yield Lines()


async def follow(ask: Callable[[], Awaitable[Any]], artifact: str, *, color: bool) -> None:
    """Show how far it is, again and again, until cancelled. ask  gets /slices/status; None = no answer this time"""
    import trio

    await trio.sleep(FIRST_S)
    with displayed(color=color) as display:
        while True:
            answer = await ask()
            if answer is not None:
                with contextlib.suppress(LookupError, TypeError):  # a node of another release answers otherwise
                    display.update(standing(answer, artifact))
            await trio.sleep(AGAIN_S)
