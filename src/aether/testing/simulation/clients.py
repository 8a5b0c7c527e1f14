"""Clients that append values and repeat until they are answered.

Knows: its session, the request in flight, what was acknowledged.
Never: consensus; it only asks some node and may be answered late, twice or never.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from aether.model.ids import NodeId
from aether.testing.simulation.machine import SessionMachine

_KEYS = ("x", "y")


class Client:
    """One session, one request at a time."""

    def __init__(self, session: int, nodes: Sequence[NodeId], rng: random.Random) -> None:
        self.session = session
        self.request: int = 0
        self.answered: bool = True
        self.tries = 0
        self.redirects: int = 0  # since it chose a node itself
        self.acknowledged: list[tuple[str, str, int, int, int]] = []  # key, value, position, asked at, answered at
        self._nodes = nodes
        self._rng = rng
        self._target = rng.choice(nodes)
        self._asked_us = 0
        self._key = self._value = ""

    @property
    def key(self) -> str:
        """Of the newest request."""
        return self._key

    def next_request(self, now_us: int) -> None:
        """Begin a new request."""
        self.request += 1
        self.answered = False
        self._asked_us = now_us
        self._key = self._rng.choice(_KEYS)
        self._value = f"{self.session}.{self.request}"

    def ask(self) -> tuple[NodeId, bytes]:
        """Where to send the request now, and what."""
        return self._target, SessionMachine.command(self.session, self.request, self._key, self._value)

    def redirect(self, leader: NodeId) -> None:
        """The node asked does not lead, and names who does."""
        self.redirects += 1
        self._target = leader

    def give_up_target(self) -> None:
        """No answer in time: repeat elsewhere."""
        self.redirects = 0
        self._target = self._rng.choice(self._nodes)

    def answer(self, request: int, position: int, now_us: int) -> bool:
        """An answer arrived. False for a late one of an older request, which is ignored."""
        if request != self.request or self.answered:
            return False
        self.answered = True
        self.acknowledged.append((self._key, self._value, position, self._asked_us, now_us))
        return True

    def audit(self, machine: SessionMachine) -> None:
        """Assert that everything acknowledged stands where it was acknowledged."""
        for key, value, position, _, _ in self.acknowledged:
            values = machine.lists.get(key, [])
            assert values[position - 1 : position] == [value], (
                f"Acknowledged write lost: {value} at {position} of {key}, which is {values}"
            )


def audit_order(clients: Sequence[Client]) -> None:
    """Assert linearizability of the appends: who was answered before another asked stands before it."""
    for key in _KEYS:
        events = sorted(a for client in clients for a in client.acknowledged if a[0] == key)
        by_position = sorted(events, key=lambda a: a[2])
        earliest_answer = 2**63
        for _, value, position, asked, answered in reversed(by_position):
            assert earliest_answer >= asked, (
                f"Real-time order: {value} at {position} of {key} was asked for after a later one was answered"
            )
            earliest_answer = min(earliest_answer, answered)
