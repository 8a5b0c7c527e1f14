"""Who founded the cluster, as the data directory remembers it from the first start.

Knows: one small file beside the log.
Never: who votes now: the log says so as soon as the membership has changed.
Holds: a log is continued by the voters that began it. One voter started alone on a log of three would be its own
       majority, and two empty ones beside a log of one would outvote it: acknowledged writes would be gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from aether.errors import IdentityMismatch, StorageCorrupt
from aether.model.ids import NodeId
from aether.storage.checked_file import read_fields, write_fields

FOUNDERS_FILE = "founders.json"
FORMAT_VERSION: Final = 1
_WHAT: Final = "the record of founding voters"


def founders_of(directory: Path, voters: Sequence[NodeId]) -> tuple[NodeId, ...]:
    """The founding voters of the store in `directory`, sorted: `voters` at the first call for it. Blocks.

    Nobody founded with it: () of a node that joined. Raises StorageCorrupt when the record cannot be read, StorageFull,
    StorageFailed.
    """
    known = read_founders(directory)
    if known is None:
        write_founders(directory, voters)
        known = sorted(voters)
    return tuple(known)


def check_founders(
    node: NodeId, founders: Sequence[NodeId], told: Sequence[NodeId], *, has_changed: bool, joins: bool
) -> None:
    """Raise IdentityMismatch when `node` is told of other founders than its store has, and that would matter.

    told         by --peers, this node among them; () when it is told to join
    has_changed  the log knows a later configuration: whom it was told of is a hint of addresses then, and nothing else
    joins        whether it was told whom to join
    """
    if has_changed or sorted(founders) == sorted(told):
        return
    names, others = ", ".join(founders), ", ".join(sorted(told))
    if not founders:
        if list(told) == [node]:
            return
        what = f"the data directory of {node} was made to join a cluster, and is started to found one of {others}"
        fix = "Start it with --join HOST:PORT of any member, or with an empty --data-dir"
    elif not joins:
        what = f"the data directory of {node} was founded by the voters {names}, and is started with {others}"
        fix = (
            f"Start it with --peers that name {names} (their addresses may change), or give it an empty --data-dir; "
            "`aether members` changes who votes"
        )
    elif list(founders) == [node]:
        what = f"{node} has founded a cluster of its own, and is told to join another"
        fix = "Start it without --join, or give it an empty --data-dir and another --node-id to join"
    else:
        return
    raise IdentityMismatch(what, fix)


def write_founders(directory: Path, voters: Sequence[NodeId]) -> None:
    """Record who founded the cluster. Raises StorageFull, StorageFailed."""
    write_fields(directory / FOUNDERS_FILE, {"voters": sorted(voters)}, FORMAT_VERSION)


def read_founders(directory: Path) -> list[NodeId] | None:
    """The founding voters, sorted; None when nothing is recorded. Raises StorageCorrupt."""
    path = directory / FOUNDERS_FILE
    fields = read_fields(path, _WHAT, FORMAT_VERSION)
    if fields is None:
        return None
    voters: object = fields.get("voters")
    names = cast("list[object]", voters) if isinstance(voters, list) else [None]
    if not all(isinstance(each, str) for each in names):
        raise StorageCorrupt(str(path), 0, f"{_WHAT} is unreadable: no list of names")
    return sorted(NodeId(str(each)) for each in names)
