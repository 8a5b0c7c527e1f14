"""Whether this node may still run singletons: a lease that the majority renews by answering.

Knows: when a question that was answered had been asked, which instances depend on it.
Never: stops anything itself; who replaces an instance, and when (the leader waits longer than this).
Holds: from `lost_s` after the last confirmed moment on, every instance kept here has been given up. A moment is
       confirmed by a barrier that began then: a leader with a majority heard this node no earlier.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import trio

from aether.errors import OutcomeUnknown, TryAgain
from aether.model.ids import InstanceId
from aether.model.limits import CONTACT_CONFIRM_S, MEMBER_LOST_S

_AGAIN_S: Final = 0.1


class ContactManager:
    """barrier  asks the majority; lost  told of each instance that has to stop now, never blocks."""

    def __init__(
        self,
        barrier: Callable[[], Awaitable[object]],
        lost: Callable[[InstanceId], None],
        *,
        lost_s: float = MEMBER_LOST_S,
        confirm_s: float = CONTACT_CONFIRM_S,
    ) -> None:
        self._barrier = barrier
        self._lost = lost
        self._lost_s = lost_s
        self._confirm_s = confirm_s
        self._kept: set[InstanceId] = set()
        self._some = trio.Event()
        self._confirmed_at = float("-inf")

    async def run(self) -> NoReturn:
        """Serve until cancelled. Costs nothing while no instance is kept."""
        while True:
            if not self._kept:
                self._some = trio.Event()
                await self._some.wait()
            with trio.move_on_at(self._confirmed_at + self._lost_s):
                await self._ask()
            if trio.current_time() >= self._confirmed_at + self._lost_s:
                kept, self._kept = self._kept, set()
                for instance in sorted(kept):
                    self._lost(instance)

    async def keep(self, instance: InstanceId) -> None:
        """From now on `instance` depends on contact; returns once there is some. Raises what the barrier raises."""
        began = trio.current_time()
        await self._barrier()
        self._confirmed_at = max(self._confirmed_at, began)
        self._kept.add(instance)
        self._some.set()

    def is_kept(self, instance: InstanceId) -> bool:
        """Whether it was kept, and not given up since."""
        return instance in self._kept

    def forget(self, instance: InstanceId) -> None:
        """It does not run any more."""
        self._kept.discard(instance)

    async def _ask(self) -> None:
        """One question, with the pause until the next."""
        began = trio.current_time()
        try:
            await self._barrier()
        except (TryAgain, OutcomeUnknown):
            await trio.sleep(_AGAIN_S)
        else:
            self._confirmed_at = began
            await trio.sleep(self._confirm_s)
