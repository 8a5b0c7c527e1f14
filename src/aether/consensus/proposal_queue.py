"""Proposals on their way into the core, and whether they come close together.

Knows: payloads and their limits, when the last turn ended.
Never: tasks, clocks: times are passed in.
Holds: at most PROPOSALS_QUEUED_BYTES_MAX and one proposal more wait; what the core refuses for good is dropped here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from aether.consensus.core import RaftCore
from aether.consensus.values import Role
from aether.errors import BadInput, NotLeader, Overloaded
from aether.model.limits import PROPOSALS_QUEUED_BYTES_MAX

RARE_S: Final = 50e-6
"""A proposal that follows a turn within less is one of many: they share the next turn, its messages and its write."""

BATCH: Final = 512
"""So many are worth a turn of their own: the followers work on them while this node's callers make the next."""


class ProposalQueue:
    """`put` is for callers, `feed` for the task whose turn it is.

    group       makes fewer payloads of those that wait, in order; what it made may be given to it again
    is_crowded  from two proposals close together until a turn finds a single one
    """

    def __init__(self, proposal_bytes_max: int, group: Callable[[Sequence[bytes]], list[bytes]] = list) -> None:
        self.is_crowded: bool = False
        self._group = group
        self._proposal_bytes_max = proposal_bytes_max
        self._payloads: list[bytes] = []
        self._bytes = 0

    def put(self, payload: bytes, since_turn_s: float) -> bool:
        """Queue it. Whether to take a turn at once: what waits is one alone, or a full batch.

        since_turn_s  how long ago the last turn ended. Raises BadInput, Overloaded.
        """
        size = len(payload)
        if size > self._proposal_bytes_max:
            problem = f"{size} bytes; at most {self._proposal_bytes_max} are allowed"
            raise BadInput("the proposal is too long", (problem,))
        if self._bytes >= PROPOSALS_QUEUED_BYTES_MAX:
            raise Overloaded("the replicated log", len(self._payloads))
        self._payloads.append(payload)
        self._bytes += size
        self.is_crowded = self.is_crowded or since_turn_s < RARE_S
        return not self.is_crowded or len(self._payloads) >= BATCH

    def feed(self, core: RaftCore) -> None:
        """Give the core all that wait; once in each turn."""
        if not self._payloads:
            return
        self.is_crowded = len(self._payloads) > 1
        payloads = self._payloads = self._group(self._payloads)
        try:
            core.propose(payloads)
        except Overloaded:
            return  # they stay queued, which is bounded, until commits make room
        except NotLeader:
            if core.role is Role.LEADER:
                return  # leadership is being handed over: they go with it, or on when nobody takes it
        self._payloads = []
        self._bytes = 0
