"""How many requests each minute of the cluster saw refused.

Knows: what this node refused since it counted last.
Never: who was refused (denials.py), for what.
Holds: however many requests are refused, a node writes at most one batch a minute about them, and no line of log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

import trio

from aether.errors import AetherError
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.service import KvService
from aether.model.access import DenialsRow
from aether.model.limits import DENIALS_COUNT_S
from aether.security.denials import Denials

_TRIES_MAX: Final = 4


class DenialsManager:
    """Of one node. wall  seconds since the epoch"""

    def __init__(self, kv: KvService, denials: Denials, wall: Callable[[], float]) -> None:
        self._kv = kv
        self._denials = denials
        self._wall = wall

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled."""
        task_status.started()
        while True:
            await trio.sleep(DENIALS_COUNT_S)
            if self._denials.uncounted:
                await self._count()

    async def _count(self) -> None:
        """Add this node's to the row of the minute. What cannot be written now is counted a minute later."""
        count, minute = self._denials.uncounted, max(1, int(self._wall() // 60))
        key = keys.denials(minute)
        for _ in range(_TRIES_MAX):
            known = self._kv.get(key)
            row = DenialsRow(minute=minute, count=count + (known.count if known is not None else 0))
            batch = Batch((Compare(key, self._kv.version(key)),), (Put(key, row),))
            try:
                if (await self._kv.propose(batch)).applied:
                    self._denials.counted(count)
                    return
            except AetherError:  # no quorum, or nobody knows: said where changes are asked for
                return
