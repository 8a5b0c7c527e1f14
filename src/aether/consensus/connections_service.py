"""Which peers are connected, and which are presumed dead because they closed their connection and did not come back.

Knows: node ids, the time of grace.
Never: connections themselves (transport), what follows from a death (core).
Holds: each closing is told once, CLOSED_LEADER_GRACE_S later, unless the peer is back by then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NoReturn

import trio

from aether.consensus.bell_service import Bell
from aether.consensus.config import RaftConfig
from aether.model.ids import NodeId
from aether.model.limits import CLOSED_LEADER_GRACE_S


class Connections:
    """`opened` and `closed` are for the transport; `run` and `take_dead` for the service. wake  somebody died."""

    def __init__(self, config: RaftConfig, wake: Callable[[], None]) -> None:
        self._node = config.node
        self._wake = wake
        self._bell = Bell()
        self._open: set[NodeId] = set()
        self._deadlines: dict[NodeId, float] = {}  # of the closed ones
        self._dead: list[NodeId] = []

    def reachable(self, voters: Collection[NodeId]) -> int:
        """How many of `voters` are connected, this node included."""
        return len(self._open.intersection(voters)) + (self._node in voters)

    def opened(self, peer: NodeId) -> None:
        """`peer` is connected (again)."""
        self._deadlines.pop(peer, None)
        self._open.add(peer)

    def closed(self, peer: NodeId) -> None:
        """`peer` closed its connection."""
        self._open.discard(peer)
        self._deadlines[peer] = trio.current_time() + CLOSED_LEADER_GRACE_S
        self._bell.ring()

    def take_dead(self) -> list[NodeId]:
        """Who is presumed dead since the last call."""
        dead, self._dead = self._dead, []
        return dead

    async def run(self) -> NoReturn:
        """Wait for times of grace to end, until cancelled."""
        while True:
            while not self._deadlines:
                await self._bell.wait()
            deadline_s, peer = min((deadline_s, peer) for peer, deadline_s in self._deadlines.items())
            await trio.sleep_until(deadline_s)
            if self._deadlines.get(peer) == deadline_s:
                del self._deadlines[peer]
                self._dead.append(peer)
                self._wake()
