"""One log of several nodes, progress, signals: coloured on a terminal, plain lines in a pipe.

Knows: ANSI colours that colour-blind readers can tell apart, NO_COLOR, which signals end a command.
Never: what the nodes do.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import attrs
import click
import trio

from aether.cli.options import colors_welcome
from aether.forge.load import OrderOutcome

COLORS = ("bright_blue", "yellow", "bright_cyan", "bright_magenta", "white", "bright_yellow")  # no red-green pair
PROGRESS_S = 1.0
SETTLE_S = 0.01


def styled(text: str, *, fg: str | None = None, bold: bool | None = None, dim: bool | None = None) -> str:
    """`text` in a colour, unless NO_COLOR is set; click takes colours out again when the output is no terminal."""
    return click.style(text, fg=fg, bold=bold, dim=dim) if colors_welcome() else text


@asynccontextmanager
async def ended_by_signals() -> AsyncGenerator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the block as KeyboardInterrupt; inside, all is cleaned up first.

    Later signals wait until the clean-up is done: a second Ctrl-C must not leave processes behind.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_interrupt, signals)
                yield
                nursery.cancel_scope.cancel()
        finally:  # what came meanwhile is answered; left unread, it would be delivered once more
            with trio.move_on_after(SETTLE_S, shield=True):
                async for _ in signals:
                    pass


async def _interrupt(signals: AsyncIterator[int]) -> None:
    async for _ in signals:
        raise KeyboardInterrupt


def node_log(nodes: Sequence[str], write: Callable[[str], None] = click.echo) -> Callable[[str, str], None]:
    """A function that prints `node | line`, each node in its own colour when the output is a terminal."""
    width = max(map(len, nodes))
    colors = {node: COLORS[n % len(COLORS)] for n, node in enumerate(nodes)}

    def log(node: str, line: str) -> None:
        write(f"{styled(node.ljust(width), fg=colors[node])} | {line}")

    return log


@attrs.define
class ProgressLines:
    """A Display of the demo: steps with the time since start, a line of progress once a second.

    verbose  also prints what the nodes log; otherwise only their warnings and errors
    """

    verbose: bool = False
    _began: float = attrs.field(factory=time.monotonic, init=False)
    _last: float = attrs.field(default=0.0, init=False)
    _live: bool = attrs.field(factory=lambda: sys.stdout.isatty(), init=False)
    _open: bool = attrs.field(default=False, init=False)

    def step(self, text: str) -> None:
        self._close()
        click.echo(f"{styled(f'{self._now():6.1f} s', dim=True)}  {text}")

    def progress(self, outcomes: Sequence[OrderOutcome], total: int) -> None:
        now = self._now()
        if now - self._last < (0.1 if self._live else PROGRESS_S) and len(outcomes) < total:
            return
        self._last = now
        placed = sum(o.placed for o in outcomes)
        failed = sum(o.failed for o in outcomes)
        text = f"{now:6.1f} s  {len(outcomes):5d} of {total} orders answered, {placed} placed, {failed} failed"
        if self._live:
            click.echo(f"\r{text}", nl=False)
            self._open = True
        else:
            click.echo(text)

    def log(self, node: str, line: str) -> None:
        if self.verbose:
            self._close()
            click.echo(f"{node} | {line}")

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _close(self) -> None:
        if self._open:
            click.echo()
            self._open = False
