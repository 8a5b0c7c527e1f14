"""The loop of one node: carry out the orders for its own instances.

Knows: which step follows which order, how long each may take, what to write after it.
Never: decides what should run; touches rows of other nodes or of an earlier incarnation.
Holds: one task per instance; a step shows itself once it lasts for STEP_SHOWN_S: each row is a write of the majority,
       and whoever waits for an instance would wait for all of them. What a step raised stands in the row; an instance
       whose row is gone is stopped, for the leader has given its place away.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Final, NoReturn

import attrs
import trio

from aether.deployment.contact_manager import ContactManager
from aether.deployment.digest import started_with
from aether.deployment.managers import NOT_RUNNING, InstanceHost
from aether.deployment.own_instance_service import OwnInstance
from aether.deployment.reasons import REASON_CHARS_MAX, first_line
from aether.deployment.stages import backoff_s, moved
from aether.errors import Conflict, NotFound, OutcomeUnknown, Rejected, TryAgain
from aether.kv import keys
from aether.kv.cached_rows import CachedRows
from aether.kv.commands import Batch, Change, Compare, Delete, Put
from aether.kv.service import KvService
from aether.model.artifact import Artifact
from aether.model.ids import Incarnation, InstanceId, NodeId
from aether.model.lifecycle import DOWNWARD, TIMEOUTS_S, UPWARD, SliceState
from aether.model.limits import CLEANUP_S, MEMBER_LOST_S, RETRY_BACKOFF_MAX_S, STEP_SHOWN_S
from aether.model.rows import DesiredRow, InstanceRow, RouteRow
from aether.model.serving import wanted_versions, with_version

_log = logging.getLogger("aether.deployment")
S = SliceState

_VERBS: Final = {S.LOADING: "load", S.ACTIVATING: "start", S.DEACTIVATING: "stop", S.UNLOADING: "unload"}
_NO_CONTACT: Final = f"no majority answered for {MEMBER_LOST_S:g} s: stopped, so that another may start"
_WAITS_PAUSE_S: Final = 0.25  # in front of a row that only says what an instance waits for


class NodeDeploymentManager:
    """Owns the instances of one node process.

    host        the room where instances live
    route_row   the routes row of an artifact that is loaded here
    timeouts_s  how long each transitional state may last, where the desired row does not say
    """

    def __init__(
        self,
        node: NodeId,
        incarnation: Incarnation,
        kv: KvService,
        host: InstanceHost,
        route_row: Callable[[Artifact], Awaitable[RouteRow]],
        *,
        wall: Callable[[], float],
        timeouts_s: Mapping[SliceState, float] = TIMEOUTS_S,
    ) -> None:
        self._node = node
        self._incarnation = incarnation
        self._kv = kv
        self._host = host
        self._route_row = route_row
        self._wall = wall
        self._timeouts_s = timeouts_s
        self._locals: dict[InstanceId, OwnInstance] = {}
        self._rows = CachedRows(kv, keys.INSTANCES)
        self._contact = ContactManager(kv.barrier, self._lost_contact)
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled; then instances are left to hosting, which owns them."""
        async with self._kv.watch(keys.INSTANCES, keys.DESIRED) as watch, trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._contact.run)
            task_status.started()
            while True:
                self._look(nursery)
                await watch.changed()

    def instance_crashed(self, instance: InstanceId, error: BaseException) -> None:
        """Hosting reports that a running instance failed by itself. Never blocks."""
        local = self._locals.get(instance)
        if local is not None:
            _log.error("%s of %s crashed", local.instance, local.artifact, exc_info=error)
            local.crash = f"crashed: {first_line(error)}"
            local.running = False  # hosting has ended it
            local.wake()

    def instance_waits(self, instance: InstanceId, reason: str) -> None:
        """Hosting reports what a starting instance waits for ("" = nothing any more). Never blocks."""
        local = self._locals.get(instance)
        if local is not None:
            local.waits_for = reason[:REASON_CHARS_MAX]
            local.wake()

    def _lost_contact(self, instance: InstanceId) -> None:
        """A singleton stops by itself: the majority may have chosen another one, and cannot tell."""
        local = self._locals.get(instance)
        if local is None or self._nursery is None:
            return
        _log.error("%s of %s: %s", local.instance, local.artifact, _NO_CONTACT)
        local.give_up(_NO_CONTACT)
        if local.running:
            local.running = False
            self._nursery.start_soon(self._cut, local)

    async def _cut(self, local: OwnInstance) -> None:
        """End it at once, without a drain; then its row may say so."""
        try:
            await self._host.unload(local.instance)
        except Exception as error:  # noqa: BLE001 - whatever its end raised, it is over
            _log.warning("%s of %s raised at its end", local.instance, local.artifact, exc_info=error)
        local.crash = _NO_CONTACT
        local.wake()

    # --- from rows to tasks ---------------------------------------------------------------------------------------

    def _look(self, nursery: trio.Nursery) -> None:
        rows = {row.instance: row for row in self._rows.look() if self._is_ours(row)}
        for instance, row in rows.items():
            if instance not in self._locals:
                local = self._locals[instance] = OwnInstance(instance, row.artifact)
                nursery.start_soon(self._drive, local)
        for instance, local in self._locals.items():
            current = rows.get(instance)
            if current is None:
                local.give_up("its row is gone")
            elif S.ACTIVATING in (local.during, current.state) and not self._is_wanted(local):
                local.give_up("nobody wants it any more")
            if current is not local.seen:
                local.seen = current
                local.wake()

    def _is_ours(self, row: InstanceRow) -> bool:
        return row.node == self._node and row.incarnation == self._incarnation

    def _desired(self, local: OwnInstance) -> DesiredRow | None:
        return self._kv.get(keys.desired(local.artifact.base))

    def _is_wanted(self, local: OwnInstance, *, to_start: bool = False) -> bool:
        """to_start  without an order: it may have no place any more in a slice that became a singleton."""
        desired, row = self._desired(local), self._row(local)
        if desired is None or (to_start and (row is None or desired.singleton != bool(row.token))):
            return False
        return desired.instances > 0 or (desired.beside is not None and desired.beside_instances > 0)

    def _row(self, local: OwnInstance) -> InstanceRow | None:
        version = self._kv.version(local.key)
        if version != local.version:
            row = self._kv.get(local.key)
            local.row = row if row is not None and self._is_ours(row) else None
            local.version = version
        return local.row

    async def _drive(self, local: OwnInstance) -> None:
        """Follow the orders in the row until it is gone. A transitional state found in it is carried on."""
        while True:
            woken = local.woken
            row = self._row(local)
            if row is None:
                break
            match row.state:
                case S.LOAD:
                    await self._begin(local, S.LOADING)
                case S.LOADING:
                    await self._reach(local, (S.LOADING,), S.LOADED, await self._work(local, S.LOADING))
                case S.ACTIVATE:
                    await self._begin(local, S.ACTIVATING)
                case S.ACTIVATING:
                    await self._reach(local, (S.ACTIVATING,), S.ACTIVE, await self._work(local, S.ACTIVATING))
                case S.DEACTIVATE | S.DEACTIVATING:
                    await self._end(local, S.DEACTIVATING, S.LOADED)
                case S.UNLOAD | S.UNLOADING:
                    await self._end(local, S.UNLOADING, None)
                case S.ACTIVE if local.crash is not None:
                    await self._settle(local, S.ACTIVE, S.FAILED, local.crash)
                case _:
                    await woken.wait()
        await self._clean_up(local)
        self._contact.forget(local.instance)
        del self._locals[local.instance]

    # --- one step -------------------------------------------------------------------------------------------------

    async def _begin(self, local: OwnInstance, during: SliceState) -> None:
        """A load or start that is ordered: done at once, shown only once it lasts; then what came of it, or FAILED."""
        async with self._shown(local, during):
            failure = await self._work(local, during)
            if during is S.LOADING and failure is None and not local.is_shown and self._is_wanted(local, to_start=True):
                local.during = during = S.ACTIVATING
                failure = await self._work(local, during)
        reached = UPWARD.index(during)
        await self._reach(local, UPWARD[: reached + 1], UPWARD[reached + 1], failure)

    async def _end(self, local: OwnInstance, during: SliceState, after: SliceState | None) -> None:
        """As `_begin` for a stop or an unload (None = no row), or both where nobody wants the slice any more."""
        async with self._shown(local, during):
            failure = await self._work(local, during)
            if after is S.LOADED and failure is None and not local.is_shown and not self._is_wanted(local):
                local.during, after = S.UNLOADING, None
                failure = await self._work(local, S.UNLOADING)
        await self._reach(local, DOWNWARD, after, failure)

    async def _reach(
        self, local: OwnInstance, before: Collection[SliceState], after: SliceState | None, failure: str | None
    ) -> None:
        end = S.FAILED if failure is not None else after
        if (row := self._row(local)) is not None and row.state in before:
            await self._settle(local, row.state, end, failure or "", routes=end is S.ACTIVE)

    @asynccontextmanager
    async def _shown(self, local: OwnInstance, during: SliceState) -> AsyncGenerator[None]:
        """While its work is done, `during` comes to stand in the row if that takes a while."""
        local.during, local.is_shown = during, False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show, local, is_over := trio.CancelScope())
            yield
            is_over.cancel()
        local.during = None

    async def _show(self, local: OwnInstance, is_over: trio.CancelScope) -> None:
        """Write what is under way, when it still is a moment later."""
        with is_over:
            await trio.sleep(STEP_SHOWN_S)
            local.is_shown = True
        row = self._row(local)
        if local.is_shown and row is not None and local.during not in (None, row.state):
            await self._settle(local, row.state, local.during)

    async def _work(self, local: OwnInstance, during: SliceState) -> str | None:
        """None, or why it failed."""
        match during:
            case S.LOADING:
                return await self._attempt(local, during, lambda: self._host.load(local.artifact))
            case S.ACTIVATING:
                return await self._activate(local)
            case S.DEACTIVATING:
                return await self._deactivate(local)
            case _:
                return await self._unload(local)

    async def _activate(self, local: OwnInstance) -> str | None:
        row, desired = self._row(local), self._desired(local)
        if row is None or desired is None:
            return "nobody wants it any more"
        local.crash, local.waits_for = None, ""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show_waits, local)
            failure = await self._attempt(local, S.ACTIVATING, lambda: self._start(local, row, desired))
            nursery.cancel_scope.cancel()
        local.running = local.running and failure is None and local.crash is None
        if row.token and not local.running:
            self._contact.forget(local.instance)
        return f"{failure}; it waited for {local.waits_for}" if failure and local.waits_for else failure

    async def _start(self, local: OwnInstance, row: InstanceRow, desired: DesiredRow) -> None:
        local.routes, local.digest = await self._route_row(local.artifact), started_with(desired)
        local.wish = desired
        if row.token:
            await self._contact.keep(local.instance)
        await self._host.activate(row, desired)
        local.running = True  # before anything else runs: contact may be lost while this step comes to its end

    async def _deactivate(self, local: OwnInstance) -> str | None:
        failure = await self._attempt(local, S.DEACTIVATING, lambda: self._stop(local))
        local.running = False
        self._contact.forget(local.instance)
        return failure

    async def _stop(self, local: OwnInstance) -> None:
        try:
            await self._host.deactivate(local.instance)
        except NotFound as error:
            # A draining node stops its instances before the leader asks for it: what is gone needs no stop.
            if error.kind != NOT_RUNNING:
                raise

    async def _unload(self, local: OwnInstance) -> str | None:
        if local.unloads_failed:
            await trio.sleep(backoff_s(local.unloads_failed - 1))
        if local.running:
            stopped = await self._deactivate(local)
            if stopped is not None:
                _log.warning("%s of %s before its unload: %s", local.instance, local.artifact, stopped)
        failure = await self._attempt(local, S.UNLOADING, lambda: self._host.unload(local.instance))
        local.unloaded = failure is None
        local.unloads_failed = 0 if failure is None else local.unloads_failed + 1
        return failure

    async def _attempt(
        self, local: OwnInstance, during: SliceState, work: Callable[[], Awaitable[object]]
    ) -> str | None:
        """Run `work` within its time; None, or why it failed in one line."""
        limit_s = self._limit_s(local, during)
        failure = None
        with trio.move_on_after(limit_s) as scope:
            local.attempt, local.ended = scope, ""
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - whatever user code raises belongs into the row
                failure = first_line(error)
                _log.warning("%s of %s: %s failed", local.instance, local.artifact, _VERBS[during], exc_info=error)
        local.attempt = None
        if scope.cancelled_caught:
            return local.ended or f"{_VERBS[during]} did not finish in {limit_s:g} s"
        return failure

    def _limit_s(self, local: OwnInstance, during: SliceState) -> float:
        """What the desired row says, else the default; a stop has at least the time of its drain, and to clean up."""
        desired = self._desired(local) or local.wish
        if desired is None:
            return self._timeouts_s[during]
        given = desired.timeouts_s.get(during.value.lower())
        if given is not None:
            return given
        drain_s = (desired.drain_s or 0.0) if during is S.DEACTIVATING else 0.0
        return max(self._timeouts_s[during], drain_s + 2 * CLEANUP_S if drain_s else 0.0)

    async def _show_waits(self, local: OwnInstance) -> NoReturn:
        """Keep the reason of an ACTIVATING row at what it waits for."""
        while True:
            woken = local.woken
            row = self._row(local)
            if row is None or row.state is not S.ACTIVATING or row.reason == local.waits_for:
                await woken.wait()
                continue
            reason = local.waits_for
            await trio.sleep(_WAITS_PAUSE_S)  # most waits are over sooner, and not worth a row
            if self._row(local) is row and local.waits_for == reason:
                await self._write(local, attrs.evolve(row, reason=reason))

    async def _clean_up(self, local: OwnInstance) -> None:
        """The row is gone. Usually after its unload; else the leader took this node for lost: stop at once."""
        if local.unloaded:
            return
        _log.warning("%s of %s: its row is gone; stopping it", local.instance, local.artifact)
        if local.running:
            await self._deactivate(local)
        await self._attempt(local, S.UNLOADING, lambda: self._host.unload(local.instance))

    # --- writing --------------------------------------------------------------------------------------------------

    async def _settle(
        self, local: OwnInstance, from_: SliceState, to: SliceState | None, reason: str = "", *, routes: bool = False
    ) -> None:
        """Write `to` (None = delete) until it holds or the row is no longer in `from_`; without quorum, for ever."""
        pause_s = 0.05
        while True:
            row = self._row(local)
            if row is None or row.state is not from_:
                return
            new = None if to is None else moved(row, to, reason, self._wall())
            if new is not None and to is S.ACTIVE:
                new = attrs.evolve(new, digest=local.digest)
            extra = self._routes(local) if routes else ()
            try:
                written = await self._write(local, new, extra)
            except Rejected as error:
                if not extra:
                    raise
                to, reason, routes = S.FAILED, f"what callers may know of it cannot be told: {first_line(error)}", False
                continue
            if written:
                why = f": {reason}" if reason else ""
                _log.info("%s of %s: %s to %s%s", local.instance, local.artifact, from_, to or "gone", why)
                return
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_BACKOFF_MAX_S)

    def _routes(self, local: OwnInstance) -> tuple[Change, ...]:
        """The routes row, when this instance is the first of its version."""
        key, desired = keys.routes(local.artifact.base), self._desired(local)
        known = self._kv.get(key)
        if local.routes is None or desired is None:
            return ()
        new = with_version(known, local.routes, wanted_versions(desired))
        return () if new == known else (Put(key, new),)

    async def _write(self, local: OwnInstance, new: InstanceRow | None, extra: tuple[Change, ...] = ()) -> bool:
        """Replace the row that was looked at last, if it still stands. False: look again."""
        change: Change = Delete(local.key) if new is None else Put(local.key, new)
        compares = [Compare(local.key, local.version)]
        desired = self._desired(local)
        if desired is not None and desired.beside is not None:
            # Instances of two versions may become ACTIVE at once: neither overwrites what the other says of itself.
            compares += [Compare(change.key, self._kv.version(change.key)) for change in extra]
        try:
            result = await self._kv.propose(Batch(tuple(compares), (change, *extra)))
        except (TryAgain, OutcomeUnknown, Conflict) as error:
            _log.info("%s of %s: state not written yet: %s", local.instance, local.artifact, error)
            return False
        return result.applied
