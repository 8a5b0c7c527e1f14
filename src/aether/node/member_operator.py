"""What operators ask of the membership: checked, written as rows, and followed by the leader.

Knows: member rows, the configuration in force; the words of each refusal.
Never: changes of the configuration (the leader's membership manager carries out what the rows say).
Holds: any node takes a wish; a wish that could not be carried out is refused, not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

import attrs

from aether.consensus.membership import MembershipChange, next_configuration
from aether.consensus.quorum import Configuration
from aether.consensus.status import ConsensusStatus
from aether.errors import BadInput, Conflict, NoQuorum, NotFound
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.key_kinds import Key
from aether.kv.service import KvService
from aether.model.ids import Incarnation, NodeId, Revision, node_id
from aether.model.rows import HandoverRow, MemberRow, RemovedRow, RoleRow
from aether.transport.address import is_wildcard, split_address

_TRIES_MAX: Final = 5


@attrs.frozen
class MemberWish:
    """What was asked for: written at `revision`. `missing()` says in words what is not so yet; [] when all is."""

    node: NodeId
    revision: Revision
    missing: Callable[[], list[str]]


class MemberOperator:
    """Any node. Each method answers once the wish is applied here. Raises NotFound, Conflict, BadInput, TryAgain.

    reached   the members that answer this node now, itself included; core_max  voters that the group has at most
    """

    def __init__(
        self,
        kv: KvService,
        status: Callable[[], ConsensusStatus],
        reached: Callable[[], Collection[NodeId]],
        wall: Callable[[], float],
        core_max: int,
    ) -> None:
        self._kv = kv
        self._status = status
        self._reached = reached
        self._wall = wall
        self._core_max = core_max

    async def add(self, name: str, address: str) -> MemberWish:
        """Announce a member that will be started at `address`: it is a learner from now on."""
        node = node_id(name)
        host, port = split_address(address)
        if not host or is_wildcard(host) or not port:
            raise BadInput(f"{address!r} is no address that peers can dial", ("write HOST:PORT of its cluster port",))
        await self._kv.barrier()
        if self._kv.get(keys.removed(node)) is not None:
            raise Conflict(f"member {node}", "it was removed, and ids are never used again; choose another --node-id")
        if self._kv.get(keys.member(node)) is not None or node in self._configuration.members():
            raise Conflict(f"member {node}", "there is one of that id already; `aether members list` shows it")
        row = MemberRow(node=node, incarnation=Incarnation(""), cluster_address=address)
        revision = await self._write(keys.member(node), row)
        return MemberWish(node, revision, lambda: self._lacking(node, node in self._configuration.members(), "there"))

    async def remove(self, name: str, by: str = "") -> MemberWish:
        """Let a member leave, dead or alive, for ever. A living one hands its work over first, then stops."""
        node = await self._member(name)
        configuration = self._configuration
        if self._kv.get(keys.removed(node)) is None and node in configuration.voters:
            self._check_possible(configuration, MembershipChange(remove=(node,), promote=self._heirs()), node)
        revision = await self._write(keys.removed(node), RemovedRow(node=node, by=by, at=self._wall()))
        return MemberWish(
            node, revision, lambda: self._lacking(node, node not in self._configuration.members(), "out of the group")
        )

    async def promote(self, name: str) -> MemberWish:
        """Let a member vote, although the group would not have chosen it."""
        node = await self._member(name)
        row = self._kv.get(keys.member(node))
        if row is not None and row.ephemeral:
            raise Conflict(f"member {node}", "it has no data directory, and a voter must remember its votes")
        voters = self._configuration.voters
        if node not in voters and len(voters) >= self._core_max:
            reason = f"{len(voters)} members vote, and core_max is {self._core_max}; demote one of {', '.join(voters)}"
            raise Conflict("the core", reason)
        revision = await self._write(keys.role(node), RoleRow(node=node, votes=True))
        return MemberWish(
            node, revision, lambda: self._lacking(node, node in self._settled, "a voter: it has to catch up first")
        )

    async def demote(self, name: str) -> MemberWish:
        """Let a member work without a vote, until it is promoted."""
        node = await self._member(name)
        configuration = self._configuration
        if node in configuration.voters:
            self._check_possible(configuration, MembershipChange(demote=(node,), promote=self._heirs()), node)
        revision = await self._write(keys.role(node), RoleRow(node=node, votes=False))
        return MemberWish(node, revision, lambda: self._lacking(node, node not in self._settled_voting, "a worker"))

    async def transfer(self, name: str = "") -> MemberWish:
        """Let another voter lead: the named one, or the one with the longest log."""
        await self._kv.barrier()
        status = self._status()
        to = node_id(name) if name else None
        others = sorted(voter for voter in status.configuration.voters if voter != status.leader)
        if status.leader is None:
            raise NoQuorum(status.reachable, len(status.voters) // 2 + 1)
        if to is not None and to == status.leader:
            return MemberWish(to, self._kv.revision, list)
        if not others or (to is not None and to not in others):
            choose = f"choose one of {', '.join(others)}" if others else "there is no other voter"
            raise BadInput(f"leadership cannot go to {to or 'anybody'}", (choose,))
        revision = await self._write(keys.handover, HandoverRow(term=status.term, to=to, at=self._wall()))
        wanted = [to] if to is not None else others
        who = to or "another voter"
        return MemberWish(
            to or status.leader, revision, lambda: self._lacking(who, self._status().leader in wanted, "leading")
        )

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def _configuration(self) -> Configuration:
        return self._status().configuration

    @property
    def _settled(self) -> Collection[NodeId]:
        """The voters, once no change is under way."""
        status = self._status()
        return () if status.is_changing else status.configuration.voters

    @property
    def _settled_voting(self) -> Collection[NodeId]:
        """Everybody who votes, in whichever half."""
        return self._configuration.voting()

    def _lacking(self, node: str, done: bool, what: str) -> list[str]:
        return [] if done else [f"{node} is not yet {what}"]

    async def _member(self, name: str) -> NodeId:
        """The id of a member that is in force here. Raises NotFound, Conflict."""
        node = node_id(name)
        await self._kv.barrier()
        members = self._configuration.members()
        if node in members or self._kv.get(keys.member(node)) is not None:
            return node
        if self._kv.get(keys.removed(node)) is not None:
            raise Conflict(f"member {node}", "it was removed already")
        raise NotFound("member", node, f"there are {', '.join(members)}")

    def _heirs(self) -> tuple[NodeId, ...]:
        """A worker that could get a vote which becomes free, if there is one."""
        barred = {row.node for row in self._kv.rows(keys.MEMBERS) if row.ephemeral}
        barred |= {row.node for row in self._kv.rows(keys.ROLES) if not row.votes}
        barred |= {row.node for row in self._kv.rows(keys.REMOVED)}
        fit = [each for each in self._configuration.learners if each in self._reached() and each not in barred]
        return tuple(fit[:1])

    def _check_possible(self, configuration: Configuration, change: MembershipChange, node: NodeId) -> None:
        """Raise Conflict when nobody would be left to decide, as far as this node sees."""
        if configuration.is_joint:
            return
        if configuration.voters == (node,) and not change.promote:
            hint = "start a worker first that can vote" if configuration.learners else "stop it instead"
            raise Conflict(f"member {node}", f"it is the only voter, and nobody could take its place; {hint}")
        if not next_configuration(configuration, change).has_quorum(self._reached()):
            silent = sorted(set(configuration.voters) - set(self._reached()))
            reason = (
                f"without it the voters that answer would be no majority ({', '.join(silent)} do not answer); "
                "start those, or remove those first"
            )
            raise Conflict(f"member {node}", reason)

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _write(self, key: Key[Any], row: Any) -> Revision:
        """Put `row` unless it stands there. Raises Conflict when others keep changing it."""
        for _ in range(_TRIES_MAX):
            if self._kv.get(key) == row:
                return self._kv.revision
            batch = Batch((Compare(key, self._kv.version(key)),), (Put(key, row),))
            result = await self._kv.propose(batch)
            if result.applied:
                return result.revision
        raise Conflict(str(key), "somebody else keeps changing it; look again")
