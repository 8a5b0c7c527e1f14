"""Calls that find nobody to take them: held until somebody is there, or their time is over.

Knows: how many calls each slice has waiting here, which slices may sleep, whom to tell that one must wake.
Never: how a slice is woken; what a call does once it has an instance.
Holds: at most `in_flight_max` calls wait on one node, of a slice that may sleep at most as many as its own queue holds;
       a call of such a slice whose instances all FAILED gets the reason at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

import trio

from aether.errors import NoInstance, Overloaded
from aether.invocation.endpoints import EndpointRegistry
from aether.invocation.outgoing import OutgoingCall
from aether.model.artifact import ArtifactBase
from aether.model.ids import NodeId
from aether.model.lifecycle import SliceState

Wake: TypeAlias = Callable[[ArtifactBase, float], None]
"""Told that a call waits, until a time of trio's clock, for a slice that sleeps. Never blocks; told again at will."""


def nobody_wakes(target: ArtifactBase, until: float) -> None:
    """The Wake of a client that cannot write what is wanted."""


class Holding:
    """The waiting calls of one node. `changed` after each change of the registry."""

    def __init__(self, node: NodeId, registry: EndpointRegistry, in_flight_max: int, wake: Wake = nobody_wakes) -> None:
        self._node = node
        self._registry = registry
        self._in_flight_max = in_flight_max
        self._wake = wake
        self._lot = trio.lowlevel.ParkingLot()
        self._held: Counter[ArtifactBase] = Counter()

    def changed(self) -> None:
        """The registry was rebuilt: look again."""
        self._lot.unpark_all()

    async def pause(self, after_s: float) -> None:
        """Wait so long, or until the registry changes: somebody new may be there before that."""
        with trio.move_on_after(after_s):
            await self._lot.park()

    async def endpoint_appears(self, call: OutgoingCall, may_go: Callable[[OutgoingCall], bool]) -> None:
        """Return when `call.target` has an endpoint that may take it, as `may_go` says.

        Raises Overloaded, NoInstance at the end of its time.
        """
        if len(self._lot) >= self._in_flight_max:
            raise Overloaded(f"node {self._node}, calls that wait for an instance", self._in_flight_max)
        with self._counted(call), trio.move_on_at(call.give_up_at):
            while not may_go(call):
                if self._registry.is_asleep(call.target):
                    self._wake(call.target, call.give_up_at)
                elif call.held and self._registry.state(call.target)[0] == SliceState.FAILED:
                    break
                await self._lot.park()
            else:
                return
        raise NoInstance(str(call.target), *self._registry.state(call.target))

    @contextmanager
    def _counted(self, call: OutgoingCall) -> Generator[None]:
        """Count it among the held calls of its slice, if that may sleep."""
        if not self._registry.may_sleep(call.target):
            yield
            return
        limit = max(1, self._registry.terms(call.target).queue)
        if self._held[call.target] >= limit:
            raise Overloaded(f"node {self._node}, calls held while {call.target} wakes", limit)
        call.held = True
        self._held[call.target] += 1
        try:
            yield
        finally:
            self._held[call.target] -= 1
            if not self._held[call.target]:
                del self._held[call.target]
