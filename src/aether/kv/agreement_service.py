"""Tells the leader now and then what state this node has, and stops the node whose state is another one.

Knows: the marks of the store of this node, who leads, who votes.
Never: which of the entries was applied wrongly.
Holds: a node that differs from the majority stops with an error, so that nobody reads it; only a leader accuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import trio

from aether.errors import StateDiverged
from aether.kv.agreement import Agreement
from aether.kv.messages import StateReport, StateVerdict
from aether.kv.ports import Consensus
from aether.kv.store import Store
from aether.model.ids import NodeId


class StateWatch:
    """`applied`, `leader_changed`, `take_report` and `take_verdict` never block; `run` raises StateDiverged."""

    def __init__(
        self, node: NodeId, consensus: Consensus, store: Store, send: Callable[[NodeId, object], bool]
    ) -> None:
        self._node = node
        self._consensus = consensus
        self._store = store
        self._send = send
        self._agreement = Agreement()
        self._told = 0  # revision of the mark that the present leader knows
        self._accused = trio.Event()
        self._accused_at = 0

    def leader_changed(self) -> None:
        """Somebody else leads: it knows nothing yet."""
        self._told = 0
        self.applied()

    def applied(self) -> None:
        """The store has applied something: tell the leader of a new mark. Without one this costs next to nothing."""
        mark = self._store.newest_mark
        if mark is None or mark[0] == self._told:
            return
        leader, report = self._consensus.status.leader, StateReport(*mark)
        if leader == self._node:
            self.take_report(self._node, report)
        elif leader is None or not self._send(leader, report):
            return  # with the next entry, again
        self._told = mark[0]

    def take_report(self, sender: NodeId, report: StateReport) -> None:
        """A node says what it has. Only the leader compares."""
        status = self._consensus.status
        if status.leader != self._node:
            return
        for node in self._agreement.reported(sender, report.revision, report.state_hash, status.voters):
            verdict = StateVerdict(report.revision)
            if node == self._node:
                self.take_verdict(self._node, verdict)
            else:
                self._send(node, verdict)

    def take_verdict(self, sender: NodeId, verdict: StateVerdict) -> None:
        """The leader says that this node differs."""
        if sender == self._consensus.status.leader:
            self._accused_at = verdict.revision
            self._accused.set()

    async def run(self) -> NoReturn:
        """Until this node is found to differ from the others. Raises StateDiverged."""
        await self._accused.wait()
        raise StateDiverged(self._node, self._accused_at)
