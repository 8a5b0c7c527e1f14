"""What operators ask of a node: drain, activate, shut down; checked, written as a row, and followed by everybody.

Knows: duty and member rows; the words of each refusal.
Never: moves instances, stops processes (the leader and the node itself do, because of the row).
Holds: any node takes a word; one that would leave nobody to do the work, or to decide, needs force.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import attrs

from aether.deployment.duties import duties_of, still_there
from aether.errors import Conflict, NotFound
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.service import KvService
from aether.model.duty import NEXT_DUTY, Duty, DutyRow
from aether.model.ids import NodeId, Revision, node_id
from aether.model.rows import MemberRow

_TRIES_MAX: Final = 5
_SETTLED: Final = {
    Duty.DRAINING: frozenset({Duty.DRAINING, Duty.DECOMMISSIONED}),
    Duty.ON_DUTY: frozenset({Duty.ON_DUTY, Duty.JOINING}),
    Duty.SHUTTING_DOWN: frozenset({Duty.SHUTTING_DOWN}),
}
"""What is wished -> duties in which it is so already."""


@attrs.frozen
class DutyWish:
    """What was asked for: in force at `revision`. `missing()` says in words what is not so yet; [] when all is."""

    node: NodeId
    duty: Duty
    revision: Revision
    missing: Callable[[], list[str]]
    changed: bool = True


class DutyOperator:
    """Any node. Each method answers once the word is applied here. Raises NotFound, Conflict, BadInput, TryAgain.

    reached  the members that answer this node now, itself included; voters  who decides together
    """

    def __init__(
        self,
        kv: KvService,
        reached: Callable[[], Collection[NodeId]],
        voters: Callable[[], Collection[NodeId]],
        wall: Callable[[], float],
    ) -> None:
        self._kv = kv
        self._reached = reached
        self._voters = voters
        self._wall = wall

    async def drain(self, name: str, *, by: str = "", force: bool = False) -> DutyWish:
        """Let a node give its instances to others, and take none; it stays a member, and forwards calls.

        force  without regard to `min_available`, and to whether another node takes them
        """
        return await self._say(name, Duty.DRAINING, by, force)

    async def activate(self, name: str, *, by: str = "") -> DutyWish:
        """Let a node that drains, or is empty, work again."""
        return await self._say(name, Duty.ON_DUTY, by, force=False)

    async def shutdown(self, name: str, *, by: str = "", force: bool = False) -> DutyWish:
        """Let the process of a node drain, hand over what it leads, and end. Started again, it works again."""
        return await self._say(name, Duty.SHUTTING_DOWN, by, force)

    # --- one word ---------------------------------------------------------------------------------------------------

    async def _say(self, name: str, wanted: Duty, by: str, force: bool) -> DutyWish:
        node = node_id(name)
        await self._kv.barrier()
        for _ in range(_TRIES_MAX):
            member = self._member(node)
            known, version = self._kv.get(keys.duty(node)), self._kv.version(keys.duty(node))
            same = (Compare(keys.duty(node), version), Compare(keys.member(node), self._kv.version(keys.member(node))))
            current = self._duties()[node]
            if current in _SETTLED[wanted] and not (force and known is not None and not known.force):
                return self._wish(node, wanted, self._kv.revision, changed=False)
            self._check(node, current, wanted, force=force)
            duty = current if current in _SETTLED[wanted] else wanted
            row = DutyRow(node=node, duty=duty, by=by, at=self._wall(), force=force, incarnation=member.incarnation)
            result = await self._kv.propose(Batch(same, (Put(keys.duty(node), row),)))
            if result.applied:
                return self._wish(node, wanted, result.revision)
        raise Conflict(f"node {node}", "somebody else keeps changing its duty; look again")

    def _check(self, node: NodeId, current: Duty, wanted: Duty, *, force: bool) -> None:
        if current not in _SETTLED[wanted] and wanted not in NEXT_DUTY[current]:
            hint = "its process leaves; start it again" if current is Duty.SHUTTING_DOWN else "see NEXT_DUTY"
            raise Conflict(f"node {node}", f"it is {current} and cannot become {wanted}: {hint}")
        if wanted is Duty.ON_DUTY or force:
            return
        others = [n for n, duty in self._duties().items() if duty is Duty.ON_DUTY and n != node and self._answers(n)]
        if not others:
            raise Conflict(f"node {node}", "no other node is on duty, so its work has no place to go; force stops it")
        if wanted is Duty.SHUTTING_DOWN:
            self._check_majority(node)

    def _check_majority(self, node: NodeId) -> None:
        voters = set(self._voters())
        answering = {voter for voter in voters - {node} if self._answers(voter)}
        if node in voters and 2 * len(answering) <= len(voters):
            silent = ", ".join(sorted(voters - {node} - answering)) or "it is one of two"
            reason = f"without it too few voters would answer to decide anything ({silent}); force does it all the same"
            raise Conflict(f"node {node}", reason)

    def _answers(self, node: NodeId) -> bool:
        return node in self._reached()

    def _member(self, node: NodeId) -> MemberRow:
        row = self._kv.get(keys.member(node))
        if row is None:
            names = ", ".join(sorted(member.node for member in self._kv.rows(keys.MEMBERS)))
            raise NotFound("node", node, f"there are {names}")
        return row

    def _duties(self) -> dict[NodeId, Duty]:
        return duties_of(self._kv.rows(keys.MEMBERS), self._kv.rows(keys.DUTIES))

    # --- what is still to come --------------------------------------------------------------------------------------

    def _wish(self, node: NodeId, wanted: Duty, revision: Revision, *, changed: bool = True) -> DutyWish:
        return DutyWish(node, wanted, revision, lambda: self._missing(node, wanted), changed)

    def _missing(self, node: NodeId, wanted: Duty) -> list[str]:
        duty = self._duties().get(node)
        if wanted is Duty.ON_DUTY:
            return [] if duty is Duty.ON_DUTY else [f"{node} is {duty}"]
        left = self.remaining(node)
        if wanted is Duty.DRAINING:
            return left or ([] if duty is Duty.DECOMMISSIONED else [f"{node} is {duty}"])
        return [f"{node} still runs", *left] if self._answers(node) else left

    def remaining(self, node: NodeId) -> list[str]:
        """What runs on a node that drains, and why it is still there."""
        reasons = {row.artifact: row.reason for row in self._kv.rows(keys.UNSATISFIED)}
        return still_there(node, self._kv.rows(keys.INSTANCES), reasons)
