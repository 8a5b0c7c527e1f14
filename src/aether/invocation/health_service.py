"""Asks every node how its calls to the versions of a slice went, and answers when asked.

Knows: this node's counters; questions under way.
Never: who decides by the answers, which nodes there are.
Holds: a question is over within HEALTH_ASK_S; who did not answer, or is gone, is named; an answer that comes later, or
       from somebody else, is ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs
import trio

from aether.errors import BadInput, Overloaded
from aether.invocation.health_messages import CountsReply, CountsRequest
from aether.invocation.pending_service import Send
from aether.invocation.version_statistics import VersionCounters
from aether.model.artifact import ArtifactBase
from aether.model.health import ClusterHealth, HealthMark, VersionCounts, cluster_health
from aether.model.ids import NodeId
from aether.model.limits import HEALTH_ASK_S, HEALTH_QUESTIONS_MAX
from aether.model.version import Version


@attrs.define(eq=False)
class _Question:
    """waiting  nodes that have not answered; told  node -> what it said; over  nobody is waited for"""

    waiting: set[NodeId]
    told: dict[NodeId, tuple[int, Mapping[Version, VersionCounts]]]
    over: trio.Event = attrs.field(factory=trio.Event)

    def without(self, node: NodeId) -> None:
        """Nobody waits for `node` any more."""
        self.waiting.discard(node)
        if not self.waiting:
            self.over.set()


class HealthOfVersions:
    """The questions and answers of one node. epoch  a random number of this process"""

    def __init__(self, node: NodeId, epoch: int, counters: VersionCounters, send: Send) -> None:
        self._node = node
        self._epoch = epoch
        self._counters = counters
        self._send = send
        self._number = 0
        self._questions: dict[int, _Question] = {}

    async def health(self, base: ArtifactBase, since: HealthMark | None, nodes: Iterable[NodeId]) -> ClusterHealth:
        """As HealthSource.health, over this node and `nodes`. Raises Overloaded when too many ask at a time."""
        if len(self._questions) >= HEALTH_QUESTIONS_MAX:
            raise Overloaded(f"node {self._node}, questions for the health of versions", HEALTH_QUESTIONS_MAX)
        self._number += 1
        number, peers = self._number, sorted(set(nodes) - {self._node})
        question = self._questions[number] = _Question(set(peers), {})
        try:
            for peer in peers:
                if not self._send(peer, CountsRequest(number, str(base)), ""):
                    question.without(peer)
            with trio.move_on_after(HEALTH_ASK_S):
                if question.waiting:
                    await question.over.wait()
        finally:
            del self._questions[number]
        told = {**question.told, self._node: (self._epoch, self._counters.counts(base))}
        return cluster_health(HealthMark(told), since, [peer for peer in peers if peer not in question.told])

    # --- messages -----------------------------------------------------------------------------------------------------

    def asked(self, sender: NodeId, m: CountsRequest) -> None:
        """A question of another node. Never blocks."""
        try:
            counts = self._counters.counts(ArtifactBase.parse(m.target))
        except BadInput:
            counts = {}  # a name that no slice can have: nobody called it
        self._send(sender, CountsReply(m.number, self._epoch, counts), "")

    def told(self, sender: NodeId, m: CountsReply) -> None:
        """An answer."""
        question = self._questions.get(m.number)
        if question is not None and sender in question.waiting:
            question.told[sender] = (m.epoch, m.versions)
            question.without(sender)

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone: it will not answer."""
        for question in self._questions.values():
            question.without(node)
