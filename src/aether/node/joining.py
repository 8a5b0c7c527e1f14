"""Taking newcomers in, and being one.

Knows: the two messages, member rows, the configuration in force.
Never: changes of the configuration: the leader's membership manager follows the rows.
Holds: a member records a newcomer only if nothing that it remembers speaks against it; a newcomer asks again until it
       belongs to the group, so lost messages and refusals for the moment are harmless.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, NoReturn, Protocol

import attrs
import trio

from aether.consensus.status import ConsensusStatus
from aether.errors import AetherError, BadInput, IdentityMismatch, OutcomeUnknown, Removed, TryAgain
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.ids import NodeId
from aether.model.limits import PEERS_MAX
from aether.model.rows import MemberRow
from aether.node.enrolment import check_member, write_member
from aether.node.join_messages import JoinReply, JoinRequest

_log = logging.getLogger("aether.node")

ASK_AGAIN_S: Final = 0.5
REQUESTS_WAITING_MAX: Final = 64
UNHEARD_S: Final = 10.0
"""A newcomer that nobody has answered for so long says so in the log."""


class Mail(Protocol):
    """The part of a transport that is needed here."""

    def send(self, to: NodeId, message: object, request_id: str = "") -> bool: ...
    def connected(self) -> Collection[NodeId]: ...
    def remember_peer(self, node: NodeId, address: str) -> None: ...


class Registrar:
    """A member's side: records whoever asks to join."""

    def __init__(self, kv: KvService, mail: Mail) -> None:
        self._kv = kv
        self._mail = mail
        self._send, self._receive = trio.open_memory_channel[tuple[NodeId, JoinRequest]](REQUESTS_WAITING_MAX)

    def deliver(self, sender: NodeId, request: JoinRequest) -> None:
        """Never blocks. One too many is forgotten: its sender asks again."""
        try:
            self._send.send_nowait((sender, request))
        except trio.WouldBlock:
            _log.warning("%d nodes ask to join; %s has to ask again", REQUESTS_WAITING_MAX, sender)

    async def run(self) -> NoReturn:
        """Serve until cancelled."""
        while True:
            sender, request = await self._receive.receive()
            try:
                reply = await self._answer(sender, request)
            except (TryAgain, OutcomeUnknown) as error:
                _log.info("%s cannot be taken in yet: %s", sender, error)
                continue
            if reply is not None:
                self._mail.send(sender, reply)

    async def _answer(self, sender: NodeId, request: JoinRequest) -> JoinReply | None:
        try:
            row = keys.member(sender).decode(request.row)
            self._check(sender, row)
        except Removed as gone:
            return JoinReply(str(gone), True, ())
        except (BadInput, IdentityMismatch) as error:
            return JoinReply(str(error), False, ())
        if not await write_member(self._kv, row):
            return None
        _log.info("%s joins, at %s", sender, row.cluster_address or "no address")
        return JoinReply("", False, tuple((m.node, m.cluster_address) for m in self._kv.rows(keys.MEMBERS)))

    def _check(self, sender: NodeId, row: MemberRow) -> None:
        if row.node != sender:
            raise BadInput(f"{sender} asks to join as {row.node}")
        check_member(self._kv, row)
        members = sum(1 for _ in self._kv.rows(keys.MEMBERS))
        if members >= PEERS_MAX and self._kv.get(keys.member(sender)) is None:
            raise BadInput(f"the cluster has {members} members already, and {PEERS_MAX} at most; remove some")


class Applicant:
    """A newcomer's side: asks until it belongs to the group."""

    def __init__(
        self,
        node: NodeId,
        mail: Mail,
        row: Callable[[], MemberRow],
        status: Callable[[], ConsensusStatus],
        status_changed: Callable[[ConsensusStatus], Awaitable[ConsensusStatus]],
    ) -> None:
        self._node = node
        self._mail = mail
        self._row = row
        self._status = status
        self._status_changed = status_changed
        self._refusal: AetherError | None = None
        self._peers: dict[NodeId, str] = {}

    def deliver(self, sender: NodeId, reply: JoinReply) -> None:
        """Never blocks. What a member says counts only while this node asks."""
        if self._status().configuration.has_member(self._node):
            return
        if reply.refused:
            kind = Removed if reply.is_removed else IdentityMismatch
            self._refusal = kind(f"{sender} does not take {self._node} in", reply.refused)
        for node, address in reply.peers:
            if address and node != self._node and self._peers.get(node) != address:
                self._peers[node] = address
                self._remember(node, address)

    def _remember(self, node: NodeId, address: str) -> None:
        try:
            self._mail.remember_peer(node, address)
        except BadInput as error:
            _log.warning("%s cannot be dialled: %s", node, error)

    async def join(self) -> None:
        """Return once the log says that this node is a member. Raises IdentityMismatch, Removed: it never will be."""
        turn, began, warned = itertools.count(), trio.current_time(), False
        while self._node not in (status := self._status()).configuration.members():
            if self._refusal is not None:
                raise self._refusal
            peers = sorted(self._mail.connected())
            if peers:
                row = attrs.evolve(self._row(), joining=True)
                self._mail.send(peers[next(turn) % len(peers)], JoinRequest(keys.member(row.node).encode(row)))
            elif trio.current_time() - began > UNHEARD_S and not warned:
                warned = True
                _log.warning("%s reaches no member yet; is the address after --join right?", self._node)
            with trio.move_on_after(ASK_AGAIN_S):
                await self._status_changed(status)


def handlers(registrar: Registrar, applicant: Applicant) -> dict[type, Callable[[NodeId, Any, str], None]]:
    """Whom the transport gives the messages of joining."""
    return {
        JoinRequest: lambda sender, message, _: registrar.deliver(sender, message),
        JoinReply: lambda sender, message, _: applicant.deliver(sender, message),
    }
