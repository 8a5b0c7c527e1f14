"""Children that nobody waits for: process 1 of a container inherits them, and gives them back to the kernel.

Knows: zombies of this process, how one is waited for.
Never: processes that this one has started and waits for: those are gone long before their second look.
Holds: a child is taken only when it was dead at two looks in a row, LOOK_S apart.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Final, NoReturn

import psutil
import trio

LOOK_S: Final = 5.0
FIRST_PROCESS: Final = 1

Orphan = tuple[int, float]
"""Process id, and when it was started: ids come back."""


def dead_children() -> frozenset[Orphan]:
    """Children of this process that have ended, and that nobody has waited for yet."""
    found: set[Orphan] = set()
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if child.status() == psutil.STATUS_ZOMBIE:
                    found.add((child.pid, child.create_time()))
    return frozenset(found)


def bury(process: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)


async def bury_orphans(
    look_s: float = LOOK_S,
    dead: Callable[[], frozenset[Orphan]] = dead_children,
    bury: Callable[[int], None] = bury,
) -> NoReturn:
    """Until cancelled."""
    before: frozenset[Orphan] = frozenset()
    while True:
        await trio.sleep(look_s)
        now = dead()
        for process, _ in sorted(now & before):
            bury(process)
        before = now - before
