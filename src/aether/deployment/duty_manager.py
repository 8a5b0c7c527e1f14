"""The leader's loop over duties: an emptied node is DECOMMISSIONED, a node that was started again begins anew.

Knows: the watch, the fence.
Never: decides (duties does); moves instances.
Holds: level-triggered; a deposed leader's batch is refused; a word that an operator changed meanwhile stands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NoReturn

import trio

from aether.deployment.duties import Moved, decide_duties
from aether.errors import OutcomeUnknown, Rejected, TryAgain
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.commands import Batch, Change, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.limits import RECONCILE_FLOOR_S
from aether.model.rows import LeadershipRow

_log = logging.getLogger("aether.deployment")


class DutyManager:
    """Runs on every node, acts only while `kv.leadership` is this node's. wall  seconds since the epoch"""

    def __init__(self, kv: KvService, *, wall: Callable[[], float]) -> None:
        self._kv = kv
        self._wall = wall
        self._said = CachedRows(kv, keys.DUTIES)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled. Raises only what is a bug."""
        watched = (keys.DUTIES, keys.INSTANCES, keys.MEMBERS, keys.leadership.text)
        async with self._kv.watch(*watched) as watch:
            task_status.started()
            while True:
                fence = self._kv.leadership
                if fence is not None and self._said.look():
                    try:
                        await self._turn(fence)
                    except (TryAgain, OutcomeUnknown, Rejected) as error:
                        _log.info("duties stay as they are for now: %s", error)
                with trio.move_on_after(RECONCILE_FLOOR_S):
                    await watch.changed()

    async def _turn(self, fence: LeadershipRow) -> None:
        members = {row.node: row for row in self._kv.rows(keys.MEMBERS)}
        moves = list(decide_duties(self._said.look(), members, self._kv.rows(keys.INSTANCES), self._wall()))
        decided = [(move, keys.duty(move.node), self._kv.version(keys.duty(move.node))) for move in moves]
        for move, key, version in decided:
            change: Change = Delete(key) if move.row is None else Put(key, move.row)
            if (await self._kv.propose(Batch((Compare(key, version),), (change,)), fence=fence)).applied:
                _log.info("%s", _said(move))


def _said(move: Moved) -> str:
    if move.row is None:
        return f"{move.node} was started again: what it was told before is void"
    return f"{move.node} is {move.row.duty}: nothing runs there any more"
