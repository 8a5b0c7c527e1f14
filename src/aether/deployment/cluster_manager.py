"""The leader's loop: look at everything, decide, write fenced batches; again when anything changed.

Knows: the watch, the fence, when a silent member counts as lost.
Never: decides (reconcile does); hosts.
Holds: level-triggered: a lost wake-up costs RECONCILE_FLOOR_S, nothing else; a deposed leader's batch is refused;
       an order is written only on the rows that it was decided on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

import attrs
import trio

from aether.deployment.duties import duties_of, forced_drains
from aether.deployment.orders import Assign, DropRoutes, Forget, Move, Order, Unsatisfied, View
from aether.deployment.placement import Placement, spread
from aether.deployment.reconcile import reconcile
from aether.deployment.settling import settle_overrides
from aether.errors import OutcomeUnknown, TryAgain
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.commands import Batch, Compare, Delete, Put
from aether.kv.keys import Key
from aether.kv.service import KvService
from aether.model.ids import Incarnation, InstanceId, NodeId, Revision
from aether.model.limits import MEMBER_LOST_S, RECONCILE_FLOOR_S
from aether.model.rows import InstanceRow, LeadershipRow, MemberRow

_log = logging.getLogger("aether.deployment")

_ORDERS_PER_BATCH: Final = 200  # each costs up to three operations, and about half a kilobyte
_YIELD_S: Final = 0.005
_GATHER_S_MAX: Final = 0.1

Change = Put[Any] | Delete[Any]
T = TypeVar("T")


class ClusterDeploymentManager:
    """Runs on every node, acts only while `kv.leadership` is this node's.

    live      the members that answer right now, this node included, each with its incarnation
    wall      wall-clock seconds; new_id  a fresh instance id
    floor_s   look again at least this often
    lost_s    a member that this node has not heard of for so long hosts nothing any more. Followers watch too, so that
              a new leader knows at once whom the old one was waiting for
    """

    def __init__(
        self,
        kv: KvService,
        live: Callable[[], Mapping[NodeId, Incarnation]],
        *,
        wall: Callable[[], float],
        new_id: Callable[[], InstanceId],
        placement: Placement = spread,
        floor_s: float = RECONCILE_FLOOR_S,
        lost_s: float = MEMBER_LOST_S,
    ) -> None:
        self._kv = kv
        self._live = live
        self._wall = wall
        self._new_id = new_id
        self._placement = placement
        self._floor_s = floor_s
        self._lost_s = lost_s
        self._silent_since: dict[NodeId, float] = {}
        self._woken = trio.Event()
        self._desired = CachedRows(kv, keys.DESIRED)
        self._instances = CachedRows(kv, keys.INSTANCES)
        self._members = CachedRows(kv, keys.MEMBERS)
        self._duties = CachedRows(kv, keys.DUTIES)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled. Raises only what is a bug: a store without quorum is waited for."""
        prefixes = (keys.DESIRED, keys.INSTANCES, keys.MEMBERS, keys.ROUTES, keys.DUTIES, keys.leadership.text)
        async with self._kv.watch(*prefixes) as watch, trio.open_nursery() as nursery:
            nursery.start_soon(self._forward, watch.changed)
            task_status.started()
            while True:
                self._woken = woken = trio.Event()
                began = trio.current_time()
                pause_s = await self._turn()
                # Under a storm of changes look half of the time at most: what piles up is decided at once.
                await trio.sleep(min(trio.current_time() - began, _GATHER_S_MAX))
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
        members, suspect = self._observe()
        fence = self._kv.leadership
        if fence is not None:
            try:
                await self._act(fence, members, suspect)
            except (TryAgain, OutcomeUnknown) as error:
                _log.info("orders not written: %s", error)
        return self._pause_s()

    def _observe(self) -> tuple[dict[NodeId, MemberRow], frozenset[NodeId]]:
        """The members that are not lost, and those of them that are silent."""
        now, live = trio.current_time(), self._live()
        members: dict[NodeId, MemberRow] = {}
        silent: dict[NodeId, float] = {}
        for row in self._members.look():
            incarnation = live.get(row.node)
            if incarnation is None:
                since = silent[row.node] = self._silent_since.get(row.node, now)
                if now - since < self._lost_s:
                    members[row.node] = row
            elif incarnation == row.incarnation:
                members[row.node] = row
            # Else it was started anew and its row is still to come: what the old process hosted is lost at once.
        self._silent_since = silent
        return members, frozenset(silent.keys() & members.keys())

    def _pause_s(self) -> float:
        now = trio.current_time()
        ends = [since + self._lost_s - now for since in self._silent_since.values()]
        return min([self._floor_s, *(end for end in ends if end > 0)])

    async def _act(self, fence: LeadershipRow, members: Mapping[NodeId, MemberRow], suspect: frozenset[NodeId]) -> None:
        await settle_overrides(self._kv, self._desired.look(), fence, self._wall())
        seen, said = self._kv.revision, self._duties.look()
        view = View(
            desired={row.artifact.base: row for row in self._desired.look()},
            instances=self._instances.look(),
            members=members,
            suspect=suspect,
            routes=frozenset(row.artifact for row in self._kv.rows(keys.ROUTES)),
            duties=duties_of(members.values(), said),
            forced=forced_drains(said),
            now=self._wall(),
        )
        orders = await self._decide(view)
        for part in _parts(orders, _ORDERS_PER_BATCH):
            await self._write(fence, part, seen)
        await self._report(fence, [o for o in orders if isinstance(o, Unsatisfied)])

    async def _decide(self, view: View) -> list[Order]:
        orders: list[Order] = []
        yield_at = trio.current_time() + _YIELD_S
        for part in reconcile(view, self._new_id, self._placement):
            orders += part
            if trio.current_time() >= yield_at:
                await trio.lowlevel.checkpoint()
                yield_at = trio.current_time() + _YIELD_S
        return orders

    # --- writing --------------------------------------------------------------------------------------------------

    async def _write(self, fence: LeadershipRow, orders: Sequence[Order], seen: Revision) -> None:
        compares: dict[str, Compare[Any]] = {}
        changes: list[Change] = []
        for order in orders:
            for key, absent in _guards(order):
                version = self._kv.version(key)
                if version > seen or (version == 0) != absent:
                    self._woken.set()  # something moved while we decided: decide again
                    return
                compares[key.text] = Compare(key, version)
            changes += _changes(order, self._wall())
        if not changes:
            return
        result = await self._kv.propose(Batch(tuple(compares.values()), tuple(changes)), fence=fence)
        if not result.applied:
            _log.info("orders not written: %s changed meanwhile", result.conflict)
            self._woken.set()
            return
        for order in orders:
            if not isinstance(order, Unsatisfied):
                _log.info("order: %s", order)

    async def _report(self, fence: LeadershipRow, shortages: Sequence[Unsatisfied]) -> None:
        """Make the unsatisfied rows say what is short now; a row is written only when it changes."""
        known = {row.artifact: row for row in self._kv.rows(keys.UNSATISFIED)}
        wanted = {shortage.row.artifact: shortage.row for shortage in shortages}
        changes: list[Change] = [Delete(keys.unsatisfied(base)) for base in sorted(known.keys() - wanted.keys())]
        for base, row in sorted(wanted.items()):
            if known.get(base) != row:
                changes.append(Put(keys.unsatisfied(base), row))
                _log.warning("%d of %s cannot be placed: %s", row.missing, base, row.reason)
        for part in _parts(changes, _ORDERS_PER_BATCH):
            await self._kv.propose(Batch((), part), fence=fence)


def _guards(order: Order) -> Iterator[tuple[Key[Any], bool]]:
    """The rows on which `order` was decided, each with whether it must be absent."""
    match order:
        case Assign(row):
            yield _key(row), True
            yield keys.desired(row.artifact.base), False
        case Move(row) | Forget(row):
            yield _key(row), False
        case DropRoutes(base):
            yield keys.routes(base), False
            yield keys.desired(base), True
        case Unsatisfied():
            pass


def _changes(order: Order, wall_s: float) -> Iterator[Change]:
    match order:
        case Assign(row):
            yield Put(_key(row), row)
        case Move(row, to):
            yield Put(_key(row), attrs.evolve(row, state=to, since=wall_s, reason=""))
        case Forget(row):
            yield Delete(_key(row))
        case DropRoutes(base):
            yield Delete(keys.routes(base))
        case Unsatisfied():
            pass


def _key(row: InstanceRow) -> Key[InstanceRow]:
    return keys.instance(row.artifact.base, row.instance)


def _parts(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    yield from (tuple(items[start : start + size]) for start in range(0, len(items), size))
