"""Letting slices sleep that nobody calls: each node says what is idle on it, the leader draws the conclusion.

Knows: how often the instances of this node are looked at, the fence.
Never: decides (sleeping does); counts calls itself (hosting does); wakes for a call (waking_manager).
Holds: a row says that its instance is idle, or no longer, once for each change; what the leader writes stands on the
       rows that said so, and a call that is served meanwhile is served to its end: its instance drains.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NoReturn

import trio

from aether.deployment.sleep_writes import batch_of, instance_key, on_versions
from aether.deployment.sleeping import Quiet, decide_sleepers, idle_s, looked, may_sleep, noted
from aether.errors import Conflict, OutcomeUnknown, TryAgain
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import IDLE_LOOK_S_MAX, IDLE_LOOK_S_MIN
from aether.model.rows import DesiredRow, InstanceRow, LeadershipRow

_log = logging.getLogger("aether.deployment")

_WRITES_PER_BATCH = 100


class SleepManager:
    """Runs on every node, and decides while `kv.leadership` is this node's.

    usage  calls that run in an instance of this node now, and how often one asked for it so far
    """

    def __init__(
        self,
        node: NodeId,
        incarnation: Incarnation,
        kv: KvService,
        usage: Callable[[InstanceId], tuple[int, int] | None],
        *,
        wall: Callable[[], float],
    ) -> None:
        self._node = node
        self._incarnation = incarnation
        self._kv = kv
        self._usage = usage
        self._wall = wall
        self._quiet: dict[InstanceId, Quiet] = {}
        self._desired = CachedRows(kv, keys.DESIRED)
        self._instances = CachedRows(kv, keys.INSTANCES)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled. `started()` once it watches the store."""
        async with self._kv.watch(keys.INSTANCES, keys.DESIRED, keys.OVERRIDES, keys.leadership.text) as watch:
            task_status.started()
            while True:
                pause_s = await self._turn()
                with trio.move_on_after(pause_s):
                    await watch.changed()
                await trio.sleep(IDLE_LOOK_S_MIN)  # a storm of changes is one look

    async def _turn(self) -> float:
        """Look, say, decide. Returns after how many seconds to look again when nothing changes."""
        sleepers = {row.artifact.base: row for row in self._desired.look() if may_sleep(row)}
        if not sleepers:
            self._quiet.clear()
            return math.inf
        try:
            await self._say(sleepers)
            fence = self._kv.leadership
            if fence is not None:
                await self._let_sleep(fence, sleepers.values())
        except (TryAgain, OutcomeUnknown, Conflict) as error:
            _log.info("what is idle is not written yet: %s", error)
        least_s = min(map(idle_s, sleepers.values()))
        return min(max(least_s / 4, IDLE_LOOK_S_MIN), IDLE_LOOK_S_MAX)

    # --- every node: what is idle here --------------------------------------------------------------------------------

    async def _say(self, sleepers: dict[ArtifactBase, DesiredRow]) -> None:
        quiet: dict[InstanceId, Quiet] = {}
        said: list[InstanceRow] = []
        now, wall = trio.current_time(), self._wall()
        for row in self._instances.look():
            desired = sleepers.get(row.artifact.base)
            usage = self._usage(row.instance) if desired is not None and self._is_serving_here(row) else None
            if desired is None or usage is None:
                continue
            seen = quiet[row.instance] = looked(self._quiet.get(row.instance), *usage, now)
            changed = noted(row, seen, idle_s(desired), now, wall)
            if changed is not None:
                said.append(changed)
        self._quiet = quiet
        parts = [said[start : start + _WRITES_PER_BATCH] for start in range(0, len(said), _WRITES_PER_BATCH)]
        for batch in [on_versions(self._kv, [(instance_key(row), row) for row in part]) for part in parts]:
            await self._kv.propose(batch)

    def _is_serving_here(self, row: InstanceRow) -> bool:
        return row.state is SliceState.ACTIVE and (row.node, row.incarnation) == (self._node, self._incarnation)

    # --- the leader: what follows -------------------------------------------------------------------------------------

    async def _let_sleep(self, fence: LeadershipRow, sleepers: Iterable[DesiredRow]) -> None:
        instances: defaultdict[ArtifactBase, list[InstanceRow]] = defaultdict(list)
        for row in self._instances.look():
            instances[row.artifact.base].append(row)
        overrides = {row.artifact: row for row in self._kv.rows(keys.OVERRIDES)}
        routed = {row.artifact for row in self._kv.rows(keys.ROUTES)}
        batches = [
            (changed, batch_of(self._kv, changed))
            for changed in decide_sleepers(sleepers, instances, overrides, routed, self._wall())
        ]
        for changed, batch in batches:  # each on the rows as they were when it was decided
            result = await self._kv.propose(batch, fence=fence)
            if result.applied:
                count, why = changed.desired.instances, changed.override.reason
                _log.info("%s %s: %s", changed.desired.artifact.base, "wakes" if count else "sleeps", why)
