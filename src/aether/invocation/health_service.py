"""Asks every node how its calls to the versions of a slice went, and answers when asked.

Knows: this node's counters, and how they stood when the share of each slice that is updated last changed here.
Never: who decides by the answers, which nodes there are.
Holds: who did not answer is named; whoever asks, now or after a change of leader, hears of the same calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from aether.errors import BadInput
from aether.invocation.health_messages import CountsReply, CountsRequest, ShareRequest
from aether.invocation.pending_service import Send
from aether.invocation.questions_service import Questions
from aether.metrics.method_counters import MethodCounters
from aether.model.artifact import ArtifactBase
from aether.model.call_counts import CallCounts
from aether.model.health import ClusterHealth, cluster_health
from aether.model.ids import NodeId
from aether.model.version import Version

Counts: TypeAlias = Mapping[Version, CallCounts]


class HealthOfVersions:
    """The questions and answers of one node. epoch  a random number of this process"""

    def __init__(self, node: NodeId, epoch: int, counters: MethodCounters, send: Send) -> None:
        self._node = node
        self._epoch = epoch
        self._counters = counters
        self._send = send
        self._marks: dict[ArtifactBase, tuple[str, Counts]] = {}
        self._questions: Questions[Counts] = Questions(node, "the health of versions", send)

    def shares_changed(self, shares: Mapping[ArtifactBase, str]) -> None:
        """What this node goes by from now on; of each new share the calls are counted from now on. Never blocks."""
        self._marks = {
            base: known if known is not None and known[0] == share else (share, self._counters.counts(base))
            for base, share in shares.items()
            for known in (self._marks.get(base),)
        }

    async def health(self, base: ArtifactBase, share: str, nodes: Iterable[NodeId]) -> ClusterHealth:
        """As HealthSource.health, over this node and `nodes`. Raises Overloaded when too many ask at a time."""
        peers, target = sorted(set(nodes) - {self._node}), str(base)

        def question(number: int) -> CountsRequest | ShareRequest:
            return ShareRequest(number, target, share) if share else CountsRequest(number, target)

        told = await self._questions.ask(peers, question)
        unheard = [peer for peer in peers if peer not in told]
        return cluster_health([*told.values(), self._counts(base, share)], unheard)

    def _counts(self, base: ArtifactBase, share: str) -> Counts:
        """Of a share that this node does not go by, none: it may go by it soon, or did before."""
        counts = self._counters.counts(base)
        if not share:
            return counts
        mark = self._marks.get(base)
        if mark is None or mark[0] != share:
            return {}
        return {version: each.since(mark[1].get(version)) for version, each in counts.items()}

    # --- messages -----------------------------------------------------------------------------------------------------

    def asked(self, sender: NodeId, m: CountsRequest | ShareRequest) -> None:
        """A question of another node. Never blocks."""
        try:
            counts = self._counts(ArtifactBase.parse(m.target), m.share if isinstance(m, ShareRequest) else "")
        except BadInput:
            counts = {}  # a name that no slice can have: nobody called it
        self._send(sender, CountsReply(m.number, self._epoch, counts), "")

    def told(self, sender: NodeId, m: CountsReply) -> None:
        """An answer."""
        self._questions.told(sender, m.number, m.versions)

    def peer_lost(self, node: NodeId) -> None:
        """The connection to `node` is gone: it will not answer."""
        self._questions.peer_lost(node)
