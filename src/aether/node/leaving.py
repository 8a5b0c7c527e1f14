"""What a node that leaves says, and how long it waits for others to take its work over.

Knows: member and instance rows, who answers.
Never: stopping anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Final

import trio

from aether.consensus.progress import heir_of
from aether.consensus.service import ConsensusService
from aether.consensus.values import Role
from aether.errors import AetherError
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.duty import Duty, duties_of
from aether.model.ids import Incarnation, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import MemberRow
from aether.node.enrolment import set_draining

_log = logging.getLogger("aether.node")

DRAIN_ANNOUNCE_S: Final = 1.0
RELIEF_LOOK_S: Final = 0.25
HAND_OVER_S: Final = 1.0


async def announce_drain(kv: KvService, member: Callable[[], MemberRow]) -> None:
    """Best effort: without a quorum the node leaves all the same, and its peers notice by the closed connection."""
    with trio.move_on_after(DRAIN_ANNOUNCE_S):
        try:
            await set_draining(kv, member)
        except AetherError as error:
            _log.warning("%s could not announce that it drains: %s", member().node, error)


async def wait_relieved(kv: KvService, incarnation: Incarnation, reached: Callable[[], Collection[NodeId]]) -> None:
    """Until the leader has moved the instances of this process elsewhere, or nobody is left to take them."""
    async with kv.watch(keys.INSTANCES, keys.MEMBERS) as watch:
        while _can_be_relieved(kv, incarnation, reached()):
            with trio.move_on_after(RELIEF_LOOK_S):  # a lost connection changes no row
                await watch.changed()


async def hand_over(
    consensus: ConsensusService, kv: KvService, reached: Callable[[], Collection[NodeId]], *, leaves: bool = True
) -> None:
    """As leader, let a voter that stays lead, so that nobody has to wait for an election. Best effort.

    leaves  this node ends: any voter that stays will do, else only one that is on duty
    """
    status = consensus.status
    duties = duties_of(kv.rows(keys.MEMBERS), kv.rows(keys.DUTIES))
    others = set(status.voters) & set(reached()) - {status.node}
    staying = {node for node in others if duties.get(node) is not Duty.SHUTTING_DOWN}
    heirs = {node for node in staying if duties.get(node) is Duty.ON_DUTY} or (staying if leaves else set())
    if status.role is not Role.LEADER or not heirs:
        return
    with trio.move_on_after(HAND_OVER_S):
        try:
            followers = await consensus.membership.followers()
            heir = heir_of(followers, heirs)
            if heir is not None:
                await consensus.membership.transfer(heir)
        except AetherError as error:
            _log.warning("%s could not let another node lead: %s", status.node, error)


def _can_be_relieved(kv: KvService, incarnation: Incarnation, reached: Collection[NodeId]) -> bool:
    rows = kv.rows(keys.INSTANCES)
    here = {r.artifact for r in rows if r.incarnation == incarnation and r.state is not SliceState.FAILED}
    duties = duties_of(kv.rows(keys.MEMBERS), kv.rows(keys.DUTIES))
    return any(
        not here.isdisjoint(member.available)
        for member in kv.rows(keys.MEMBERS)
        if member.node in reached and duties[member.node] is Duty.ON_DUTY
    )
