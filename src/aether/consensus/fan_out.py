"""Which learners the leader serves itself, and which voter passes the log on to the others.

Knows: learners, voters that live, what each learner has reported.
Never: messages, entries.
Holds: the leader serves at most `WORKERS_SERVED_BY_LEADER_MAX` learners as long as another voter lives; whoever needs a
       snapshot, or gets nowhere with its relay, comes first; nobody is moved without a reason. The dead, and those
       whom no chunk reaches, keep nobody from the leader: in turns, all in need are tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from aether.consensus.log import RaftLog
from aether.consensus.progress import Progress
from aether.model.ids import LogIndex, NodeId

TRANSFER_PATIENCE_ROUNDS: Final = 100
"""A snapshot that moves no byte for so many answered heartbeats lets the next learner in need have its turn."""

Serving: TypeAlias = dict[NodeId, NodeId | None]
"""learner -> the voter that passes the log on to it; None = the leader itself."""


def decide_serving(
    learners: Sequence[NodeId],
    needy: Sequence[NodeId],
    relays: Sequence[NodeId],
    before: Mapping[NodeId, NodeId | None],
    direct_max: int,
) -> Serving:
    """Who serves whom now.

    learners  in the order of joining; needy  those of them whom only the leader can help, the most urgent first;
    relays  voters that live
    """
    if not relays:
        return dict.fromkeys(learners)
    direct = list(needy[:direct_max])
    in_need = frozenset(needy)
    served = [learner for learner in learners if learner not in in_need and before.get(learner, _NEW) is None]
    fresh = [learner for learner in learners if learner not in before and learner not in in_need]
    direct += (served + fresh)[: direct_max - len(direct)]
    serving: Serving = dict.fromkeys(direct)
    load = Counter(dict.fromkeys(relays, 0))
    for learner in learners:
        relay = before.get(learner)
        if relay is not None and learner not in serving and relay in relays and learner not in in_need:
            serving[learner] = relay
            load[relay] += 1
    for learner in learners:
        if learner not in serving:
            former = before.get(learner)
            relay = min(relays, key=lambda voter: (voter == former, load[voter], voter))
            serving[learner] = relay
            load[relay] += 1
    return serving


_NEW = NodeId("")  # in the place of a relay, for a learner that was not served before


class FanOut:
    """What a leader remembers from one look to the next."""

    def __init__(self, direct_max: int) -> None:
        self._direct_max = direct_max
        self._serving: Serving = {}
        self._match: dict[NodeId, LogIndex] = {}
        self._committed = LogIndex(0)
        self._looks = 0
        self._tried: dict[NodeId, int] = {}  # the last look that left a learner to the leader

    @property
    def serving(self) -> Mapping[NodeId, NodeId | None]:
        """What the last look decided for every learner, as Serving."""
        return self._serving

    def look(
        self,
        learners: Sequence[NodeId],
        relays: Sequence[NodeId],
        progress: Mapping[NodeId, Progress],
        log: RaftLog,
        is_heard: Callable[[NodeId], bool],
    ) -> Mapping[NodeId, tuple[NodeId, ...]]:
        """Once a second: decide what must be moved (see `serving`); what each relay is to be told, the idle ones too.

        is_heard  whether a member answered since the last look
        """

        def turn(learner: NodeId) -> int:
            transfer = progress[learner].transfer
            receives = transfer is not None and is_heard(learner) and transfer.waited < TRANSFER_PATIENCE_ROUNDS
            return -1 if receives else self._tried.get(learner, 0)

        needy = [learner for learner in learners if self._is_needy(learner, progress[learner])]
        needy.sort(key=turn)
        used = {relay for relay in self._serving.values() if relay is not None}
        self._serving = decide_serving(learners, needy, relays, self._serving, self._direct_max)
        self._match = {learner: progress[learner].held for learner in learners}
        self._committed = log.committed
        self._looks += 1
        self._tried = {
            learner: self._looks if self._serving[learner] is None else self._tried.get(learner, 0)
            for learner in learners
        }
        used |= {relay for relay in self._serving.values() if relay is not None}
        return {
            relay: tuple(learner for learner, server in self._serving.items() if server == relay)
            for relay in sorted(used)
            if relay in relays
        }

    def is_relay(self, voter: NodeId) -> bool:
        """Whether somebody depends on `voter`."""
        return voter in self._serving.values()

    def _is_needy(self, learner: NodeId, progress: Progress) -> bool:
        if progress.transfer is not None:
            return True
        if not progress.is_relayed or progress.held >= self._committed:
            return False
        return progress.held == self._match.get(learner)
