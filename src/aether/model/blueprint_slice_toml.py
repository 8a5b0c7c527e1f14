"""One slice of a blueprint as a TOML table.

Knows: the keys of a slice, which of them contradict each other.
Never: the document around it; which artifacts, nodes or strategies exist.
Holds: every problem is reported, with the path of its key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.blueprint import SliceWish
from aether.model.hosts import WORKER, host_problem
from aether.model.ids import node_id
from aether.model.limits import INSTANCES_MAX
from aether.model.placing import ANYWHERE, Kind, Placing
from aether.model.toml_words import (
    Table,
    checked,
    count,
    flag,
    flat_texts,
    seconds,
    shown,
    table_at,
    texts_at,
    unknown_keys,
    word,
)
from aether.model.version import VersionRange

_SLICE: Final = (
    "artifact",
    "instances",
    "min_available",
    "max_per_node",
    "placement",
    "singleton",
    "host",
    "memory_mb",
    "config",
    "timeouts",
)
_PLACEMENT: Final = ("labels", "spread", "max_per_node", "pin", "on", "strategy", "rebalance")
_TIMEOUTS: Final = ("loading", "activating", "deactivating", "unloading", "drain")
_NODES: Final = "node"
_PINS_MAX: Final = 256
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_PERCENT: Final = re.compile(r"(\d{1,3}) ?%")
_WHOLE: Final = 100


def read_wish(path: str, entry: object, problems: list[str]) -> SliceWish | None:
    """The slice in `entry`; None, and problems, when it cannot be said which slice that is."""
    if not isinstance(entry, Mapping):
        problems.append(f"{path}: {shown(entry)} is no table; write [[slices]] above each slice")
        return None
    table = cast(Table, entry)
    problems += unknown_keys(path, table, _SLICE)
    target = _target(f"{path}.artifact", table.get("artifact"), problems)
    instances, low, high, idle_s = _instances(f"{path}.instances", table.get("instances"), problems)
    singleton = flag(f"{path}.singleton", table.get("singleton"), problems)
    most = high if instances is None else instances
    if singleton and most is not None and most > 1:
        problems.append(f"{path}.instances: a singleton has at most one, not {most}")
    min_available = _min_available(f"{path}.min_available", table.get("min_available"), most, problems)
    max_per_node, placing = _placement(path, table, problems)
    host, memory_mb = table.get("host"), table.get("memory_mb")
    lives = WORKER if host is None else host
    if problem := host_problem(lives, None):
        problems.append(f"{path}.host: {problem}")
    elif problem := host_problem(lives, memory_mb):
        problems.append(f"{path}.memory_mb: {problem}")
    config = flat_texts(f"{path}.config", table.get("config", {}), problems)
    timeouts_s = _timeouts(f"{path}.timeouts", table.get("timeouts"), problems)
    if target is None:
        return None
    return SliceWish(
        artifact=target[0],
        versions=target[1],
        instances=instances,
        instances_min=low,
        instances_max=high,
        idle_s=idle_s,
        min_available=min_available,
        max_per_node=max_per_node,
        placing=placing,
        singleton=singleton,
        host=None if host is None else str(host),
        memory_mb=memory_mb if isinstance(memory_mb, int) else None,
        config=config,
        timeouts_s={name: value for name, value in timeouts_s.items() if name != "drain"},
        drain_s=timeouts_s.get("drain"),
    )


def _target(path: str, value: object, problems: list[str]) -> tuple[ArtifactBase, VersionRange] | None:
    if not isinstance(value, str):
        what = "is missing" if value is None else f"{shown(value)} is no text"
        problems.append(f'{path}: {what}; write artifact = "group:artifact:1.0.0"')
        return None
    return checked(path, parse_target, value, problems)


def parse_target(text: str) -> tuple[ArtifactBase, VersionRange]:
    """Read `group:artifact:` and a version or range, such as `shop:pricing:^1.2`. Raises BadInput."""
    group, _, rest = text.partition(":")
    name, colon, versions = rest.partition(":")
    if not colon:
        raise BadInput(f"{text!r} has no version", ("write group:artifact:version, such as shop:pricing:1.2.0",))
    return ArtifactBase.parse(f"{group}:{name}"), VersionRange.parse(versions)


def _instances(
    path: str, value: object, problems: list[str]
) -> tuple[int | None, int | None, int | None, float | None]:
    """(exactly, at least, at most, seconds until it is idle).

    `{max = n}` alone begins at 1: only a written 0 lets a slice scale to zero.
    """
    if not isinstance(value, Mapping):
        return count(path, value, 0, INSTANCES_MAX, problems), None, None, None
    table = cast(Table, value)
    problems += unknown_keys(path, table, ("min", "max", "idle"))
    low = count(f"{path}.min", table.get("min", 1), 0, INSTANCES_MAX, problems)
    high = count(f"{path}.max", table.get("max"), 1, INSTANCES_MAX, problems)
    if low is not None and high is not None and low > high:
        problems.append(f"{path}.max: {high} is below min = {low}")
    return None, low, high, seconds(f"{path}.idle", table.get("idle"), problems)


def _min_available(path: str, value: object, most: int | None, problems: list[str]) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        percent = _PERCENT.fullmatch(value)
        if percent is None or int(percent[1]) > _WHOLE:
            problems.append(f'{path}: {shown(value)} is no share; write a whole number, or "60%"')
            return ""
        return f"{int(percent[1])}%"
    number = count(path, value, 0, INSTANCES_MAX, problems)
    if number is not None and most is not None and number > most:
        problems.append(f"{path}: {number} is more than the {most} instances that there may be")
    return "" if number is None else str(number)


def _placement(path: str, table: Table, problems: list[str]) -> tuple[int | None, Placing]:
    limit = count(f"{path}.max_per_node", table.get("max_per_node"), 1, INSTANCES_MAX, problems)
    value = table.get("placement")
    if value is None:
        return limit, ANYWHERE
    path = f"{path}.placement"
    inner = table_at(path, value, 'placement = { labels = { disk = "ssd" } }', problems)
    problems += unknown_keys(path, inner, _PLACEMENT)
    own = count(f"{path}.max_per_node", inner.get("max_per_node"), 1, INSTANCES_MAX, problems)
    if limit is not None and own is not None and limit != own:
        problems.append(f"{path}.max_per_node: {own} here and {limit} beside it; keep one")
    spread = _name(f"{path}.spread", inner.get("spread"), problems)
    placing = Placing(
        strategy=_name(f"{path}.strategy", inner.get("strategy"), problems),
        labels=texts_at(f"{path}.labels", inner.get("labels"), 'labels = { disk = "ssd" }', problems),
        spread="" if spread == _NODES else spread,
        pin=tuple(node_id(name) for name in _pins(f"{path}.pin", inner.get("pin"), problems)),
        rebalance="rebalance" not in inner or flag(f"{path}.rebalance", inner["rebalance"], problems),
        kind=Kind(word(f"{path}.on", inner.get("on"), list(Kind), Kind.ANY, problems)),
    )
    return (limit if own is None else own), placing


def _pins(path: str, value: object, problems: list[str]) -> list[str]:
    found = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(found, list):
        problems.append(f'{path}: {shown(value)} is no list of nodes; write pin = ["node-1", "node-2"]')
        return []
    names = cast("list[object]", found)
    if len(names) > _PINS_MAX:
        problems.append(f"{path}: {len(names)} nodes; at most {_PINS_MAX}")
        return []
    kept: list[str] = []
    for name in names:
        if not isinstance(name, str):
            problems.append(f"{path}: {shown(name)} is no name of a node")
        elif checked(path, node_id, name, problems) is not None and name not in kept:
            kept.append(name)
    return kept


def _name(path: str, value: object, problems: list[str]) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    problems.append(f"{path}: {shown(value)} is no name; use letters, digits and . _ -")
    return ""


def _timeouts(path: str, value: object, problems: list[str]) -> dict[str, float]:
    table = table_at(path, value, "timeouts = { activating = 30 }", problems)
    problems += unknown_keys(path, table, _TIMEOUTS)
    read = {name: seconds(f"{path}.{name}", table.get(name), problems) for name in _TIMEOUTS}
    return {name: found for name, found in read.items() if found is not None}
