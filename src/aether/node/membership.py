"""Who belongs to the group, as one node lives it: enters, knows the others' addresses, helps others in, leaves.

Knows: the parts that do it, and in which order a node passes through them.
Never: decisions of any of them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import trio

from aether.consensus.membership_policy import MembershipSettings
from aether.consensus.service import ConsensusService
from aether.errors import AetherError, BadInput
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.ids import NodeId
from aether.model.rows import MemberRow
from aether.node import joining
from aether.node.address_book import AddressBook
from aether.node.config import NodeConfig
from aether.node.enrolment import enrol, removed
from aether.node.feature_levels import FeatureLevels
from aether.node.founders import check_founders
from aether.node.joining import Applicant, Registrar
from aether.node.member_operator import MemberOperator
from aether.node.membership_manager import MembershipManager
from aether.transport.values import Transport

_log = logging.getLogger("aether.node")

RETIRE_S: Final = 2.0
LEAVE_S: Final = 30.0
"""A removed node that has handed its work over waits so long to hear that it is out, then stops all the same."""


class Membership:
    """Built with the node's parts; `begin` once the store is loaded, `enter` once peers can dial in.

    founders  the voters that the log began with; member  this process's row as it should be; reached  with itself
    """

    def __init__(
        self,
        config: NodeConfig,
        founders: tuple[NodeId, ...],
        kv: KvService,
        consensus: ConsensusService,
        transport: Transport,
        member: Callable[[], MemberRow],
        reached: Callable[[], Collection[NodeId]],
        wall: Callable[[], float],
    ) -> None:
        self._config = config
        self._retires = False
        self._founders = founders
        self._kv = kv
        self._consensus = consensus
        self._member = member
        self._book = AddressBook(config.node, kv, transport)
        self._registrar = Registrar(kv, transport)
        self._applicant = Applicant(config.node, transport, member, lambda: consensus.status, consensus.status_changed)
        self._manager = MembershipManager(
            config.node,
            kv,
            lambda: consensus.status,
            consensus.membership,
            reached,
            settings=MembershipSettings(core_max=config.core_max, auto_replace=config.auto_replace),
            wall=wall,
            drain_s=config.drain_s,
        )
        self.operator: MemberOperator = MemberOperator(kv, lambda: consensus.status, reached, wall, config.core_max)

    @property
    def handlers(self) -> dict[type, Callable[[NodeId, Any, str], None]]:
        """Whom the transport gives the messages of joining."""
        return joining.handlers(self._registrar, self._applicant)

    @property
    def is_newcomer(self) -> bool:
        """Whether this node belongs to no group yet."""
        return not self._consensus.status.configuration.voters

    async def begin(self, nursery: trio.Nursery) -> None:
        """Check that the store fits what this node was told, and dial whom it remembers. Raises IdentityMismatch."""
        config, status = self._config, self._consensus.status
        changed = status.configuration_index > 0
        if config.data is not None:
            check_founders(config.node, self._founders, config.voters, has_changed=changed, joins=bool(config.join))
        await nursery.start(self._book.run)
        if self.is_newcomer and not config.join and self._book.is_empty:
            raise BadInput(
                f"{config.node} belongs to no cluster yet", ("start it with --join HOST:PORT of any member, as before",)
            )
        nursery.start_soon(self._registrar.run)

    async def enter(self, nursery: trio.Nursery) -> None:
        """Return once this node belongs to the group and has caught up. Raises IdentityMismatch, Removed, BadInput."""
        node = self._config.node
        if self.is_newcomer:
            _log.info("%s asks %s to be taken in", node, ", ".join(self._config.join) or "its peers")
            await self._applicant.join()
        elif len(self._consensus.status.voters) > 1:
            _log.info("%s waits for a majority of %s", node, ", ".join(self._consensus.status.voters))
        await enrol(self._kv, self._member)
        await nursery.start(self._manager.run)
        nursery.start_soon(FeatureLevels(self._kv).run)

    async def retire(self) -> None:
        """Let the group forget this node, of which nothing survives. Best effort: silence does it too, in a minute."""
        node = self._config.node
        if node in self._consensus.status.voters:
            return
        self._retires = True
        with trio.move_on_after(RETIRE_S):
            try:
                await self.operator.remove(node, by="itself: it stops, and nothing of it survives")
            except AetherError as error:
                _log.info("%s leaves without a word: %s", node, error)

    async def leave_when_removed(self, leave: Callable[[], Awaitable[None]]) -> None:
        """Once an operator has removed this node: hand the work over by `leave`, then raise Removed."""
        async with self._kv.watch(keys.REMOVED) as watch:
            while self._kv.get(keys.removed(self._config.node)) is None and not self._consensus.status.is_removed:
                await watch.changed()
        if self._retires:
            return
        _log.warning("%s was removed from the cluster; it hands its work over and stops", self._config.node)
        await leave()
        with trio.move_on_after(LEAVE_S):
            while not (status := self._consensus.status).is_removed:
                await self._consensus.status_changed(status)
        raise removed(self._config.node)
