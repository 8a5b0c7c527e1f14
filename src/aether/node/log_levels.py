"""How much each logger of this process says, changed while it runs, for all nodes at once.

Knows: the setting `log-levels`: logger -> level; what each logger was set to before.
Never: who may change it, where records go.
Holds: a logger that the setting does not name any more has the level that it had before; the end of the node puts all
       back; what is no level is left alone and said once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Final, NoReturn, cast

import trio

from aether.errors import BadInput, Conflict, NotFound
from aether.kv import keys
from aether.kv.commands import Batch, Compare, Put
from aether.kv.service import KvService
from aether.management.process_view import LevelsInForce
from aether.model.ids import Revision
from aether.model.setting import SettingRow

_log = logging.getLogger("aether.node")

LOG_LEVELS: Final = "log-levels"
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOGGERS_MAX: Final = 100
TRIES_MAX: Final = 8


def read_levels(text: str) -> dict[str, str]:
    """logger -> level. Raises BadInput with every problem."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("the setting log-levels is no JSON", (str(error),)) from error
    if not isinstance(value, dict):
        raise BadInput("the setting log-levels does not fit", ("give an object: logger to level",))
    levels = cast("dict[str, object]", value)
    wrong = [f"{name}: {level!r} is no level; known are {', '.join(LEVELS)}" for name, level in _unknown(levels)]
    if len(levels) > LOGGERS_MAX:
        wrong.append(f"{len(levels)} loggers; at most {LOGGERS_MAX} have a level of their own")
    if wrong:
        raise BadInput("the setting log-levels does not fit", tuple(wrong[:LOGGERS_MAX]))
    return {name: cast("str", level) for name, level in levels.items()}


def _unknown(levels: Mapping[str, object]) -> list[tuple[str, object]]:
    return [(name, level) for name, level in levels.items() if level not in LEVELS]


def _readable(row: SettingRow | None) -> dict[str, str]:
    """The levels of a row; none when it does not fit, so that it can be set anew."""
    try:
        return {} if row is None else read_levels(row.value)
    except BadInput:
        return {}


def _effective() -> dict[str, str]:
    names = sorted(name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "aether")
    return {name: logging.getLevelName(logging.getLogger(name).getEffectiveLevel()) for name in names}


class LogLevels:
    """Of one process. wall  seconds since the epoch. `run` follows the setting until it is cancelled."""

    def __init__(self, kv: KvService, wall: Callable[[], float]) -> None:
        self._kv = kv
        self._wall = wall
        self._before: dict[str, int] = {}

    def in_force(self) -> LevelsInForce:
        """What the setting says, and what each logger of this process comes to."""
        row = self._kv.get(keys.setting(LOG_LEVELS))
        return LevelsInForce(levels=_readable(row), effective=_effective(), revision=self._kv.revision)

    async def set(self, logger: str, level: str, *, by: str) -> Revision:
        """Give `logger` a level on every node. Raises BadInput, Conflict, and what a proposal raises."""
        return await self._changed(lambda levels: {**levels, logger: level}, by)

    async def reset(self, logger: str) -> Revision:
        """Give `logger` back what it had. Raises NotFound: the setting does not name it."""

        def without(levels: Mapping[str, str]) -> dict[str, str]:
            if logger not in levels:
                raise NotFound("level of logger", logger, "GET /logging/levels lists those that were set")
            return {name: level for name, level in levels.items() if name != logger}

        return await self._changed(without, "")

    async def _changed(self, change: Callable[[Mapping[str, str]], dict[str, str]], by: str) -> Revision:
        key = keys.setting(LOG_LEVELS)
        for _ in range(TRIES_MAX):
            row, version = self._kv.get(key), self._kv.version(key)
            text = json.dumps(change(_readable(row)), sort_keys=True)
            read_levels(text)
            row = SettingRow(value=text, by=by, at=self._wall())
            result = await self._kv.propose(Batch((Compare(key, version),), (Put(key, row),)))
            if result.applied:
                return result.revision
        raise Conflict("the setting log-levels", "others change it all the time; ask again")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Serve until cancelled."""
        key, seen = keys.setting(LOG_LEVELS), None
        async with self._kv.watch(key.text) as watch:
            task_status.started()
            try:
                while True:
                    row = self._kv.get(key)
                    text = "{}" if row is None else row.value
                    if text != seen:
                        self._apply(text)
                        seen = text
                    await watch.changed()
            finally:
                self._set({})

    def _apply(self, text: str) -> None:
        try:
            self._set(read_levels(text))
        except BadInput as error:
            _log.warning("%s; the levels stay as they are", error)

    def _set(self, levels: Mapping[str, str]) -> None:
        for name in self._before.keys() - levels.keys():
            logging.getLogger(name).setLevel(self._before.pop(name))
        for name, level in levels.items():
            logger = logging.getLogger(name)
            self._before.setdefault(name, logger.level)
            logger.setLevel(level)
