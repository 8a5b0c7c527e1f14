"""`--watch`: a command that looks, again and again until Ctrl-C.

Knows: redrawing a terminal without flicker; snapshots one below the other in a pipe.
Never: what is looked at.
Holds: a node that is away for a while does not end the watch; what was wrong from the first look on does.
       Ctrl-C ends it as any command, with 130.
"""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, TypeVar, cast

import click

from aether.cli.exits import CommandFailed, Exit
from aether.cli.options import settings, shared

WATCH_S: Final = 2.0
WATCH_S_MIN: Final = 0.2
WATCH_S_MAX: Final = 3_600.0
_PASSING: Final = frozenset({Exit.CANNOT_CONNECT, Exit.TIMED_OUT})

F = TypeVar("F", bound=Callable[..., Any])


def looking(command: F) -> F:
    """Give `command`, which looks and changes nothing, the shared options and `--watch [SECONDS]`."""

    @functools.wraps(command)
    def watched(*arguments: Any, watch_s: float | None, **given: Any) -> Any:
        context = click.get_current_context()
        if watch_s is None or context.invoked_subcommand is not None:
            return command(*arguments, **given)
        here = settings(context)
        return repeat(lambda: command(*arguments, **given), watch_s, titled=here.output == "table")

    option = click.option(
        "--watch",
        "watch_s",
        is_flag=False,
        flag_value=WATCH_S,
        type=click.FloatRange(WATCH_S_MIN, WATCH_S_MAX),
        default=None,
        metavar="[SECONDS]",
        help=f"Look again every so often, until Ctrl-C [{WATCH_S:g} s].",
    )
    return option(shared(cast("F", watched)))


def repeat(
    look: Callable[[], object], interval_s: float, *, titled: bool, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Print what `look` prints, every `interval_s`, until it raises. titled  each time after a line with the time"""
    live = sys.stdout.isatty()
    seen = False
    while True:
        text, color = _printed(look, passing=seen)
        title = f"# {datetime.now().astimezone().isoformat(' ', 'seconds')}\n" if titled else ""
        if live:
            sys.stdout.write(redrawn(title + text, shutil.get_terminal_size().lines, first=not seen))
        else:
            click.echo(title + text, nl=False, color=color)
        sys.stdout.flush()
        seen = True
        sleep(interval_s)


class _Captured(io.StringIO):
    """Looks like the output that it stands for, so that colours and tables are what they would be there."""

    def __init__(self, stands_for: Any) -> None:
        super().__init__()
        self._live = stands_for.isatty()
        self._encoding = stands_for.encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a StringIO has none
        return str(self._encoding)

    def isatty(self) -> bool:
        return bool(self._live)


def _printed(look: Callable[[], object], *, passing: bool) -> tuple[str, bool]:
    """What one look printed, its own last word included; whether it has colours."""
    out = _Captured(sys.stdout)
    with contextlib.redirect_stdout(out):
        try:
            look()
        except click.exceptions.Exit:
            pass  # an exit code for scripts, such as of `health`; what it means was printed
        except CommandFailed as failed:
            if not passing or failed.code not in _PASSING:
                raise
            click.echo(f"aether: {failed.message}; looking again")
    return out.getvalue(), out.isatty()


def redrawn(text: str, height: int, *, first: bool) -> str:
    """What turns a terminal of `height` lines, which shows the snapshot before, into one that shows `text`."""
    lines = text.splitlines()
    if len(lines) > height - 1:
        left = len(lines) - (height - 2)
        lines = [*lines[: max(height - 2, 0)], f"... {left} more lines"]
    return ("\x1b[2J" if first else "") + "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"
