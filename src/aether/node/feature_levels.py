"""Raises the feature level of the cluster once every member's release has it.

Knows: the levels that member rows advertise, the row of the level in force.
Never: what a level brings (model.features).
Holds: only the leader writes the row, fenced; it never falls. A node of an older release than the level does not serve.
"""

from __future__ import annotations

import logging
from typing import NoReturn, Protocol, TypeVar

import trio

from aether.errors import BadInput, OutcomeUnknown, Rejected, TryAgain
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.key_kinds import Key
from aether.kv.service import KvService
from aether.model.features import FEATURE_LEVEL, decide_feature_level
from aether.model.rows import LeadershipRow

_log = logging.getLogger("aether.node")

RETRY_S = 1.0
T = TypeVar("T")


class Rows(Protocol):
    """The one read that is needed."""

    def get(self, key: Key[T]) -> T | None: ...


def level_in_force(rows: Rows) -> int:
    """1 until somebody raised it."""
    return rows.get(keys.feature_level) or 1


def check_release(rows: Rows, level: int = FEATURE_LEVEL) -> None:
    """Raises BadInput when the cluster does things that a release of `level` cannot."""
    in_force = level_in_force(rows)
    if in_force > level:
        raise BadInput(
            f"the cluster runs at feature level {in_force}, and this release has level {level}",
            ("install the release of the other members: this one could not apply what they write",),
        )


class FeatureLevels:
    """Runs on every node, acts only while `kv.leadership` is this node's."""

    def __init__(self, kv: KvService) -> None:
        self._kv = kv

    async def run(self) -> NoReturn:
        """Look whenever a member's row or the leadership changes."""
        async with self._kv.watch(keys.MEMBERS, keys.leadership.text, keys.feature_level.text) as watch:
            while True:
                fence = self._kv.leadership
                if fence is not None:
                    try:
                        await self._raise_level(fence)
                    except (TryAgain, OutcomeUnknown, Rejected) as error:
                        _log.debug("the feature level stays for now: %s", error)
                        await trio.sleep(RETRY_S)
                        continue
                await watch.changed()

    async def _raise_level(self, fence: LeadershipRow) -> None:
        version, known = self._kv.version(keys.feature_level), level_in_force(self._kv)
        level = decide_feature_level(known, [member.feature_level for member in self._kv.rows(keys.MEMBERS)])
        if any(key.startswith(keys.MEMBERS) for key in self._kv.unreadable):
            return  # nobody knows the release of that member
        if level > known:
            change = Batch((Compare(keys.feature_level, version),), (Put(keys.feature_level, level),))
            if (await self._kv.propose(change, fence=fence)).applied:
                _log.info("the feature level is %d: every member's release has it", level)
