"""After the faults: a core is healed, everything else stays broken for ever, and the core must serve.

Knows: who can be in the core, what "well" means, how long recovery may take.
Never: how nodes recover.
Holds: I12: somebody leads within ten election time-outs; all agree, every client is answered, a write and a read
       succeed in bounded time; then the leader stays.
"""

from __future__ import annotations

from collections.abc import Collection

from aether.consensus.messages import Message, TimeoutNow, VoteRequest
from aether.consensus.values import Role
from aether.model.ids import NodeId
from aether.testing.simulation.clients import Clients
from aether.testing.simulation.faults import MILLISECOND, SECOND, TICK_US, stream
from aether.testing.simulation.node import FOR_EVER_US, Node
from aether.testing.simulation.oracle import Oracle
from aether.testing.simulation.readers import Readers
from aether.testing.simulation.site import Site

_WELL_US = 120 * SECOND  # many election time-outs: by then everything must be well
_TIMEOUTS = 10


class Liveness:
    """The phase after `World.run_events`."""

    def __init__(self, site: Site, oracle: Oracle, clients: Clients, readers: Readers) -> None:
        self._site = site
        self._loop = site.loop
        self._oracle = oracle
        self._clients = clients
        self._readers = readers
        self._rng = stream(site.seed, "liveness")

    # --- who is in the core -------------------------------------------------------------------------------------------

    def choose_core(self) -> None:
        """Choose at random whom to heal, at least a quorum of every configuration in any log; freeze the others."""
        site = self._site
        core = [name for name, node in site.nodes.items() if self._can_recover(node)]
        if site.faults.core_only:
            for name in self._rng.sample(core, len(core)):
                fewer = [each for each in core if each != name]
                if self._has_quorums(fewer) and self._rng.random() < 0.7:
                    core = fewer
        site.core.update(core)
        self._loop.healed = True
        self._loop.note("heal", detail=",".join(core))
        site.network.heal(site.core)
        for name, node in site.nodes.items():
            (self._heal if name in site.core else self._freeze)(node)

    def _can_recover(self, node: Node) -> bool:
        return not node.is_removed and (node.core is not None or node.name not in self._site.atlas.damaged)

    def _has_quorums(self, names: Collection[NodeId]) -> bool:
        return all(
            2 * sum(voter in names for voter in half) > len(half)
            for node in self._site.nodes.values()
            for half in node.halves()
        )

    def _heal(self, node: Node) -> None:
        node.paused_until_us = min(node.paused_until_us, self._loop.now_us)

    def _freeze(self, node: Node) -> None:
        """What is broken stays broken: a pause never ends, and a disk that tends to stall stands still."""
        if node.paused_until_us > self._loop.now_us:
            node.paused_until_us = FOR_EVER_US
        tends = self._site.faults.disk_stall > 0 or self._site.faults.full > 0
        node.disk_stands = tends and self._rng.random() < 0.5

    # --- recovery -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Assert that the cluster recovers, and stays well."""
        begin_us = self._loop.now_us
        deadline_us = begin_us + _WELL_US
        self._wait_for_leader()
        self._become_well(deadline_us)
        self._loop.counts["healed_ms"] = (self._loop.now_us - begin_us) // MILLISECOND
        self._let_transfers_end(deadline_us)
        self._become_well(deadline_us)
        self._stays_well()
        self._audit()

    def _become_well(self, deadline_us: int) -> None:
        while not self._is_well():
            self._next(deadline_us)

    def _let_transfers_end(self, deadline_us: int) -> None:
        """A transfer that its leader gave up may still succeed: its messages arrive late, and somebody campaigns."""
        last_us = self._loop.now_us
        while self._loop.now_us <= last_us + self._site.faults.election_ticks_max * TICK_US:
            if any(map(_is_of_transfer, self._site.network.under_way())):
                last_us = self._loop.now_us
            self._next(deadline_us)

    def _next(self, deadline_us: int) -> None:
        assert self._loop.now_us < deadline_us, (
            f"I12 Liveness: not well {_WELL_US // SECOND} s after healing: {self._shown()}"
        )
        self._loop.next()

    def _wait_for_leader(self) -> None:
        ticks = _TIMEOUTS * self._site.faults.election_ticks_max
        deadline_us = self._loop.now_us + round(ticks * TICK_US * (1 + self._site.faults.drift))
        while self._leader() is None:
            assert self._loop.now_us < deadline_us, (
                f"I12 Liveness: nobody leads {ticks} ticks after healing: {self._shown()}"
            )
            self._loop.next()

    def _live(self) -> list[Node]:
        return [node for name, node in self._site.nodes.items() if name in self._site.core and not node.is_removed]

    def _leader(self) -> Node | None:
        """Who leads, and can be heard, in the newest term that the core knows."""
        term = max((node.running.term for node in self._live() if node.core is not None), default=0)
        for node in self._site.nodes.values():
            core = node.core
            leads = core is not None and core.role is Role.LEADER and core.term == term and not node.is_silent_leader
            if leads and self._loop.now_us >= node.paused_until_us:
                return node
        return None

    def _is_well(self) -> bool:
        if not (self._readers.answered and self._clients.answered):
            return False
        leader = self._leader()
        if leader is None or leader.configuration.is_joint:
            return False
        last, cores = leader.running.last_index, [node.running for node in self._obedient(leader)]
        cores.append(leader.running)  # wherever it is, it serves
        return all(core.leader == leader.name and core.applied_index == core.commit_index == last for core in cores)

    def _obedient(self, leader: Node) -> list[Node]:
        """Members in the core. A leader outside of it may see a quorum, and not all of them."""
        members, is_open = leader.configuration.members(), self._site.network.is_open
        return [node for node in self._live() if node.name in members and is_open(leader.name, node.name)]

    def _stays_well(self) -> None:
        """Nothing is broken any more inside the core, so nothing is a reason for another leader."""
        leader = self._leader()
        assert leader is not None
        if leader.name not in self._site.core or self._site.faults.clock_step:
            return  # an outsider may be cut off, and a clock that was set back be silent, at any time
        end_us = self._loop.now_us + 2 * self._site.faults.election_ticks_max * TICK_US
        term = leader.running.term
        while self._loop.now_us < end_us:
            self._loop.next()
            assert leader.running.term == term, (
                f"I12 Liveness: {leader.name} is disturbed although all is well: {self._shown()}"
            )

    def _shown(self) -> str:
        cores = [node.core for node in self._site.nodes.values() if node.core is not None]
        nodes = [f"{c.node} {c.role} term={c.term} applied={c.applied_index} last={c.last_index}" for c in cores]
        silent = [name for name, node in self._site.nodes.items() if node.is_silent_leader]
        return (
            f"{'; '.join(nodes)}; core {','.join(sorted(self._site.core))}; silent {','.join(silent)}; "
            f"clients waiting {self._clients.waiting}"
        )

    def _audit(self) -> None:
        leader = self._leader()
        assert leader is not None
        self._oracle.durability_scan(leader.configuration)
        for node in self._live():
            if not node.disk.damage:
                found, expected = node.disk.load(), node.disk.expected()
                assert found == expected, f"I5 Durable state: the disk of {node.name} has {found}, not {expected}"
        for node in self._obedient(leader):
            self._clients.audit(node.machine)
        self._loop.counts["terms"] = max(self._oracle.leaders, default=0)
        self._loop.counts["leaders"] = len(self._oracle.leaders)


def _is_of_transfer(message: Message) -> bool:
    """Whether leadership may change by it although a leader is heard."""
    return isinstance(message, TimeoutNow) or (isinstance(message, VoteRequest) and message.transfer)
