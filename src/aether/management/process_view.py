"""Levels of loggers, and the settings of a process, as the admin API shows and changes them.

Knows: the shape of the answers.
Never: loggers themselves, who follows a setting (room node).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from aether.model.ids import Revision


@attrs.frozen(kw_only=True)
class LevelsInForce:
    """levels  by logger, as the setting says; effective  of each logger of this process that was ever asked for"""

    levels: Mapping[str, str]
    effective: Mapping[str, str]
    revision: Revision


@attrs.frozen(kw_only=True)
class NodeSetting:
    """One setting that the node was started with. origin  where it came from; "" = not known"""

    name: str
    value: object
    origin: str = ""


class LogLevelKeeper(Protocol):
    """Levels of loggers, cluster-wide (node.log_levels.LogLevels)."""

    def in_force(self) -> LevelsInForce: ...
    async def set(self, logger: str, level: str, *, by: str) -> Revision:
        """Raises BadInput."""
        ...

    async def reset(self, logger: str) -> Revision:
        """Raises NotFound."""
        ...
