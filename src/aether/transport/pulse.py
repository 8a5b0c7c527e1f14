"""A frozen process keeps its connections: its kernel goes on answering. So a living one says something now and then.

Knows: beats, how many of them may pass without a word.
Never: what is said, to whom.
Holds: silence is counted in beats of this process's own loop: while it stands still itself, nobody seems silent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

import trio

from aether.model.limits import PEER_SILENT_S
from aether.transport.counters import Counters

BEAT_S: Final = 1.0
BEATS_MAX: Final = round(PEER_SILENT_S / BEAT_S)


async def beat(say: Callable[[], None]) -> NoReturn:
    """Call `say` once a beat, until cancelled."""
    while True:
        await trio.sleep(BEAT_S)
        say()


class Listener:
    """heard  to be set by whoever reads, whenever something comes."""

    def __init__(self) -> None:
        self.heard: bool = True

    async def wait_silent(self) -> None:
        """Return after BEATS_MAX beats in a row without a word."""
        silent_beats = 0
        while silent_beats < BEATS_MAX:
            self.heard = False
            await trio.sleep(BEAT_S)
            silent_beats = 0 if self.heard else silent_beats + 1

    async def end_when_silent(self, scope: trio.CancelScope, counters: Counters) -> None:
        """Cancel `scope` once nothing was heard for too long."""
        await self.wait_silent()
        counters.closed["silent"] += 1
        scope.cancel()
