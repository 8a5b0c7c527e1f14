"""Settings of the answering node and of the cluster, and levels of loggers.

Knows: the shape of the answers.
Never: what a setting means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, cast

from aether.management.actors import Actors
from aether.management.commands import Changed
from aether.management.endpoint import FRESH, REHEARSED, Endpoint, get
from aether.management.facts import Answer, Facts
from aether.management.process_view import NodeSetting
from aether.management.schema import Field, Kind, Schema
from aether.model.access import Role
from aether.model.setting import SettingRow

LOGGER_CHARS_MAX: Final = 200
SHOWN_SETTINGS: Final = frozenset({"log-levels", "slow-calls", "controller"})


def config(facts: Facts, query: Mapping[str, object]) -> Answer:
    """What this node was started with, and what was set since for the whole cluster."""
    return {
        "nodeId": facts.local.node,
        "node": [_started_with(setting) for setting in facts.local.settings],
        "cluster": [_set_since(name, row) for name, row in facts.view.settings()],
        "revision": facts.view.revision,
    }


def _started_with(setting: NodeSetting) -> Answer:
    return {"name": setting.name, "value": setting.value, "origin": setting.origin}


def _set_since(name: str, row: SettingRow) -> Answer:
    """The values of settings that may hold an address with a secret in it are not shown."""
    shown: Answer = {"value": _value(row.value)} if name in SHOWN_SETTINGS else {}
    return {"name": name, **shown, "by": row.by, "at": row.at}


def _value(text: str) -> object:
    try:
        return cast("object", json.loads(text))
    except ValueError:
        return text


async def levels(actors: Actors, query: Mapping[str, object], variables: Mapping[str, str]) -> Answer:
    found = actors.log_levels.in_force()
    return {"levels": dict(found.levels), "effective": dict(found.effective), "revision": found.revision}


async def set_level(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    logger, level = cast("str", body["logger"]), cast("str", body["level"]).upper()
    revision = await actors.log_levels.set(logger, level, by=by)
    answer: Answer = {"status": "level_set", "logger": logger, "level": level, "revision": revision}
    return Changed(answer, revision, frozenset())


async def reset_level(actors: Actors, body: Mapping[str, object], by: str) -> Changed:
    logger = cast("str", body["logger"])
    revision = await actors.log_levels.reset(logger)
    return Changed({"status": "level_reset", "logger": logger, "revision": revision}, revision, frozenset())


PROCESS_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    get("/config", "What this node was started with, and what was set since for the cluster.", config),
    Endpoint(
        path="/logging/levels",
        about="Levels of loggers: those that were set, and those in force in this process.",
        role=Role.VIEWER,
        query=Schema(FRESH),
        ask=levels,
    ),
    Endpoint(
        path="/logging/levels",
        about="Set the level of one logger, on every node.",
        role=Role.OPERATOR,
        query=REHEARSED,
        body=Schema(
            (
                Field("logger", Kind.TEXT, required=True, low=1, high=LOGGER_CHARS_MAX, about="such as aether.kv"),
                Field("level", Kind.TEXT, required=True, high=16, about="DEBUG, INFO, WARNING, ERROR or CRITICAL"),
            )
        ),
        change=set_level,
    ),
    Endpoint(
        path="/logging/levels/{logger}",
        about="Give one logger back the level that it had before.",
        role=Role.OPERATOR,
        query=REHEARSED,
        change=reset_level,
        deletes=True,
    ),
)
