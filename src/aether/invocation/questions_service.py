"""Questions that a node puts to all others, and their answers.

Knows: which are under way, who has not answered.
Never: what is asked, which nodes there are.
Holds: a question is over within ASK_NODES_S; who did not answer, or is gone, is missing from what it came to; an answer
       that comes later, or from somebody else, is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import attrs
import trio

from aether.errors import Overloaded
from aether.invocation.pending_service import Send
from aether.model.ids import NodeId
from aether.model.limits import ASK_NODES_S, QUESTIONS_MAX

T = TypeVar("T")


@attrs.define(eq=False)
class _Question(Generic[T]):
    """waiting  nodes that have not answered; told  node -> what it said; over  nobody is waited for"""

    waiting: set[NodeId]
    told: dict[NodeId, T] = attrs.field(factory=dict[NodeId, T])
    over: trio.Event = attrs.field(factory=trio.Event)

    def without(self, node: NodeId) -> None:
        """Nobody waits for `node` any more."""
        self.waiting.discard(node)
        if not self.waiting:
            self.over.set()


class Questions(Generic[T]):
    """Of one kind and one node. about  what they are for, in messages"""

    def __init__(self, node: NodeId, about: str, send: Send) -> None:
        self._node = node
        self._about = about
        self._send = send
        self._number = 0
        self._open: dict[int, _Question[T]] = {}

    async def ask(self, nodes: Iterable[NodeId], message: Callable[[int], object]) -> dict[NodeId, T]:
        """What each of `nodes` answered to `message(number)`. Raises Overloaded when too many ask at a time."""
        if len(self._open) >= QUESTIONS_MAX:
            raise Overloaded(f"node {self._node}, questions for {self._about}", QUESTIONS_MAX)
        self._number += 1
        number, peers = self._number, sorted(set(nodes) - {self._node})
        question = self._open[number] = _Question[T](set(peers))
        try:
            for peer in peers:
                if not self._send(peer, message(number), ""):
                    question.without(peer)
            with trio.move_on_after(ASK_NODES_S):
                if question.waiting:
                    await question.over.wait()
        finally:
            del self._open[number]
        return question.told

    def told(self, sender: NodeId, number: int, answer: T) -> None:
        """An answer. Never blocks."""
        question = self._open.get(number)
        if question is not None and sender in question.waiting:
            question.told[sender] = answer
            question.without(sender)

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone: it will not answer."""
        for question in self._open.values():
            question.without(node)
