"""Which other nodes have applied what, for whoever may go on only when all have.

Knows: what each node said last, and who asked this one for more than it has.
Never: who lives; what waits for it.
Holds: a node is said to have applied only what it said itself; one question of each node is remembered, the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio

from aether.kv.messages import AskApplied, HasApplied
from aether.kv.store import Store
from aether.model.ids import NodeId, Revision
from aether.model.limits import PEERS_MAX


class AppliedWatch:
    """`behind`, `applied`, `take_question` and `take_answer` never block."""

    def __init__(self, node: NodeId, store: Store, send: Callable[[NodeId, object], bool]) -> None:
        self._node = node
        self._store = store
        self._send = send
        self._known: dict[NodeId, Revision] = {}
        self._asked: dict[NodeId, Revision] = {}
        self._heard = trio.Event()

    def behind(self, nodes: Iterable[NodeId], revision: Revision) -> frozenset[NodeId]:
        """Those that have not said that they applied `revision`; they are asked. Ask again: questions may get lost."""
        late = frozenset(node for node in nodes if self._reached(node) < revision)
        for node in late - {self._node}:
            self._send(node, AskApplied(revision))
        return late

    async def heard(self) -> None:
        """Return at the next answer of another node."""
        await self._heard.wait()

    def take_question(self, sender: NodeId, question: AskApplied) -> None:
        if len(self._asked) < PEERS_MAX or sender in self._asked:
            self._asked[sender] = question.revision
            self.applied()

    def take_answer(self, sender: NodeId, answer: HasApplied) -> None:
        if sender not in self._known and len(self._known) >= PEERS_MAX:
            return  # it counts as behind, and is asked again
        self._known[sender] = max(answer.revision, self._known.get(sender, Revision(0)))
        self._heard.set()
        self._heard = trio.Event()

    def applied(self) -> None:
        """The store has applied something. Costs nothing while nobody asks."""
        if not self._asked:
            return
        revision = self._store.revision
        for node in [node for node, wanted in self._asked.items() if wanted <= revision]:
            del self._asked[node]
            self._send(node, HasApplied(revision))

    def _reached(self, node: NodeId) -> Revision:
        return self._store.revision if node == self._node else self._known.get(node, Revision(0))
