"""Many connections that wait for their next request: one descriptor tells which of them have something to read.

Knows: epoll, whom to tell.
Never: HTTP, whose connection it is.
Holds: each looks at what came for it before any task is woken, since most requests are answered in one step; a turn
       that takes long lets other tasks run before it goes on. Where there is no epoll, nothing is watched.
"""

from __future__ import annotations

import select
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, NoReturn

import trio

TURN_S: Final = 0.001  # after so long others have a turn
_EVENTS_MAX: Final = 64  # looked at in one turn


class Ready:
    """Descriptors that are watched. Made by `open_ready`."""

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._looks: dict[int, Callable[[], None]] = {}

    def watch(self, file: int, look: Callable[[], None]) -> None:
        """Call `look`, which never raises and never blocks, whenever there is something to read, until `forget`."""
        self._epoll.register(file, select.EPOLLIN)
        self._looks[file] = look

    def forget(self, file: int) -> None:
        """Watch `file` no more."""
        del self._looks[file]
        self._epoll.unregister(file)

    async def run(self) -> NoReturn:
        """Tell who has something to read, until cancelled."""
        epoll, looks = self._epoll, self._looks
        while True:
            await trio.lowlevel.wait_readable(epoll.fileno())
            until = trio.current_time() + TURN_S
            for file, _ in epoll.poll(0, _EVENTS_MAX):
                if trio.current_time() >= until:  # and goes on with the same ones: else the first of them always win
                    await trio.lowlevel.checkpoint()
                    until = trio.current_time() + TURN_S
                if file in looks:  # not forgotten meanwhile
                    looks[file]()


@asynccontextmanager
async def open_ready() -> AsyncGenerator[Ready | None]:
    """What watches until the block ends; None where the system has no epoll."""
    if sys.platform != "linux":
        yield None
        return
    with select.epoll() as epoll:
        async with trio.open_nursery() as nursery:
            ready = Ready(epoll)
            nursery.start_soon(ready.run)
            try:
                yield ready
            finally:
                nursery.cancel_scope.cancel()
