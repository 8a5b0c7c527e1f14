"""Makes things go wrong: crashes, partitions, clogs, pauses, bad disks, closed connections; transfers, member changes.

Knows: the nodes, the network, the atlas of damage, the dice.
Never: single messages and syncs (network and disks lose and delay those), what is checked.
Holds: which fault is tried when depends on the seed alone, never on what happened before: its time is its name, and it
       has dice of its own. So a schedule with some left out is the same schedule otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import partial

from aether.consensus.values import Role
from aether.errors import AetherError
from aether.model.ids import NodeId
from aether.testing.simulation.faults import MILLISECOND, SECOND, stream
from aether.testing.simulation.member_changes import next_change
from aether.testing.simulation.network import SHAPES, Link, both_ways, one_way
from aether.testing.simulation.node import Node
from aether.testing.simulation.site import Site, Turn

_ROLL_US = 100 * MILLISECOND
Dice = random.Random


class Chaos:
    """start  begins a node; turn  lets it do something; crash  is called by others for failures that they cause."""

    def __init__(self, site: Site, start: Callable[[Node], None], turn: Turn) -> None:
        self._site = site
        self._loop = site.loop
        self._start = start
        self._turn = turn
        self._names = list(site.nodes)
        faults = site.faults
        self._kinds: tuple[tuple[str, float, Callable[[Dice], None]], ...] = (
            ("crash", faults.crash, lambda dice: self.crash(self._any(dice), dice)),
            ("all_crash", faults.all_crash, self._crash_all),
            ("partition", faults.partition, self._partition),
            ("clog", faults.clog, self._swizzle),
            ("pause", faults.pause, self._pause),
            ("closed", faults.closed, lambda dice: self._close(dice.choice(self._names), dice.choice(self._names))),
            ("transfer", faults.transfer, self._transfer),
            ("clock", faults.clock_step, self._step_clock),
            ("rot", faults.rot, self._rot),
            ("full", faults.full, self._fill_disk),
            ("member", faults.membership, self._change_members),
        )
        self._dice = {kind: stream(site.seed, f"chaos {kind}") for kind, rate, _ in self._kinds if rate}

    def begin(self) -> None:
        """Leave the cluster a second, then roll."""
        self._loop.later(SECOND, self._roll)

    def _roll(self) -> None:
        """Ten times a second of virtual time, roll the dice for each fault."""
        if self._loop.healed:
            return
        for kind, rate, fault in self._kinds:
            if rate and (rng := self._dice[kind]).random() < rate / 10:
                dice = Dice(rng.getrandbits(32))
                if self._site.schedule.strikes_at(kind, self._loop.now_us // MILLISECOND):
                    fault(dice)
        self._loop.later(_ROLL_US, self._roll)

    def _any(self, dice: Dice) -> Node:
        return self._site.nodes[dice.choice(self._names)]

    # --- crashes ------------------------------------------------------------------------------------------------------

    def crash(self, node: Node, dice: Dice, why: str = "") -> None:
        """Its process ends; it is started again later."""
        if node.core is None or self._loop.healed:
            return
        faults, atlas = self._site.faults, self._site.atlas
        torn = dice.random() < faults.torn
        scattered = torn and bool(node.batch) and dice.random() < faults.scattered and atlas.allows(node.name)
        lost = node.crash(dice, torn=torn, scattered=scattered)
        if scattered:
            atlas.note(node.name)
        self._loop.counts["crashes"] += 1
        detail = f"{why} lost={lost}{' torn' if torn else ''}{' scattered' if scattered else ''}"
        self._loop.note("crash", node.name, detail=detail.strip())
        self._loop.later(dice.randrange(faults.down_us), partial(self._restart, node))
        self._close_everywhere(node, dice)  # the operating system closes the dead process's connections

    def _restart(self, node: Node) -> None:
        if node.core is None and not node.refused and (not self._loop.healed or node.name in self._site.core):
            self._start(node)

    def _crash_all(self, dice: Dice) -> None:
        for node in self._site.nodes.values():
            self.crash(node, dice)

    def hunt(self, node: Node, term: int) -> None:
        """Perhaps crash a new leader soon, or cut it off from the others."""
        faults = self._site.faults
        if self._loop.healed or not faults.hunt:
            return
        dice = stream(self._site.seed, f"hunt {node.name} {term}")
        if dice.random() >= faults.hunt or not self._site.schedule.strikes_at(f"hunt {node.name}", term):
            return
        hit = self.crash if dice.random() < 0.5 else self._isolate
        self._loop.later(dice.randrange(faults.hunt_us), partial(hit, node, dice))

    def _isolate(self, node: Node, dice: Dice) -> None:
        """Cut it off; the others may learn that their connections broke, while it does not."""
        self._cut({(node.name, other) for other in self._names if other != node.name}, dice, f"isolate {node.name}")
        if dice.random() < 0.5:
            self._close_everywhere(node, dice)

    # --- the network --------------------------------------------------------------------------------------------------

    def _partition(self, dice: Dice) -> None:
        shape = dice.choice(self._site.faults.shapes)
        self._cut(SHAPES[shape](self._names, dice), dice, shape)

    def _cut(self, links: Iterable[Link], dice: Dice, name: str) -> None:
        if self._loop.healed:
            return
        faults = self._site.faults
        oriented = dice.random() < faults.one_way
        cut = one_way(links, dice) if oriented else both_ways(links)
        self._site.network.block(cut)
        self._loop.counts["partitions"] += 1
        shown = " ".join(f"{a}>{b}" for a, b in sorted(cut))
        self._loop.note("partition", detail=f"{name}{' one way' if oriented else ''}: {shown}")
        self._loop.later(dice.randrange(1, faults.partition_us), partial(self._reconnect, cut, name))

    def _reconnect(self, cut: set[Link], name: str) -> None:
        if not self._loop.healed:
            self._site.network.unblock(cut)
            self._loop.note("reconnect", detail=name)

    def _swizzle(self, dice: Dice) -> None:
        """Clog some nodes one after the other, and free them in another order."""
        now_us, length_us = self._loop.now_us, self._site.faults.clog_us
        for name in dice.sample(self._names, dice.randint(1, len(self._names))):
            until_us = now_us + dice.randrange(length_us, 2 * length_us)
            self._loop.later(dice.randrange(length_us), partial(self._clog, name, until_us))

    def _clog(self, name: NodeId, until_us: int) -> None:
        if not self._loop.healed:
            self._site.network.clog(name, until_us)
            self._loop.counts["clogs"] += 1
            self._loop.note("clog", name, detail=f"until={until_us / MILLISECOND:.3f}")

    def _close_everywhere(self, node: Node, dice: Dice) -> None:
        if not self._site.faults.closed:
            return
        for peer in self._names:
            delay_us = 50 * MILLISECOND + dice.randrange(10 * MILLISECOND)
            self._loop.later(delay_us, partial(self._close, peer, node.name))

    def _close(self, at: NodeId, peer: NodeId) -> None:
        """After healing, whoever runs has connected again long before its peers would presume it dead."""
        node, is_back = self._site.nodes[at], self._loop.healed and self._is_awake(self._site.nodes[peer])
        if at != peer and self._is_awake(node) and not is_back:
            self._turn(node, partial(node.peer_closed, peer), "closed", peer)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _pause(self, dice: Dice) -> None:
        node = self._any(dice)
        node.paused_until_us = self._loop.now_us + dice.randrange(self._site.faults.pause_us)
        self._loop.counts["pauses"] += 1
        self._loop.note("pause", node.name, detail=f"until={node.paused_until_us / MILLISECOND:.3f}")

    def _step_clock(self, dice: Dice) -> None:
        node, most_us = self._any(dice), self._site.faults.clock_step_us
        by_us = dice.randint(-most_us, most_us)
        node.clock.step(by_us)
        self._loop.counts["clock steps"] += 1
        self._loop.note("clock", node.name, detail=f"by={by_us / MILLISECOND:.3f}")

    def _is_awake(self, node: Node) -> bool:
        return node.core is not None and self._loop.now_us >= node.paused_until_us

    # --- disks --------------------------------------------------------------------------------------------------------

    def _rot(self, dice: Dice) -> None:
        node = self._any(dice)
        if not self._site.atlas.allows(node.name):
            return
        if done := node.disk.rot(dice):
            self._site.atlas.note(node.name)
            self._loop.counts["rotten"] += 1
            self._loop.note("rot", node.name, detail=done)

    def _fill_disk(self, dice: Dice) -> None:
        node = self._any(dice)
        node.full_until_us = self._loop.now_us + dice.randrange(1, self._site.faults.full_us)
        self._loop.counts["full disks"] += 1
        self._loop.note("full", node.name, detail=f"until={node.full_until_us / MILLISECOND:.3f}")

    # --- operators ----------------------------------------------------------------------------------------------------

    def _leader(self, dice: Dice) -> Node | None:
        leaders = [n for n in self._site.nodes.values() if self._is_awake(n) and n.running.role is Role.LEADER]
        return dice.choice(leaders) if leaders else None

    def _transfer(self, dice: Dice) -> None:
        node, to = self._leader(dice), dice.choice(self._names)
        if node is not None and to != node.name:
            self._loop.counts["transfers"] += 1
            self._turn(node, partial(self._ask, partial(node.transfer, to)), "transfer", to)

    def _change_members(self, dice: Dice) -> None:
        node = self._leader(dice)
        change = next_change(self._site, node.running.configuration, dice) if node is not None else None
        if node is None or change is None:
            return
        self._loop.counts["member changes"] += 1
        shown = " ".join(f"{verb}={','.join(names)}" for verb, names in change.items() if names)
        self._turn(node, partial(self._ask, partial(node.change_members, change)), "member", detail=shown)

    def _ask(self, act: Callable[[], None]) -> None:
        """What an operator asks for may be refused."""
        try:
            act()
        except AetherError as refusal:
            self._loop.note("refused", detail=f"{type(refusal).__name__}: {refusal}")
