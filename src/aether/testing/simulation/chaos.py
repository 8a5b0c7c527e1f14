"""Makes things go wrong: crashes, partitions, pauses, closed connections, transfers.

Knows: the nodes, which directions are blocked, the dice.
Never: single messages and writes (the world loses and delays those), what is checked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from aether.consensus.values import Role
from aether.model.ids import NodeId
from aether.testing.simulation.faults import MILLISECOND, SECOND, Faults
from aether.testing.simulation.loop import Loop
from aether.testing.simulation.node import Node


class Chaos:
    """blocked: directions in which every message is lost. `start` begins a node, `drive` does what its core wants."""

    def __init__(
        self,
        loop: Loop,
        nodes: Mapping[NodeId, Node],
        faults: Faults,
        rng: random.Random,
        start: Callable[[Node], None],
        drive: Callable[[Node], None],
    ) -> None:
        self.blocked: set[tuple[NodeId, NodeId]] = set()
        self._loop = loop
        self._nodes = nodes
        self._faults = faults
        self._rng = rng
        self._start = start
        self._drive = drive

    def begin(self) -> None:
        """Leave the cluster a second, then roll."""
        self._loop.later(SECOND, self._roll)

    def heal(self) -> None:
        """End all faults: everybody up, awake and connected."""
        self._loop.healed = True
        self.blocked.clear()
        for node in self._nodes.values():
            node.paused_until_us = min(node.paused_until_us, self._loop.now_us)
            self._restart(node)

    def _roll(self) -> None:
        """Ten times a second of virtual time, roll the dice for each fault."""
        if self._loop.healed:
            return
        rng, faults = self._rng, self._faults
        names = list(self._nodes)
        faults_by_rate: tuple[tuple[float, Callable[[], None]], ...] = (
            (faults.crash, lambda: self._crash(self._nodes[rng.choice(names)])),
            (faults.all_crash, self._crash_all),
            (faults.partition, self._partition),
            (faults.pause, lambda: self._pause(self._nodes[rng.choice(names)])),
            (faults.closed, lambda: self._close(rng.choice(names), rng.choice(names))),
            (faults.transfer, lambda: self._transfer(rng.choice(names), rng.choice(names))),
        )
        for rate, fault in faults_by_rate:
            if rng.random() < rate / 10:
                fault()
        self._loop.later(SECOND // 10, self._roll)

    def _crash(self, node: Node) -> None:
        if node.core is None or self._loop.healed:
            return
        rng = self._rng
        lost = node.crash(rng)
        self._loop.counts["crashes"] += 1
        self._loop.note(f"crash {node.name} lost={lost}")
        self._loop.later(rng.randrange(self._faults.down_us), lambda: self._restart(node))
        self._close_everywhere(node)  # the operating system closes the dead process's connections

    def _close_everywhere(self, node: Node) -> None:
        if not self._faults.closed:
            return
        for peer in self._nodes:
            delay_us = 50 * MILLISECOND + self._rng.randrange(10 * MILLISECOND)
            self._loop.later(delay_us, partial(self._close, peer, node.name))

    def hunt(self, node: Node) -> None:
        """Perhaps crash a new leader soon, or cut it off from the others."""
        rng, faults = self._rng, self._faults
        if self._loop.healed or rng.random() >= faults.hunt:
            return
        delay_us = rng.randrange(faults.hunt_us)
        if rng.random() < 0.5:
            self._loop.later(delay_us, lambda: self._crash(node))
        else:
            self._loop.later(delay_us, lambda: self._isolate(node))

    def _isolate(self, node: Node) -> None:
        """Cut it off; the others may learn that their connections broke, while it does not."""
        self._cut([node.name], one_way=self._rng.random() < self._faults.one_way)
        if self._rng.random() < 0.5:
            self._close_everywhere(node)

    def _restart(self, node: Node) -> None:
        if node.core is None:
            self._start(node)

    def _crash_all(self) -> None:
        for node in self._nodes.values():
            self._crash(node)

    def _partition(self) -> None:
        """Split the nodes in two."""
        rng = self._rng
        left = [name for name in self._nodes if rng.random() < 0.5]
        self._cut(left, one_way=rng.random() < self._faults.one_way)

    def _cut(self, left: Sequence[NodeId], *, one_way: bool) -> None:
        """Lose what goes from `left` to the other nodes, and unless `one_way` what comes from them."""
        if self._loop.healed:
            return
        right = [name for name in self._nodes if name not in left]
        cut = {(a, b) for a in left for b in right}
        if not one_way:
            cut |= {(b, a) for a in left for b in right}
        self.blocked |= cut
        self._loop.counts["partitions"] += 1
        self._loop.note(f"partition {','.join(left)} {'>' if one_way else '|'} {','.join(right)}")
        self._loop.later(self._rng.randrange(1, self._faults.partition_us), lambda: self._reconnect(cut))

    def _reconnect(self, cut: set[tuple[NodeId, NodeId]]) -> None:
        self.blocked -= cut
        self._loop.note("reconnect")

    def _pause(self, node: Node) -> None:
        node.paused_until_us = self._loop.now_us + self._rng.randrange(self._faults.pause_us)
        self._loop.counts["pauses"] += 1
        self._loop.note(f"pause {node.name}")

    def _close(self, at: NodeId, peer: NodeId) -> None:
        node = self._nodes[at]
        if node.core is None or at == peer or self._loop.now_us < node.paused_until_us:
            return
        self._loop.note(f"closed {peer} at {at}")
        node.core.peer_closed(peer)
        self._drive(node)

    def _transfer(self, at: NodeId, to: NodeId) -> None:
        node = self._nodes[at]
        if (
            node.core is None
            or node.core.role is not Role.LEADER
            or at == to
            or self._loop.now_us < node.paused_until_us
        ):
            return
        self._loop.note(f"transfer {at} to {to}")
        self._loop.counts["transfers"] += 1
        node.core.transfer(to)
        self._drive(node)
