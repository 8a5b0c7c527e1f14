"""Waking one task from many places.

Knows: that something happened.
Never: what, how often.
"""

from __future__ import annotations

import trio


class Bell:
    """Wakes one waiting task. Ringing twice before it wakes is ringing once."""

    def __init__(self) -> None:
        self._rung = False
        self._event: trio.Event | None = None

    def ring(self) -> None:
        self._rung = True
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self) -> None:
        """Until rung; always lets other tasks run."""
        if self._rung:
            await trio.lowlevel.checkpoint()
        else:
            self._event = trio.Event()
            await self._event.wait()
        self._rung = False
