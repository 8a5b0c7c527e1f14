"""When the disks of a simulated cluster are done, stall, are full or fail.

Knows: delays of syncs and saves, the dice of each disk.
Never: bytes (disk), what a core makes of it.
Holds: one sync of all that has queued at a time, its end starts the next (group commit); a snapshot is saved beside it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from aether.testing.simulation.faults import stream
from aether.testing.simulation.node import Node
from aether.testing.simulation.oracle import Oracle
from aether.testing.simulation.site import Site, Turn


class Storing:
    """crash  ends a node whose disk failed."""

    def __init__(
        self, site: Site, oracle: Oracle, turn: Turn, crash: Callable[[Node, random.Random, str], None]
    ) -> None:
        self._site = site
        self._loop = site.loop
        self._oracle = oracle
        self._turn = turn
        self._crash = crash
        self._rng = {name: stream(site.seed, f"disk {name}") for name in site.nodes}

    def look(self, node: Node) -> None:
        """Start what the disk of `node` should do now."""
        if node.wants_to_write:
            node.begin_write(self._loop.now_us)
            self._loop.later(self._delay_us(node), partial(self._written, node, node.incarnation))
        if node.wants_to_save:
            node.begin_save()
            self._loop.later(self._delay_us(node), partial(self._saved, node, node.incarnation))

    def resume(self, node: Node) -> None:
        """Its disk is well again: what hangs ends soon."""
        node.full_until_us = 0
        if node.core is not None and node.batch:
            self._loop.later(1, partial(self._written, node, node.incarnation))

    def _delay_us(self, node: Node) -> int:
        rng, faults = self._rng[node.name], self._site.faults
        delay_us = rng.randrange(faults.disk_us)
        if not self._loop.healed and faults.disk_stall and rng.random() < faults.disk_stall:
            stall_us = rng.randrange(faults.disk_stall_us)
            if self._site.schedule.strikes(f"stall {node.name}"):
                delay_us += stall_us
                self._loop.counts["stalls"] += 1
        return delay_us

    def _postponed(self, node: Node, incarnation: int, again: Callable[[], None]) -> bool:
        """Whether nothing happens now: the node is gone, paused, or its disk stands still for ever."""
        if node.core is None or node.incarnation != incarnation or node.disk_stands:
            return True
        if self._loop.now_us < node.paused_until_us:
            self._loop.later(node.paused_until_us - self._loop.now_us, again)
            return True
        return False

    def _written(self, node: Node, incarnation: int) -> None:
        if self._postponed(node, incarnation, partial(self._written, node, incarnation)) or not node.batch:
            return
        faults, rng, strikes = self._site.faults, self._rng[node.name], self._site.schedule.strikes
        if self._loop.now_us < node.full_until_us:
            self._turn(node, node.no_space, "nospace")
            return
        if not self._loop.healed:
            if faults.eio and rng.random() < faults.eio and strikes(f"eio {node.name}"):
                self._loop.counts["eio"] += 1
                self._fail(node)
                return
            node.disk.lying = bool(faults.lying and rng.random() < faults.lying and strikes(f"lie {node.name}"))
        self._turn(node, partial(self._end_write, node), "durable")

    def _fail(self, node: Node) -> None:
        """A failed write or sync ends the node: what it wrote may be there, in part, or not."""
        self._crash(node, random.Random(self._rng[node.name].getrandbits(32)), "eio")

    def _end_write(self, node: Node) -> None:
        node.end_write()
        self._oracle.persists(node)

    def _saved(self, node: Node, incarnation: int) -> None:
        if self._postponed(node, incarnation, partial(self._saved, node, incarnation)) or node.saving is None:
            return
        self._turn(node, node.end_save, "saved", detail=f"at {node.saving.meta.index}")
