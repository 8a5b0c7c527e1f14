"""Keeps the rows of the audit, and the counts of refusals, from growing without end.

Knows: how many of each are kept.
Never: what they say.
Holds: the leader alone deletes, the oldest first; a batch never deletes more than it may hold.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import trio

from aether.errors import AetherError
from aether.kv import keys
from aether.kv.commands import Batch, Delete
from aether.kv.key_kinds import Prefix
from aether.kv.service import KvService
from aether.model.limits import AUDIT_ROWS_MAX, AUDIT_TRIM_S, BATCH_OPERATIONS_MAX, DENIAL_MINUTES_MAX

_log = logging.getLogger("aether.security")

KEPT: Final[tuple[tuple[Prefix[Any], int], ...]] = ((keys.AUDIT, AUDIT_ROWS_MAX), (keys.DENIALS, DENIAL_MINUTES_MAX))


class AuditManager:
    """Of one node; acts while it leads."""

    def __init__(self, kv: KvService) -> None:
        self._kv = kv

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled."""
        async with self._kv.watch(*(prefix for prefix, _ in KEPT)) as watch:
            task_status.started()
            while True:
                await self._trim()
                await trio.sleep(AUDIT_TRIM_S)
                await watch.changed()

    async def _trim(self) -> None:
        fence = self._kv.leadership
        if fence is None:
            return
        surplus = tuple(self._surplus())[: BATCH_OPERATIONS_MAX // 2]
        if not surplus:
            return
        try:
            await self._kv.propose(Batch((), surplus), fence=fence)
        except AetherError as error:
            _log.debug("old rows of the audit stay for now: %s", error)

    def _surplus(self) -> Iterator[Delete[Any]]:
        for prefix, kept_max in KEPT:
            texts = [text for text, _, _ in self._kv.scan(prefix)]
            for text in texts[: max(0, len(texts) - kept_max)]:
                yield Delete(keys.parse(text))
