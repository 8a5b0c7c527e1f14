"""Waking slices that calls of this node wait for.

Knows: which calls' time is over last; the two rows that say how many instances are wanted.
Never: calls, endpoints; when a slice falls asleep (sleep_manager).
Holds: one write for each wake however many calls wait, on however many nodes: it is written on the rows that said
       "asleep", and of several nodes one succeeds. What is not written is tried again while a call waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NoReturn

import trio

from aether.deployment.sleep_writes import batch_of
from aether.deployment.sleeping import decide_wake
from aether.errors import Conflict, OutcomeUnknown, TryAgain
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.artifact import ArtifactBase
from aether.model.ids import NodeId
from aether.model.limits import RETRY_BACKOFF_MAX_S, WAKES_WAITING_MAX

_log = logging.getLogger("aether.deployment")

_PAUSE_S_MIN: Final = 0.02


class Waker:
    """Of one node. `wake` is for its Invoker."""

    def __init__(self, node: NodeId, kv: KvService, *, wall: Callable[[], float]) -> None:
        self._node = node
        self._kv = kv
        self._wall = wall
        self._until: dict[ArtifactBase, float] = {}
        self._nursery: trio.Nursery | None = None

    def wake(self, target: ArtifactBase, until: float) -> None:
        """A call waits for `target`, which sleeps, until a time of trio's clock. Never blocks."""
        is_new = target not in self._until
        if self._nursery is None or (is_new and len(self._until) >= WAKES_WAITING_MAX):
            return  # the call asks again with the next change of the registry, or its time ends
        self._until[target] = max(until, self._until.get(target, until))
        if is_new:
            self._nursery.start_soon(self._keep_trying, target)

    async def run(self) -> NoReturn:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None
        raise AssertionError("sleep_forever returned")

    async def _keep_trying(self, target: ArtifactBase) -> None:
        pause_s = 0.0  # the first time at once: whoever was faster has most likely woken it
        try:
            while trio.current_time() < self._until[target]:
                with trio.move_on_at(self._until[target]):
                    if await self._is_awake(target):
                        return
                await trio.sleep(pause_s)
                pause_s = min(max(2 * pause_s, _PAUSE_S_MIN), RETRY_BACKOFF_MAX_S)
        finally:
            del self._until[target]

    async def _is_awake(self, target: ArtifactBase) -> bool:
        """Whether it is awake, or not to be woken, as this node has applied it; else wake it first."""
        changed = decide_wake(self._kv.get(keys.desired(target)), self._node, self._wall(), "a call found it asleep")
        if changed is None:
            return True
        try:
            result = await self._kv.propose(batch_of(self._kv, changed))
        except (TryAgain, OutcomeUnknown, Conflict) as error:
            _log.info("%s is not awake yet: %s", target, error)
            return False
        if result.applied:
            _log.info("%s wakes with %d: a call found it asleep", target, changed.desired.instances)
        return result.applied
