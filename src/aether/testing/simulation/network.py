"""The network between simulated nodes: one path for each direction of each pair.

Knows: what is blocked, clogged, lost, doubled, late, or too much for a path.
Never: what messages mean, nodes.
Holds: each path has its own dice, so that a fault left out on one shifts nothing on another. Paths inside the core that
       is healed for the liveness phase lose nothing any more; all others stay as they are.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from aether.consensus.messages import Message
from aether.model.ids import NodeId
from aether.testing.simulation.faults import Faults, stream
from aether.testing.simulation.loop import Loop
from aether.testing.simulation.schedule import Schedule

Link: TypeAlias = tuple[NodeId, NodeId]
"""Sender and receiver."""


class Path:
    """One direction. blocks: how many partitions lie over it."""

    __slots__ = ("blocks", "clogged_until_us", "healed", "in_flight", "link", "name", "rng")

    def __init__(self, link: Link, rng: random.Random) -> None:
        self.link: Link = link
        self.name: str = f"{link[0]}>{link[1]}"
        self.rng: random.Random = rng
        self.blocks: int = 0
        self.clogged_until_us: int = 0
        self.in_flight: list[Message] = []
        self.healed: bool = False


class Network:
    """deliver  is called with sender, receiver and message when one arrives."""

    def __init__(
        self,
        loop: Loop,
        names: Iterable[NodeId],
        faults: Faults,
        seed: int,
        schedule: Schedule,
        deliver: Callable[[NodeId, NodeId, Message], None],
    ) -> None:
        self._loop = loop
        self._faults = faults
        self._schedule = schedule
        self._deliver = deliver
        self._paths = {link: Path(link, stream(seed, f"network {link}")) for link in itertools.permutations(names, 2)}

    def send(self, sender: NodeId, to: NodeId, message: Message) -> None:
        """Carry it over, or lose it."""
        path, loop, faults = self._paths[sender, to], self._loop, self._faults
        rng = path.rng
        loop.counts["messages"] += 1
        copies, delay_us = 1, rng.randrange(1, faults.delay_us)
        if not path.healed:
            unlucky = bool(faults.loss) and rng.random() < faults.loss
            if path.blocks or (unlucky and self._schedule.strikes(f"loss {path.name}")):
                loop.counts["lost"] += 1
                return
            if faults.duplication and rng.random() < faults.duplication:
                copies += self._schedule.strikes(f"duplicate {path.name}")
            if faults.slow and rng.random() < faults.slow:
                late_us = rng.randrange(faults.slow_delay_us)
                delay_us += late_us if self._schedule.strikes(f"slow {path.name}") else 0
            delay_us += max(0, path.clogged_until_us - loop.now_us)
        for copy in range(copies):
            if len(path.in_flight) >= faults.path_messages_max:
                loop.counts["overflown"] += 1
                return
            path.in_flight.append(message)
            loop.later(delay_us + copy * rng.randrange(1, faults.delay_us), partial(self._arrive, path, message))

    def _arrive(self, path: Path, message: Message) -> None:
        path.in_flight.remove(message)
        self._deliver(*path.link, message)

    def is_open(self, a: NodeId, b: NodeId) -> bool:
        """Whether nothing lies over the paths between these two for longer than a message takes."""
        paths = (self._paths[a, b], self._paths[b, a]) if a != b else ()
        return not any(path.blocks or path.clogged_until_us > self._loop.now_us for path in paths)

    def under_way(self) -> Iterator[Message]:
        """What was sent and has not arrived."""
        return itertools.chain.from_iterable(path.in_flight for path in self._paths.values())

    # --- faults that last ---------------------------------------------------------------------------------------------

    def block(self, links: Iterable[Link]) -> None:
        """Lose everything there until `unblock`; partitions may overlap."""
        for link in links:
            self._paths[link].blocks += 1

    def unblock(self, links: Iterable[Link]) -> None:
        for link in links:
            self._paths[link].blocks -= 1

    def clog(self, node: NodeId, until_us: int) -> None:
        """Hold back what `node` sends and gets until then; nothing is lost."""
        for path in self._paths.values():
            if node in path.link:
                path.clogged_until_us = max(path.clogged_until_us, until_us)

    def heal(self, core: Collection[NodeId]) -> None:
        """Between nodes of `core` everything arrives from now on."""
        for path in self._paths.values():
            if path.link[0] in core and path.link[1] in core:
                path.healed = True
                path.blocks = path.clogged_until_us = 0


# --- the shapes of partitions -----------------------------------------------------------------------------------------


def _across(left: Collection[NodeId], right: Collection[NodeId]) -> set[Link]:
    return {(a, b) for a in left for b in right if a != b}


def halves(names: Sequence[NodeId], rng: random.Random) -> set[Link]:
    """Every node on one of two sides, by a coin."""
    left = [name for name in names if rng.random() < 0.5]
    return _across(left, [name for name in names if name not in left])


def isolate_one(names: Sequence[NodeId], rng: random.Random) -> set[Link]:
    """One node against all others."""
    alone = rng.choice(names)
    return _across([alone], [name for name in names if name != alone])


def bridge(names: Sequence[NodeId], rng: random.Random) -> set[Link]:
    """Two halves that see each other through one node alone."""
    shuffled = rng.sample(names, len(names))
    middle = len(shuffled) // 2
    return _across(shuffled[:middle], shuffled[middle + 1 :])


def ring(names: Sequence[NodeId], rng: random.Random) -> set[Link]:
    """Everybody sees two neighbours."""
    shuffled = rng.sample(names, len(names))
    count = len(shuffled)
    near = {(shuffled[i], shuffled[(i + 1) % count]) for i in range(count)}
    return {(a, b) for a, b in itertools.combinations(shuffled, 2) if (a, b) not in near and (b, a) not in near}


def star(names: Sequence[NodeId], rng: random.Random) -> set[Link]:
    """One node sees everybody, and nobody else sees anybody but it."""
    hub = rng.choice(names)
    return set(itertools.combinations([name for name in names if name != hub], 2))


def chain(names: Sequence[NodeId], rng: random.Random) -> set[Link]:
    """Everybody sees the one before and the one behind."""
    shuffled = rng.sample(names, len(names))
    near = set(itertools.pairwise(shuffled))
    return {(a, b) for a, b in itertools.combinations(shuffled, 2) if (a, b) not in near}


SHAPES: dict[str, Callable[[Sequence[NodeId], random.Random], set[Link]]] = {
    shape.__name__: shape for shape in (halves, isolate_one, bridge, ring, star, chain)
}


def both_ways(links: Iterable[Link]) -> set[Link]:
    """The same links in both directions."""
    return {link for a, b in links for link in ((a, b), (b, a))}


def one_way(links: Iterable[Link], rng: random.Random) -> set[Link]:
    """One direction: all the same way round, or each by a coin."""
    ordered = sorted(links)
    if rng.random() < 0.5:
        return set(ordered) if rng.random() < 0.5 else {(b, a) for a, b in ordered}
    return {(a, b) if rng.random() < 0.5 else (b, a) for a, b in ordered}
