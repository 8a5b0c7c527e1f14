"""Clients that append values and repeat until they are answered.

Knows: each one's session, its request in flight, what was acknowledged.
Never: consensus; they only ask some node and may be answered late, twice or never.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

from aether.errors import NotLeader, Overloaded
from aether.model.ids import NodeId
from aether.testing.simulation.faults import SECOND, stream
from aether.testing.simulation.history import KEYS, History
from aether.testing.simulation.machine import Answer, SessionMachine
from aether.testing.simulation.node import Node
from aether.testing.simulation.site import Site, Turn


class Client:
    """One session, one request at a time."""

    def __init__(self, session: int, nodes: Sequence[NodeId], rng: random.Random) -> None:
        self.session = session
        self.request: int = 0
        self.answered: bool = True
        self.tries: int = 0
        self.redirects: int = 0  # since it chose a node itself
        self.is_last = False  # the request after which it stops
        self.acknowledged: list[tuple[str, str, int]] = []  # key, value, position
        self.asked_us: int = 0
        self.key: str = ""
        self.value: str = ""
        self.target: NodeId = rng.choice(nodes)
        self.rng: random.Random = rng
        self._nodes = nodes

    def next_request(self, now_us: int) -> None:
        """Begin a new request."""
        self.request += 1
        self.answered = False
        self.tries = 0
        self.asked_us = now_us
        self.key = self.rng.choice(KEYS)
        self.value = f"{self.session}.{self.request}"

    def command(self) -> bytes:
        return SessionMachine.command(self.session, self.request, self.key, self.value)

    def redirect(self, leader: NodeId) -> None:
        """The node asked does not lead, and names who does."""
        self.redirects += 1
        self.target = leader

    def give_up_target(self) -> None:
        """No answer in time: repeat elsewhere."""
        self.redirects = 0
        self.tries += 1
        self.target = self.rng.choice(self._nodes)

    def answer(self, request: int, position: int) -> bool:
        """An answer arrived. False for a late one of an older request, which is ignored."""
        if request != self.request or self.answered:
            return False
        self.answered = True
        self.acknowledged.append((self.key, self.value, position))
        return True

    def audit(self, machine: SessionMachine) -> None:
        """Assert that everything acknowledged stands where it was acknowledged."""
        for key, value, position in self.acknowledged:
            values = machine.lists.get(key, [])
            assert values[position - 1 : position] == [value], (
                f"I10 Acknowledged write lost: {value} at {position} of {key}, which is {values}"
            )


class Clients:
    """All clients of a run. told  is called with key and position of what a client was told."""

    def __init__(self, site: Site, turn: Turn, history: History, told: Callable[[str, int], None]) -> None:
        self._site = site
        self._loop = site.loop
        self._turn_of = turn
        self._history = history
        self._told = told
        names = list(site.nodes)
        count = site.faults.clients
        self._clients = [Client(i + 1, names, stream(site.seed, f"client {i}")) for i in range(count)]

    def begin(self) -> None:
        """Each asks within a second."""
        for client in self._clients:
            self._loop.later(client.rng.randrange(SECOND), partial(self._turn, client))

    @property
    def answered(self) -> bool:
        """Whether nobody waits."""
        return all(client.answered for client in self._clients)

    @property
    def waiting(self) -> int:
        return sum(not client.answered for client in self._clients)

    def serve_once_more(self) -> None:
        """Faults are over: each is to have one more request answered, and then stops."""
        for client in self._clients:
            client.is_last = client.answered
            if client.answered:
                client.next_request(self._loop.now_us)
                self._ask(client)

    def _turn(self, client: Client) -> None:
        """Ask anew, or repeat what was not answered in time. Also the clients' time-out."""
        if client.answered:
            if client.is_last:
                return
            client.next_request(self._loop.now_us)
            client.is_last = self._loop.healed
        else:
            client.give_up_target()
            self._loop.counts["repeats"] += 1
        self._ask(client)
        patience_us = min(self._site.faults.request_us << min(client.tries, 10), 2 * SECOND)
        self._loop.later(patience_us + client.rng.randrange(patience_us), partial(self._turn, client))

    def _ask(self, client: Client) -> None:
        node = self._site.nodes[client.target]
        if node.core is None or self._loop.now_us < node.paused_until_us:
            return
        command = client.command()
        self._turn_of(node, partial(self._propose, node, client, command), "propose", detail=command.decode())

    def _propose(self, node: Node, client: Client, command: bytes) -> None:
        try:
            node.propose(command)
        except NotLeader as refusal:
            if refusal.leader:
                client.redirect(NodeId(refusal.leader))
                self._loop.later(client.rng.randrange(1, self._site.faults.delay_us), partial(self._ask_again, client))
        except Overloaded:
            self._loop.counts["overloaded"] += 1
        else:
            self._loop.counts["proposals"] += 1

    def applied(self, answer: Answer) -> None:
        """A node that applied a command tells the client, who hears it late or not at all."""
        client = self._clients[answer.session - 1]
        delay_us = client.rng.randrange(1, self._site.faults.delay_us)
        unheard = not self._loop.healed and client.rng.random() < self._site.faults.loss
        if unheard and self._site.schedule.strikes(f"unanswered {client.session}"):
            return
        self._loop.later(delay_us, partial(self._answered, client, answer))

    def _answered(self, client: Client, answer: Answer) -> None:
        if not client.answer(answer.request, answer.position):
            return
        self._told(client.key, answer.position)
        self._history.appended(
            client.session, client.key, client.value, client.asked_us, self._loop.now_us, answer.position
        )
        self._loop.later(client.rng.randrange(self._site.faults.think_us), partial(self._ask_anew, client))

    def _ask_again(self, client: Client) -> None:
        if not client.answered and client.redirects <= len(self._site.nodes):
            self._ask(client)

    def _ask_anew(self, client: Client) -> None:
        if client.answered and not client.is_last:
            client.next_request(self._loop.now_us)
            client.is_last = self._loop.healed
            self._ask(client)

    def audit(self, machine: SessionMachine) -> None:
        """Assert that one node's state holds everything acknowledged, where it was acknowledged."""
        for client in self._clients:
            client.audit(machine)

    def close_history(self) -> None:
        """What was not answered may still happen."""
        for client in self._clients:
            if not client.answered:
                self._history.appended(client.session, client.key, client.value, client.asked_us, None, 0)
        self._loop.counts["acknowledged"] = sum(len(client.acknowledged) for client in self._clients)
