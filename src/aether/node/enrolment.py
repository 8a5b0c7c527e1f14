"""How a node process enters the cluster's records, and who is kept out.

Knows: member and cluster rows, store ids.
Never: consensus membership (who votes is fixed at the first start).
Holds: a node id comes back only with the store it left with; an emptied disk could vote twice in one term.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

import attrs
import trio

from aether.errors import BadInput, IdentityMismatch, OutcomeUnknown, TryAgain
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.service import KvService
from aether.model.ids import ClusterUuid, Revision
from aether.model.rows import MemberRow
from aether.wire.session import Hello

_log = logging.getLogger("aether.node")

RETRY_S = 0.2


async def enrol(kv: KvService, cluster: str, row: Callable[[], MemberRow]) -> None:
    """Write this process's member row, and the cluster's identity when nobody has; returns once both are applied here.

    Waits for a quorum as long as it takes. Raises IdentityMismatch when the id was last used with another store.
    """
    while True:
        try:
            await kv.barrier()
            check_store(kv, row())
            await _name_cluster(kv, cluster)
            await _write_member(kv, row())
        except (TryAgain, OutcomeUnknown) as error:
            _log.debug("not enrolled yet: %s", error)
            await trio.sleep(RETRY_S)
        else:
            return


def check_store(kv: KvService, row: MemberRow) -> None:
    """Raise IdentityMismatch when the cluster remembers `row.node` with another store."""
    known = kv.get(keys.member(row.node))
    if known is not None and known.store != row.store:
        raise lost_disk(row.node)


def lost_disk(node: str) -> IdentityMismatch:
    return IdentityMismatch(
        f"the cluster knows {node} with another data directory than this one: its disk was lost, emptied or exchanged",
        f"Put the data directory of {node} back (--data-dir); a voter that forgot its votes could vote twice in one "
        "term, so this id does not come back without it",
    )


def admission(kv: Callable[[], KvService | None]) -> Callable[[Hello], str]:
    """A check of peers that dial in: their store must be the one that the cluster remembers for their id."""

    def admit(hello: Hello) -> str:
        service = kv()
        try:
            known = service.get(keys.member(hello.identity.node)) if service is not None else None
        except BadInput as error:
            return f"the member row of {hello.identity.node} is malformed here: {error}"
        if known is None or known.store == hello.identity.store:
            return ""
        return str(lost_disk(hello.identity.node))

    return admit


async def set_draining(kv: KvService, row: Callable[[], MemberRow]) -> None:
    """Tell everybody that this node takes no new instances. Raises TryAgain, OutcomeUnknown."""
    await _write_member(kv, attrs.evolve(row(), draining=True))


async def _write_member(kv: KvService, row: MemberRow) -> None:
    key = keys.member(row.node)
    if kv.get(key) != row:
        await kv.propose(Batch(changes=(Put(key, row),)))


async def _name_cluster(kv: KvService, cluster: str) -> None:
    if kv.get(keys.cluster) is None:
        row = keys.ClusterRow(uuid=ClusterUuid(uuid.uuid4().hex), name=cluster)
        named = Batch(compares=(Compare(keys.cluster, Revision(0)),), changes=(Put(keys.cluster, row),))
        await kv.propose(named)
