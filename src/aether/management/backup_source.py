"""A backup as the management API passes it on.

Knows: what it needs of whoever makes one.
Never: the format of the file (room storage), which this room only hands through.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import attrs

from aether.model.ids import Revision

BACKUP_TYPE = "application/vnd.aether.backup"


@attrs.frozen
class OpenBackup:
    """The state at `revision`, held fast. parts  the bytes of the file, made as they are asked for."""

    revision: Revision
    parts: Iterable[bytes]


class BackupSource(Protocol):
    """Who makes backups. Raises Overloaded when too many are under way."""

    async def open(self) -> OpenBackup:
        """The state as this node has applied it now."""
        ...
