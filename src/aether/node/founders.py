"""Who votes, as the data directory remembers it from the first start.

Knows: one small file beside the log.
Never: consensus membership; it is fixed at the first start.
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


def check_founders(directory: Path, voters: Sequence[NodeId]) -> None:
    """Record `voters` at the first call for `directory`; afterwards compare. Blocks.

    Raises IdentityMismatch that names both, StorageCorrupt when the record cannot be read, StorageFull, StorageFailed.
    """
    known = read_founders(directory)
    if known is None:
        write_founders(directory, voters)
    elif known != sorted(voters):
        what = (
            f"{directory} was founded by the voters {', '.join(known)}, and is started with {', '.join(sorted(voters))}"
        )
        fix = (
            f"Start it with --peers that name {', '.join(known)} (their addresses may change), or give it an empty "
            "--data-dir to found another cluster; who votes cannot be changed yet"
        )
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
