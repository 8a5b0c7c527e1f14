"""The leader's loop over atomic applies: what does not come off goes back to the text before.

Knows: the watch, the fence.
Never: decides (applies does); moves instances or traffic.
Holds: level-triggered: how far an apply is stands in its row, so that any leader goes on from it; a deposed leader's
       batch is refused; an apply that somebody replaced meanwhile is left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import attrs
import trio

from aether.deployment.ages import Ages
from aether.deployment.applies import Next, Verdict, judge_apply
from aether.deployment.blueprint_operator import BlueprintOperator
from aether.errors import OutcomeUnknown, Rejected, TryAgain
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.commands import Batch, Change, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.limits import RECONCILE_FLOOR_S
from aether.model.rows import ApplyRow, ApplyState, LeadershipRow

_log = logging.getLogger("aether.deployment")


class ApplyManager:
    """Runs on every node, acts only while `kv.leadership` is this node's.

    roll_back  an update by its id
    """

    def __init__(
        self,
        kv: KvService,
        blueprints: BlueprintOperator,
        roll_back: Callable[[str], Awaitable[object]],
    ) -> None:
        self._kv = kv
        self._blueprints = blueprints
        self._roll_back = roll_back
        self._ages = Ages()
        self._applies = CachedRows(kv, keys.APPLIES)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled. Raises only what is a bug."""
        watched = (keys.APPLIES, keys.INSTANCES, keys.ROLLOUTS, keys.leadership.text)
        async with self._kv.watch(*watched) as watch:
            task_status.started()
            while True:
                fence, applies = self._kv.leadership, self._applies.look()
                self._ages.look(((row.id, (row.number, row.at)) for row in applies), trio.current_time())
                for row in applies if fence is not None else ():
                    assert fence is not None
                    try:
                        await self._look(row, fence)
                    except (TryAgain, OutcomeUnknown, Rejected) as error:
                        _log.warning("blueprint %s stays as it is for now: %s", row.id, error)
                with trio.move_on_after(RECONCILE_FLOOR_S):
                    await watch.changed()

    async def _look(self, row: ApplyRow, fence: LeadershipRow) -> None:
        key = keys.atomic_apply(row.id)
        compare = Compare(key, self._kv.version(key))
        if self._kv.get(keys.blueprint_current(row.id)) != row.number:
            await self._write(compare, Delete(key), fence)  # a later text is in force, and not this one's to take back
            return
        verdict = judge_apply(
            row,
            {each.artifact.base: each for each in self._kv.rows(keys.DESIRED)},
            self._kv.rows(keys.INSTANCES),
            self._kv.rows(keys.ROLLOUTS),
            self._ages.lasted_s(row.id, trio.current_time()),
        )
        match verdict.next:
            case Next.WAIT:
                pass
            case Next.KEEP:
                await self._write(compare, Delete(key), fence)
            case Next.GIVE_UP:
                _log.warning("blueprint %s:%d goes back: %s", row.id, row.number, verdict.reason)
                given_up = attrs.evolve(row, state=ApplyState.RETURNING, reason=verdict.reason)
                await self._write(compare, Put(key, given_up), fence)
            case Next.STOP_UPDATES:
                await self._stop(verdict)
            case Next.RETURN:
                await self._blueprints.take_back(row, fence)

    async def _stop(self, verdict: Verdict) -> None:
        """Each of them: one that refuses keeps none of the others from turning round."""
        for update in verdict.updates:
            try:
                await self._roll_back(update)
            except Rejected as error:
                _log.warning("update %s goes on for now: %s", update, error)

    async def _write(self, compare: Compare[Any], change: Change, fence: LeadershipRow) -> None:
        await self._kv.propose(Batch((compare,), (change,)), fence=fence)
