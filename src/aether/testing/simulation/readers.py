"""Readers that ask any node for a read index, wait until it is applied there, and read.

Knows: what was committed, acknowledged or read before each read began.
Never: consensus; it only asks some node and may be answered late, twice or never.
Holds: linearizability of reads: each shows everything that anybody was told of before it began.
Paper: dissertation 6.4.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial

import attrs

from aether.consensus.values import Ready
from aether.errors import NotLeader, Overloaded
from aether.model.ids import LogIndex, NodeId
from aether.testing.simulation.faults import SECOND, stream
from aether.testing.simulation.history import History
from aether.testing.simulation.node import Node
from aether.testing.simulation.site import Site, Turn


@attrs.define(eq=False)
class Read:
    """committed  when it began; told  how much of each list somebody had been told of then."""

    reader: int
    began_us: int
    committed: int
    told: Mapping[str, int]
    done: bool = False


@attrs.frozen
class _Asked:
    read: Read
    node: NodeId
    incarnation: int


class Readers:
    """All readers of a run; each has one read at a time, and repeats it until it is done."""

    def __init__(self, site: Site, turn: Turn, history: History, committed: Callable[[], int]) -> None:
        self._site = site
        self._loop = site.loop
        self._turn_of = turn
        self._history = history
        self._rng = stream(site.seed, "readers")
        self._committed = committed
        self._contexts = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._confirmed: list[tuple[LogIndex, _Asked]] = []  # not applied yet where they were asked
        self._told: dict[str, int] = {}
        self._open = 0

    def begin(self) -> None:
        """Each reader starts within a second."""
        for reader in range(self._site.faults.readers):
            self._loop.later(self._rng.randrange(SECOND), partial(self._turn, reader))

    @property
    def answered(self) -> bool:
        """Whether no read is open."""
        return self._open == 0

    def serve_once_more(self) -> None:
        """Faults are over: one more read is to be answered."""
        self._turn(self._site.faults.readers, force=True)

    def told(self, key: str, position: int) -> None:
        """A client was told that its value stands there."""
        self._told[key] = max(self._told.get(key, 0), position)

    def _turn(self, reader: int, read: Read | None = None, *, force: bool = False) -> None:
        """Begin a read, or repeat one that is not done, perhaps elsewhere."""
        if read is None or read.done:
            if self._loop.healed and not force:
                return
            read = Read(reader, self._loop.now_us, self._committed(), dict(self._told))
            self._open += 1
        context = next(self._contexts)
        self._ask(read, context, self._site.nodes[self._rng.choice(list(self._site.nodes))])
        pace_us = self._site.faults.read_us
        self._loop.later(pace_us + self._rng.randrange(pace_us), partial(self._turn, reader, read))

    def _ask(self, read: Read, context: int, node: Node) -> None:
        if node.core is None:
            return
        if self._loop.now_us < node.paused_until_us:
            self._loop.later(node.paused_until_us - self._loop.now_us, partial(self._ask, read, context, node))
            return
        self._asked[context] = _Asked(read, node.name, node.incarnation)
        self._loop.counts["reads asked"] += 1
        self._turn_of(node, partial(self._read_index, node, context), "read", detail=context)

    def _read_index(self, node: Node, context: int) -> None:
        leased = node.leased_index(self._loop.now_us)
        if leased is not None:
            self._loop.counts["reads under a lease"] += 1
            self._confirm(node, context, leased)
            return
        try:
            node.read_index(context)
        except (NotLeader, Overloaded):
            del self._asked[context]

    # --- what a node says ---------------------------------------------------------------------------------------------

    def take(self, node: Node, ready: Ready) -> None:
        """Answers for reads that were asked on `node`."""
        self._loop.counts["reads refused"] += len(ready.reads_refused)
        for context, index in ready.reads:
            self._confirm(node, context, index)

    def _confirm(self, node: Node, context: int, index: LogIndex) -> None:
        asked = self._asked.pop(context, None)
        if asked is None or asked.incarnation != node.incarnation:
            return  # doubled, or for an earlier life of the node
        assert node.name == asked.node, f"I10 a read of {asked.node} is answered on {node.name}"
        assert index >= asked.read.committed, (
            f"I10 Stale read: {node.name} may read at {index}, but {asked.read.committed} was committed before it asked"
        )
        self._confirmed.append((index, asked))

    def applied(self, node: Node) -> None:
        """Read what `node` can show by now."""
        if not self._confirmed:
            return
        waiting = self._confirmed
        self._confirmed = []
        for index, asked in waiting:
            if asked.node != node.name:
                self._confirmed.append((index, asked))
            elif asked.incarnation == node.incarnation and node.machine.index >= index:
                self._look(node, asked.read)
            elif asked.incarnation == node.incarnation:
                self._confirmed.append((index, asked))

    def _look(self, node: Node, read: Read) -> None:
        lists = node.machine.lists
        for key, position in read.told.items():
            assert len(lists.get(key, ())) >= position, (
                f"I10 Stale read: {key} on {node.name} is {lists.get(key)}, "
                f"{position} values were known when it was asked"
            )
        if not read.done:
            read.done = True
            self._open -= 1
            self._loop.counts["reads"] += 1
            self._loop.note("reads", node.name, detail=f"at {node.machine.index}")
            self._history.read(read.reader, lists, read.began_us, self._loop.now_us)
            for key, values in lists.items():
                self.told(key, len(values))
