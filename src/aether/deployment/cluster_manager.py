"""The leader's loop: look at everything, decide, write fenced batches; again when anything changed.

Knows: the watch, the fence, when a silent member counts as lost.
Never: decides (reconcile does); hosts.
Holds: level-triggered: a lost wake-up costs RECONCILE_FLOOR_S, nothing else; a deposed leader's batch is refused;
       an order is written only on the rows that it was decided on. What could not be written is decided anew, at once
       and then ever more rarely, and keeps orders for other slices from nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

import attrs
import trio

from aether.deployment.duties import duties_of
from aether.deployment.guarded import PlacementFailed
from aether.deployment.leases import Leases
from aether.deployment.order_changes import base_of, changes_of, guards
from aether.deployment.orders import Order, Unsatisfied, View
from aether.deployment.placement import Placement, spread
from aether.deployment.presence import Presence, Present
from aether.deployment.reconcile import reconcile
from aether.deployment.settling import settle_overrides
from aether.deployment.sight import Rows, Sight
from aether.deployment.strategies import Strategies
from aether.errors import OutcomeUnknown, Rejected, TryAgain
from aether.kv import keys
from aether.kv.commands import Batch, BatchResult, Change, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.duty import DutyRow
from aether.model.ids import Incarnation, InstanceId, NodeId, Revision
from aether.model.limits import MEMBER_LOST_S, REBALANCE_AFTER_S, RECONCILE_FLOOR_S, RETRY_BACKOFF_MAX_S
from aether.model.rows import LeadershipRow

_log = logging.getLogger("aether.deployment")

_ORDERS_PER_BATCH: Final = 100  # each costs up to three operations, and about half a kilobyte; one batch is one step
_YIELD_S: Final = 0.005
_GATHER_S_MAX: Final = 0.1
_AGAIN_S_MIN: Final = 0.02

T = TypeVar("T")


@attrs.frozen(eq=False)
class _Settled:
    """What was seen when a decision led to no order: the same again leads to none."""

    fence: LeadershipRow
    rows: Rows
    duties: tuple[DutyRow, ...]
    present: Present
    learners: frozenset[NodeId]
    leased: frozenset[NodeId]

    def is_same(self, other: _Settled | None) -> bool:
        return (
            other is not None
            and self.rows.is_same(other.rows)
            and (self.fence, self.duties, self.present, self.learners, self.leased)
            == (other.fence, other.duties, other.present, other.learners, other.leased)
        )


class ClusterDeploymentManager:
    """Runs on every node, acts only while `kv.leadership` is this node's.

    live      the members that answer right now, this node included, each with its incarnation
    wall      wall-clock seconds; new_id  a fresh instance id
    floor_s   look again at least this often
    lost_s    a member that this node has not heard of for so long hosts nothing any more. Followers watch too, so that
              a new leader knows at once whom the old one was waiting for
    gone      of members that do not answer, those whose host says that no process is there: waited for less long
    voters    of the group; None = every member counts as one
    rebalance_after_s  how long a member must be on duty before instances move to it for the sake of balance; infinity
              turns moving off
    """

    name: str = "reconcile"

    def __init__(
        self,
        kv: KvService,
        live: Callable[[], Mapping[NodeId, Incarnation]],
        *,
        wall: Callable[[], float],
        new_id: Callable[[], InstanceId],
        placement: Placement = spread,
        gone: Callable[[], Collection[NodeId]] = tuple,
        voters: Callable[[], Collection[NodeId]] | None = None,
        floor_s: float = RECONCILE_FLOOR_S,
        lost_s: float = MEMBER_LOST_S,
        rebalance_after_s: float = REBALANCE_AFTER_S,
    ) -> None:
        self._kv = kv
        self._live = live
        self._wall = wall
        self._new_id = new_id
        self._placement = placement
        self._gone = gone
        self._voters = voters
        self._floor_s = floor_s
        self._presence = Presence(lost_s, rebalance_after_s)
        self._leases = Leases()
        self._sight = Sight(kv)
        self._strategies = Strategies()
        self._replaced: set[str] = set()
        self._settled: _Settled | None = None
        self._woken = trio.Event()
        self._written_s = 0.0  # what this turn waited for the majority
        self._unfit = False  # whether some order of this turn could not be written
        self._unfit_turns = 0  # one after the other

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled. Raises only what is a bug: a store without quorum is waited for."""
        prefixes = (keys.DESIRED, keys.INSTANCES, keys.MEMBERS, keys.DUTIES, keys.ROUTES, keys.leadership.text)
        async with self._kv.watch(*prefixes) as watch, trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, watch.changed)
            task_status.started()
            while True:
                self._woken = woken = trio.Event()
                self._written_s, began = 0.0, trio.current_time()
                pause_s = await self._turn()
                # Under a storm of changes decide half of the time at most: what piles up is decided at once. It piles
                # up as well while this waits for its own writes, and whoever waits for the next order waits no longer.
                decided_s = trio.current_time() - began - self._written_s
                await trio.sleep(min(decided_s, _GATHER_S_MAX))
                with trio.move_on_after(pause_s):
                    await woken.wait()

    def members_changed(self) -> None:
        """The set of live members may have changed: look again now. Never blocks."""
        self._woken.set()

    async def _forward(self, changed: Callable[[], Any]) -> NoReturn:
        while True:
            await changed()
            self._woken.set()

    # --- one turn -------------------------------------------------------------------------------------------------

    async def _turn(self) -> float:
        """Look, decide, write. Returns after how many seconds to look again when nothing wakes."""
        await self._in_steps(self._sight.catch_up())
        members = self._sight.members()
        duties = duties_of(members, self._sight.duties())
        present = self._presence.look(members, self._live(), duties, trio.current_time(), self._gone())
        fence = self._kv.leadership
        if fence is None:
            self._settled = None
        else:
            try:
                await self._act(fence, present)
            except (TryAgain, OutcomeUnknown, Rejected) as error:
                _log.info("orders not written: %s", error)
        now = trio.current_time()
        pauses = (self._presence.pause_s(now), self._leases.pause_s(now), self._again_s())
        return min([self._floor_s, *(pause_s for pause_s in pauses if pause_s is not None)])

    def _again_s(self) -> float | None:
        """After how long to decide again about orders that could not be written."""
        self._unfit_turns = self._unfit_turns + 1 if self._unfit else 0
        self._unfit = False
        if self._unfit_turns < 2:  # something moved while we decided, most likely
            return 0.0 if self._unfit_turns else None
        return float(min(_AGAIN_S_MIN * 2 ** min(self._unfit_turns - 2, 30), RETRY_BACKOFF_MAX_S))

    async def _act(self, fence: LeadershipRow, present: Present) -> None:
        await settle_overrides(self._kv, self._sight.desired(), fence, self._wall())
        seen, rows = self._kv.revision, self._sight.rows()
        learners = frozenset(present.members.keys() - self._voters() if self._voters is not None else ())
        leased = self._leases.look(rows.instances, self._live(), fence, trio.current_time())
        now = _Settled(fence, rows, self._sight.duties(), present, learners, leased)
        if now.is_same(self._settled):
            return
        self._settled = None
        view = self._sight.view(rows, present, learners, leased, self._wall())
        await trio.lowlevel.checkpoint()  # not before: what was seen and its revision belong together
        orders = await self._decide(view)
        done = [order for order in orders if not isinstance(order, Unsatisfied)]
        for part in _parts(done, _ORDERS_PER_BATCH):
            await self._write(fence, part, seen)
        await self._report(fence, [order for order in orders if isinstance(order, Unsatisfied)])
        if not done and not view.failed_at:
            self._settled = now

    async def _decide(self, view: View) -> list[Order]:
        orders: list[Order] = []
        strategies = self._strategies.of(row.placing.strategy for row in view.desired.values())
        parts = reconcile(view, self._new_id, self._placement, strategies, self._tell_replaced)
        await self._in_steps(gathered(parts, orders))
        return orders

    def _tell_replaced(self, error: PlacementFailed) -> None:
        """Once for each strategy: where it places nothing, the rows of what is short say the rest."""
        if error.name not in self._replaced:
            self._replaced.add(error.name)
            _log.warning("spread chooses which instances go: %s", error)

    async def _in_steps(self, steps: Iterable[object]) -> None:
        """To the end of `steps`, giving way whenever they have held the loop for a while."""
        yield_at = trio.current_time() + _YIELD_S
        for _ in steps:
            if trio.current_time() >= yield_at:
                await trio.lowlevel.checkpoint()
                yield_at = trio.current_time() + _YIELD_S

    # --- writing --------------------------------------------------------------------------------------------------

    async def _write(self, fence: LeadershipRow, orders: Sequence[Order], seen: Revision) -> None:
        """The orders of all slices but those of which one does not fit any more."""
        unfit = {base_of(order) for order in orders if not self._fits(order, seen)}
        self._unfit |= bool(unfit)
        compares: dict[str, Compare[Any]] = {}
        changes: list[Change] = []
        for order in orders:
            if base_of(order) not in unfit:
                compares.update((key.text, Compare(key, self._kv.version(key))) for key, _ in guards(order))
                changes += changes_of(order, self._wall())
        if not changes:
            return
        result = await self._proposed(Batch(tuple(compares.values()), tuple(changes)), fence)
        if not result.applied:
            _log.info("orders not written: %s changed meanwhile", result.conflict)
            self._unfit = True
            return
        for order in orders:
            if base_of(order) not in unfit:
                _log.info("order: %s", order)

    def _fits(self, order: Order, seen: Revision) -> bool:
        """Whether the rows that it was decided on stand as they did."""
        versions = ((self._kv.version(key), exists) for key, exists in guards(order))
        return all(version <= seen and exists in (None, version > 0) for version, exists in versions)

    async def _report(self, fence: LeadershipRow, shortages: Sequence[Unsatisfied]) -> None:
        """Make the unsatisfied rows say what is short now; a row is written only when it changes."""
        known = self._sight.unsatisfied()
        wanted = {shortage.row.artifact: shortage.row for shortage in shortages}
        changes: list[Change] = [Delete(keys.unsatisfied(base)) for base in sorted(known.keys() - wanted.keys())]
        for base, row in sorted(wanted.items()):
            if known.get(base) != row:
                changes.append(Put(keys.unsatisfied(base), row))
                _log.warning("%d of %s cannot be placed: %s", row.missing, base, row.reason)
        for part in _parts(changes, _ORDERS_PER_BATCH):
            await self._proposed(Batch((), part), fence)

    async def _proposed(self, batch: Batch, fence: LeadershipRow) -> BatchResult:
        began = trio.current_time()
        try:
            return await self._kv.propose(batch, fence=fence)
        finally:
            self._written_s += trio.current_time() - began


def gathered(parts: Iterable[tuple[Order, ...]], orders: list[Order]) -> Iterator[None]:
    """The parts of a decision, one at each step, put into `orders`."""
    for part in parts:
        orders += part
        yield


def _parts(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    yield from (tuple(items[start : start + size]) for start in range(0, len(items), size))
