"""The leader's loop of updates: look, decide one transition of each, write it fenced; again when anything changed.

Knows: the watch, the fence, which nodes have applied what, when the health is asked for.
Never: decides (rollout does); starts or stops instances (reconcile does).
Holds: level-triggered: a lost wake-up costs floor_s; a transition is written only on the rows that it was decided on,
       in one batch, so that the next leader finds either all of it or nothing.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

import trio

from aether.deployment.ages import Ages
from aether.deployment.health_source import HealthSource
from aether.deployment.rollout import decide_rollout, looks_again_s, refused
from aether.deployment.rollout_health import NOBODY_ASKED, RolloutHealth
from aether.deployment.rollout_remains import cleared, orphans
from aether.deployment.rollout_return import decide_return
from aether.deployment.rollout_view import RolloutView
from aether.deployment.rollout_writes import RolloutRows, write_changes, write_start
from aether.errors import OutcomeUnknown, Rejected, TryAgain
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.ids import Incarnation, NodeId
from aether.model.limits import MEMBER_LOST_S, RECONCILE_FLOOR_S
from aether.model.rollout import TERMINAL, RolloutRow, RolloutState
from aether.model.rows import LeadershipRow

_log = logging.getLogger("aether.deployment")
LOOK_S: Final = 0.5  # while nodes or callers are asked: questions may get lost, calls go on
_GATHER_S_MAX: Final = 0.1


class RolloutManager:
    """Runs on every node, acts only while `kv.leadership` is this node's.

    live    the members that answer right now, this node included, each with its incarnation
    wall    wall-clock seconds, which only readers go by; new_id  of an update that leads back to the version before
    health  how the calls to each version went; None = no gate is ever judged
    voters  of the group; None = every member counts as one
    """

    def __init__(
        self,
        kv: KvService,
        live: Callable[[], Mapping[NodeId, Incarnation]],
        *,
        wall: Callable[[], float],
        new_id: Callable[[], str],
        health: HealthSource | None = None,
        voters: Callable[[], Collection[NodeId]] | None = None,
        floor_s: float = RECONCILE_FLOOR_S,
        lost_s: float = MEMBER_LOST_S,
    ) -> None:
        self._kv = kv
        self._live = live
        self._wall = wall
        self._new_id = new_id
        self._health = RolloutHealth(health)
        self._floor_s = floor_s
        self._lost_s = lost_s
        self._seen_at: dict[NodeId, float] = {}
        self._ages = Ages()
        self._pause_s = floor_s
        self._woken = trio.Event()
        self._rollouts = CachedRows(kv, keys.ROLLOUTS)
        self._traffic = CachedRows(kv, keys.TRAFFIC)
        self._members = CachedRows(kv, keys.MEMBERS)
        self._view = RolloutView(kv, live, self._members.look, voters)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled. Raises only what is a bug: a store without quorum is waited for."""
        prefixes = (
            keys.ROLLOUTS, keys.DESIRED, keys.INSTANCES, keys.TRAFFIC, keys.OVERRIDES, keys.leadership.text,
        )  # fmt: skip
        async with self._kv.watch(*prefixes) as watch, trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, watch.changed)
            nursery.start_soon(self._forward, self._kv.heard)
            task_status.started()
            while True:
                self._woken = woken = trio.Event()
                began = trio.current_time()
                self._pause_s = self._floor_s
                await self._turn()
                # Under a storm of changes look half of the time at most: what piles up is decided at once.
                await trio.sleep(min(trio.current_time() - began, _GATHER_S_MAX))
                with trio.move_on_after(self._pause_s):
                    await woken.wait()

    async def _forward(self, changed: Callable[[], Any]) -> NoReturn:
        while True:
            await changed()
            self._woken.set()

    async def _turn(self) -> None:
        """One transition of each update at most."""
        self._observe()
        fence = self._kv.leadership
        by_base: defaultdict[ArtifactBase, list[RolloutRow]] = defaultdict(list)
        for row in self._rollouts.look():
            by_base[row.artifact].append(row)
        under_way = [row for rows in by_base.values() for row in rows if row.state not in TERMINAL]
        if fence is None:
            return
        async with trio.open_nursery() as nursery:
            for base, rows in sorted(by_base.items()):
                nursery.start_soon(self._look_after, fence, base, rows)
            for traffic in orphans(self._traffic.look(), {row.id for row in under_way}):
                nursery.start_soon(self._clear, fence, traffic.artifact, traffic.update)

    async def _look_after(self, fence: LeadershipRow, base: ArtifactBase, rows: Sequence[RolloutRow]) -> None:
        under_way = sorted((r for r in rows if r.state not in TERMINAL), key=lambda r: (r.created_at, r.id))
        try:
            if not under_way:
                await self._return(fence, base, rows)
                return
            for late in under_way[1:]:
                await self._refuse(fence, late, under_way[0])
            await self._step(fence, under_way[0], rows)
        except (TryAgain, OutcomeUnknown, Rejected) as error:
            _log.info("update of %s: not written: %s", base, error)
            self._pause_s = min(self._pause_s, LOOK_S)

    async def _step(self, fence: LeadershipRow, row: RolloutRow, rows: Iterable[RolloutRow]) -> None:
        judgement = await self._health.judge(row)
        at = RolloutRows(self._kv, row)
        if at.row != row:
            self._woken.set()  # it moved while its health was asked for
            return
        now, lasted_s = self._wall(), self._ages.lasted_s(row.id, trio.current_time())
        facts = self._view.facts(row, at, self._to_be_told(), now, judgement, lasted_s)
        changes = decide_rollout(row, facts, now)
        if changes is None:
            is_asked = judgement is not NOBODY_ASKED or not facts.is_applied
            self._pause_s = min(self._pause_s, LOOK_S if is_asked else looks_again_s(row, lasted_s))
            return
        result = await write_changes(self._kv, at, changes, rows, fence, now)
        if not result.applied:
            _log.info("update %s of %s: not written, its rows changed meanwhile", row.id, row.artifact)
        elif changes.row.state is not row.state:
            _log.info("update %s of %s: %s %s", row.id, row.artifact, changes.row.state, changes.row.reason)
        self._woken.set()

    async def _refuse(self, fence: LeadershipRow, row: RolloutRow, first: RolloutRow) -> None:
        """Of two updates that began at once, the later one."""
        at, now = RolloutRows(self._kv, row), self._wall()
        if at.row == row:
            await write_changes(self._kv, at, refused(row, first, now), (), fence, now)

    async def _return(self, fence: LeadershipRow, base: ArtifactBase, rows: Sequence[RolloutRow]) -> None:
        desired = self._kv.get(keys.desired(base))
        if desired is None or not any(row.state is RolloutState.COMPLETED for row in rows):
            return
        standing = self._view.standing(base, desired.artifact.version)
        row = decide_return(self._new_id(), desired, standing, rows, self._view.offered(), self._wall())
        if row is None:
            return
        result = await write_start(self._kv, RolloutRows(self._kv, row), row, fence)
        if result.applied:
            _log.warning("%s %s: every instance failed; back to %s by update %s", base, row.old, row.new, row.id)

    async def _clear(self, fence: LeadershipRow, base: ArtifactBase, update: str) -> None:
        traffic = self._kv.get(keys.traffic(base))
        if traffic is None or traffic.update != update:
            return
        try:
            result = await self._kv.propose(cleared(self._kv, base, self._wall()), fence=fence)
        except (TryAgain, OutcomeUnknown, Rejected) as error:
            _log.info("remains of update %s of %s: not cleared: %s", update, base, error)
            self._pause_s = min(self._pause_s, LOOK_S)
            return
        if result.applied:
            _log.warning("update %s of %s is known no more: the version in force has all instances again", update, base)
        self._woken.set()

    # --- looking --------------------------------------------------------------------------------------------------

    def _observe(self) -> None:
        now = trio.current_time()
        self._seen_at |= dict.fromkeys(self._live(), now)
        self._seen_at = {node: at for node, at in self._seen_at.items() if now - at < self._lost_s}
        self._ages.look(((row.id, (row.state, row.step, row.since)) for row in self._rollouts.look()), now)

    def _to_be_told(self) -> frozenset[NodeId]:
        """Members that may route calls: those that answer, and those silent for too short a time to be lost."""
        return frozenset(row.node for row in self._members.look() if row.node in self._seen_at)
