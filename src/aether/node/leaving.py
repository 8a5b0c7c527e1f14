"""What a node that leaves says, and how long it waits for others to take its work over.

Knows: member and instance rows, who answers.
Never: stopping anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Final

import trio

from aether.errors import AetherError
from aether.kv import keys
from aether.kv.service import KvService
from aether.model.ids import Incarnation, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import MemberRow
from aether.node.enrolment import set_draining

_log = logging.getLogger("aether.node")

DRAIN_ANNOUNCE_S: Final = 1.0
RELIEF_LOOK_S: Final = 0.25


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


def _can_be_relieved(kv: KvService, incarnation: Incarnation, reached: Collection[NodeId]) -> bool:
    rows = kv.rows(keys.INSTANCES)
    here = {r.artifact for r in rows if r.incarnation == incarnation and r.state is not SliceState.FAILED}
    return any(
        not here.isdisjoint(member.available)
        for member in kv.rows(keys.MEMBERS)
        if member.node in reached and not member.draining
    )
