"""What one node alone sees, told as its own events: connections, quorum, the leader, its disk, its loop.

Knows: the status of consensus, which members are reached, how late the loop runs.
Never: what is done about any of it.
Holds: each state is told when it begins and when it ends, once; a member that is gone is told of by the leader alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NoReturn, Protocol

import trio

from aether.consensus.status import ConsensusStatus
from aether.consensus.values import Role
from aether.metrics.events import EventType
from aether.metrics.events_service import Events
from aether.model.ids import NodeId
from aether.model.limits import MEMBER_LOST_S
from aether.node.facts import LAG_WARNED_S, LATE

_LOOK_S: Final = 0.5
E = EventType


class ConsensusLook(Protocol):
    """What is asked of consensus."""

    @property
    def status(self) -> ConsensusStatus: ...
    @property
    def disk_is_full(self) -> bool: ...
    async def status_changed(self, since: ConsensusStatus) -> ConsensusStatus: ...


class LocalEvents:
    """Of one node. `run` watches; `connected` and `disconnected` are told by the transport, and never block.

    members  those that shall be there: id -> whether it leaves by itself;  reached  this node included
    """

    def __init__(
        self,
        node: NodeId,
        events: Events,
        consensus: ConsensusLook,
        members: Callable[[], Mapping[NodeId, bool]],
        reached: Callable[[], Iterable[NodeId]],
        loop_lag_s: Callable[[], float],
    ) -> None:
        self._node = node
        self._events = events
        self._consensus = consensus
        self._members = members
        self._reached = reached
        self._loop_lag_s = loop_lag_s
        self._has_quorum: bool | None = None
        self._leader: NodeId | None = None
        self._heard_at = -math.inf
        self._disk_was_full = False
        self._was_stalled = False
        self._missing: dict[NodeId, float] = {}
        self._failed: set[NodeId] = set()

    @property
    def silent_s(self) -> float:
        """For how long this node has heard no majority; infinite before the first time."""
        return trio.current_time() - self._heard_at

    def connected(self, peer: NodeId) -> None:
        self._events.local(E.CONNECTION_ESTABLISHED, str(peer), f"{self._node} and {peer} are connected")

    def disconnected(self, peer: NodeId) -> None:
        self._events.local(E.CONNECTION_FAILED, str(peer), f"{self._node} has lost its connection with {peer}")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Watch until cancelled."""
        self._events.local(E.NODE_STARTED, str(self._node), f"{self._node} has started")
        task_status.started()
        while True:
            status = self._consensus.status
            self._look(status)
            with trio.move_on_after(_LOOK_S):
                await self._consensus.status_changed(status)
            await trio.lowlevel.checkpoint()

    def _look(self, status: ConsensusStatus) -> None:
        self._look_at_group(status)
        self._look_at_disk()
        self._look_at_loop()
        if status.role is Role.LEADER:
            self._look_at_members()
        else:
            self._missing.clear()
            self._failed.clear()

    def _look_at_group(self, status: ConsensusStatus) -> None:
        here = str(self._node)
        if status.has_quorum and not self._has_quorum:
            self._events.local(E.QUORUM_ESTABLISHED, here, f"{here} belongs to a majority of the voters")
        elif not status.has_quorum and self._has_quorum:
            text = f"{here} hears no majority of the voters {', '.join(status.voters)}"
            self._events.local(E.QUORUM_LOST, here, text, {"voters": list(status.voters)})
        self._has_quorum = status.has_quorum
        if status.has_quorum:
            self._heard_at = trio.current_time()
        if status.leader is None and self._leader is not None:
            text = f"{here} knows of no leader; {self._leader} led in term {status.term} or before"
            self._events.local(E.LEADER_LOST, str(self._leader), text, {"term": int(status.term)})
        self._leader = status.leader

    def _look_at_disk(self) -> None:
        is_full = self._consensus.disk_is_full
        if is_full is not self._disk_was_full:
            kind, text = (E.DISK_FULL, "has no space left") if is_full else (E.DISK_RECOVERED, "takes writes again")
            self._events.local(kind, str(self._node), f"the disk of {self._node} {text}")
        self._disk_was_full = is_full

    def _look_at_loop(self) -> None:
        lag_s = self._loop_lag_s()
        is_stalled = lag_s > LAG_WARNED_S
        if is_stalled and not self._was_stalled:
            text = f"the loop of {self._node} was {lag_s:.2f} s late: {LATE}"
            self._events.local(E.LOOP_STALLED, str(self._node), text, {"lagSeconds": round(lag_s, 3)})
        self._was_stalled = is_stalled

    def _look_at_members(self) -> None:
        """As leader: who has been silent for so long that its instances are given to others."""
        now, members, reached = trio.current_time(), self._members(), set(self._reached())
        if not self._missing and not self._failed and members.keys() <= reached:
            return
        for node in [node for node in self._missing if node in reached or node not in members]:
            del self._missing[node]
        for node in [node for node in self._failed if node in reached or node not in members]:
            self._failed.discard(node)
            if node in reached:
                self._events.local(E.NODE_RETURNED, str(node), f"{node} answers again")
        for node, leaves in members.items():
            if node in reached or node in self._failed or leaves:
                continue
            if now - self._missing.setdefault(node, now) >= MEMBER_LOST_S:
                del self._missing[node]
                self._failed.add(node)
                self._events.local(E.NODE_FAILED, str(node), f"{node} does not answer, and did not say that it leaves")
