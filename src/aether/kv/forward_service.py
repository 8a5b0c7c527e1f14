"""Proposals on their way to a leader elsewhere: one alone at once, those that come close together in one message.

Knows: when the last message left, which proposals wait for the next.
Never: whether the leader took them, when to send them again.
Holds: a proposal counts as sent from the moment in which the transport took it; what waits is gone with the next turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

import trio

from aether.consensus.bell_service import Bell
from aether.kv.messages import ProposeRequest, ProposeRequests
from aether.kv.proposals import Proposal
from aether.model.ids import NodeId
from aether.model.limits import APPEND_BYTES_MAX

RARE_S: Final = 50e-6
"""A proposal that follows a message within less is one of many."""


class Forwarder:
    """send  to a peer, without blocking: False = it certainly did not leave."""

    def __init__(self, send: Callable[[NodeId, object], bool]) -> None:
        self._send = send
        self._waiting: list[tuple[NodeId, Proposal]] = []
        self._is_crowded = False
        self._sent_at_s = float("-inf")
        self._bell = Bell()

    def put(self, leader: NodeId, proposal: Proposal) -> None:
        """Send `proposal`, now or with others that come in this moment. Never waits."""
        if not self._is_crowded and trio.current_time() - self._sent_at_s >= RARE_S:
            self._send_all(leader, [proposal])
            return
        self._is_crowded = True
        self._waiting.append((leader, proposal))
        self._bell.ring()

    async def run(self) -> NoReturn:
        """Send what waits, until cancelled."""
        while True:
            await self._bell.wait()
            waiting, self._waiting = self._waiting, []
            # Whoever was answered meanwhile was perhaps told that it never left: then it must not leave either.
            waiting = [(to, proposal) for to, proposal in waiting if proposal.answer is None]
            self._is_crowded = len(waiting) > 1
            for leader in dict.fromkeys(leader for leader, _ in waiting):
                self._send_all(leader, [proposal for to, proposal in waiting if to == leader])

    def _send_all(self, leader: NodeId, proposals: list[Proposal]) -> None:
        self._sent_at_s = trio.current_time()
        size, start = 0, 0
        for end, proposal in enumerate(proposals, 1):
            size += len(proposal.command)
            if size >= APPEND_BYTES_MAX or end == len(proposals):
                self._send_some(leader, proposals[start:end])
                size, start = 0, end

    def _send_some(self, leader: NodeId, proposals: list[Proposal]) -> None:
        requests = tuple([ProposeRequest(proposal.sequence, proposal.command) for proposal in proposals])
        if self._send(leader, requests[0] if len(requests) == 1 else ProposeRequests(requests)):
            for proposal in proposals:
                proposal.sent = True
