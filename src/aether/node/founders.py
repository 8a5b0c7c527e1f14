"""Who votes, as the data directory remembers it from the first start.

Knows: one small file beside the log.
Never: consensus membership; it is fixed at the first start.
Holds: a log is continued by the voters that began it. One voter started alone on a log of three would be its own
       majority, and two empty ones beside a log of one would outvote it: acknowledged writes would be gone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from aether.errors import IdentityMismatch, StorageCorrupt
from aether.model.ids import NodeId
from aether.storage import files

FOUNDERS_FILE = "founders.json"
FILE_BYTES_MAX = 64 * 1024


def check_founders(directory: Path, voters: Sequence[NodeId]) -> None:
    """Record `voters` at the first call for `directory`; afterwards compare. Blocks.

    Raises IdentityMismatch that names both, StorageCorrupt when the record cannot be read.
    """
    path = directory / FOUNDERS_FILE
    known = _read(path)
    if known is None:
        text = json.dumps({"voters": sorted(voters)}, indent=1) + "\n"
        files.replace_durably(path, (text.encode(),))
    elif known != sorted(voters):
        what = (
            f"{directory} was founded by the voters {', '.join(known)}, and is started with {', '.join(sorted(voters))}"
        )
        fix = (
            f"Start it with --peers that name {', '.join(known)} (their addresses may change), or give it an empty "
            "--data-dir to found another cluster; who votes cannot be changed yet"
        )
        raise IdentityMismatch(what, fix)


def _read(path: Path) -> list[str] | None:
    try:
        with path.open("rb") as file:
            found: Any = json.loads(file.read(FILE_BYTES_MAX))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StorageCorrupt(str(path), 0, f"the record of founding voters is unreadable: {error}") from error
    voters = cast("dict[str, Any]", found).get("voters") if isinstance(found, dict) else None
    names = cast("list[object]", voters) if isinstance(voters, list) else [None]
    if not all(isinstance(each, str) for each in names):
        raise StorageCorrupt(str(path), 0, "the record of founding voters is unreadable: no list of names")
    return sorted(map(str, names))
