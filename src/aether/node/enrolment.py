"""How a node process enters the cluster's records, and who is kept out.

Knows: member rows, the rows of those removed, store ids and how often a store was opened.
Never: consensus membership (the membership manager follows the rows).
Holds: a node id comes back only with the store it left with, and that not as an older copy: an emptied or rolled-back
       disk could vote twice in one term. An id that was removed never comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import trio

from aether.errors import AetherError, BadInput, IdentityMismatch, OutcomeUnknown, Removed, TryAgain
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.service import KvService
from aether.model.ids import NodeId, Revision
from aether.model.rows import NO_STORE, MemberRow
from aether.node.feature_levels import Rows, check_release
from aether.wire.session import Hello, Refused, RefusedCode

_log = logging.getLogger("aether.node")

RETRY_S = 0.2
FATAL_REFUSALS = frozenset({RefusedCode.DUPLICATE_ID, RefusedCode.NOT_ADMITTED, RefusedCode.INITIAL_PEERS})
_ABSENT = Revision(0)


async def enrol(kv: KvService, row: Callable[[], MemberRow]) -> None:
    """Write this process's member row; returns once it and all that was acknowledged before are applied here.

    Waits for a quorum as long as it takes. Raises IdentityMismatch when the id was last used with another store, or
    with a newer copy of this one; Removed; BadInput when the cluster does things that this release cannot.
    """
    while True:
        try:
            await kv.barrier()
            check_member(kv, row())
            check_release(kv, row().feature_level)
            if await write_member(kv, row()):
                return
        except (TryAgain, OutcomeUnknown) as error:
            _log.debug("not enrolled yet: %s", error)
            await trio.sleep(RETRY_S)


def check_member(rows: Rows, row: MemberRow) -> None:
    """Raise IdentityMismatch or Removed when the cluster remembers something that speaks against `row`."""
    known = rows.get(keys.member(row.node))
    if known is None:
        if rows.get(keys.removed(row.node)) is not None:
            raise removed(row.node)
    elif known.store not in (NO_STORE, row.store):
        raise lost_disk(row.node)
    elif 0 < row.boots <= known.boots and row.incarnation != known.incarnation:
        raise older_copy(row.node, row.boots, known.boots)


def _come_back(node: str) -> str:
    return (
        f"`aether members remove {node}` on another member gives its vote and its work to others; then start it with "
        "--join HOST:PORT of any member, a new --node-id and an empty --data-dir"
    )


def lost_disk(node: str) -> IdentityMismatch:
    return IdentityMismatch(
        f"the cluster knows {node} with another data directory than this one: its disk was lost, emptied or exchanged",
        f"Put the data directory of {node} back (--data-dir): a voter that forgot its votes could vote twice in one "
        f"term, so this id does not come back without it. Is it lost? {_come_back(node)}",
    )


def older_copy(node: str, boots: int, known: int) -> IdentityMismatch:
    return IdentityMismatch(
        f"the data directory of {node} is an older copy of itself: this is start {boots} of it, and the cluster has "
        f"seen start {known}",
        f"Put the newest state of the disk back: a copy has forgotten votes and entries that {node} has promised to "
        f"keep. Is it lost? {_come_back(node)}",
    )


def removed(node: str) -> Removed:
    return Removed(
        f"{node} was removed from this cluster, and its id is never used again",
        "To bring the machine back, start it with --join HOST:PORT of any member, a new --node-id and an empty "
        "--data-dir",
    )


def admission(kv: Callable[[], Rows | None]) -> Callable[[Hello], str]:
    """A check of peers that dial in, against what the cluster remembers of their id."""

    def admit(hello: Hello) -> str:
        rows, theirs = kv(), hello.identity
        if rows is None:
            return ""
        row = MemberRow(node=theirs.node, incarnation=theirs.incarnation, store=theirs.store, boots=theirs.boots)
        try:
            check_member(rows, row)
        except Removed as gone:
            raise Refused(RefusedCode.REMOVED, str(gone)) from gone
        except IdentityMismatch as mismatch:
            return str(mismatch)
        except BadInput as error:
            return f"the member row of {theirs.node} is malformed here: {error}"
        return ""

    return admit


def ending(node: NodeId, peer: NodeId, refused: Refused, *, ready: bool, newcomer: bool) -> AetherError | None:
    """The error with which `node` ends because `peer` refuses it; None when it goes on.

    A refusal ends a node that has not joined yet. One that has is right, and whoever refuses it is not; unless it was
    removed meanwhile: those of its cluster know better than its log.
    """
    if refused.code is RefusedCode.REMOVED:
        return Removed(f"{peer} refuses {node}", str(refused))
    if refused.code is RefusedCode.OTHER_CLUSTER and newcomer:
        return refused
    if refused.code not in FATAL_REFUSALS:
        return None
    if ready:
        _log.error("%s is refused at the address of %s: %s", node, peer, refused)
        return None
    return refused


async def set_draining(kv: KvService, row: Callable[[], MemberRow]) -> None:
    """Tell everybody that this node takes no new instances. Raises TryAgain, OutcomeUnknown.

    The rest of the row stays what was told last: it is known to fit, and what has come since is of no use any more.
    """
    told = False
    while not told:
        now = row()
        known = kv.get(keys.member(now.node))
        ours = known if known is not None and known.incarnation == now.incarnation else now
        told = await write_member(kv, attrs.evolve(ours, draining=True))


async def write_member(kv: KvService, row: MemberRow) -> bool:
    """Put the row of a member that nobody has removed; one that leaves is said to drain.

    False when somebody changed it meanwhile: look again. Raises TryAgain, OutcomeUnknown.
    """
    key = keys.member(row.node)
    leaving = kv.get(keys.removed(row.node)) is not None
    row = attrs.evolve(row, draining=row.draining or leaving)
    version = kv.version(key)
    if kv.get(key) == row or (leaving and version == _ABSENT):
        return True
    same = Compare(keys.removed(row.node), kv.version(keys.removed(row.node)))
    return (await kv.propose(Batch((same, Compare(key, version)), (Put(key, row),)))).applied
