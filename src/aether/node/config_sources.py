"""A node's settings out of arguments, the environment, a TOML file, or defaults, in this order.

Knows: which source wins, and where each value came from.
Never: reading the environment or files by itself (the caller passes them in); the settings one by one
       (settings_table.py).
Holds: what is wrong is said with the source that it came from, all of it at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import attrs
import tomli

from aether.control.settings import ControllerSettings
from aether.control.spelling import changed
from aether.errors import BadInput
from aether.node.config import NodeConfig
from aether.node.settings_table import CONTROLLER, FILE_KEYS, FREE_SECTIONS, SETTINGS, Setting

DATA: Final = Path("aether-data")
"""Where the data directory of each node stands, under its id, unless it is said."""
SECRET_SHOWN: Final = "(not shown)"  # noqa: S105 - stands for one


@attrs.frozen(kw_only=True)
class Sources:
    """Where a setting may come from: command line, environment, TOML text of `file`."""

    arguments: Mapping[str, object] = attrs.field(factory=dict[str, object])
    environment: Mapping[str, str] = attrs.field(factory=dict[str, str])
    file: str = ""
    toml: str = ""


@attrs.frozen
class Settled:
    """One setting as it is in force. origin  `--name`, a variable, `FILE: section.key`, or `default`"""

    name: str
    value: object
    origin: str


def load(sources: Sources) -> NodeConfig:
    """One NodeConfig out of all sources. Raises BadInput with every problem and the source it came from."""
    table = _read_toml(sources)
    settled = _settled(sources, table)
    values: dict[str, Any] = {setting.field: found.value for setting, found in settled}
    values["origins"] = {found.name: found.origin for _, found in settled}
    identifier = values["node"]
    values["data"] = values["data"] or DATA / str(identifier)
    values["peers"] = {node: at for node, at in values["peers"].items() if node != identifier}
    values |= {field: flatten(table.get(section, {})) for section, field in FREE_SECTIONS.items()}
    values["controller"] = _controller(table.get(CONTROLLER, {}), sources.file)
    config = NodeConfig(**values)
    config.check()
    return config


def origins(sources: Sources) -> list[Settled]:
    """Every setting as `load` would take it, with where it came from; of secrets only the names. Raises BadInput."""
    table = _read_toml(sources)
    settled = {setting.field: found for setting, found in _settled(sources, table)}
    if settled["data"].value is None:
        settled["data"] = attrs.evolve(settled["data"], value=DATA / str(settled["node"].value))
    shown = [*settled.values()]
    for section in FREE_SECTIONS:
        for key, value in flatten(table.get(section, {})).items():
            said = SECRET_SHOWN if section == "secrets" else value
            shown.append(Settled(f"{section}.{key}", said, f"{sources.file}: {section}.{key}"))
    for key, own in table.get(CONTROLLER, {}).items():
        shown.append(Settled(f"{CONTROLLER}.{key}", own, f"{sources.file}: {CONTROLLER}.{key}"))
    return shown


def _controller(table: Mapping[str, object], file: str) -> ControllerSettings:
    try:
        return changed(ControllerSettings(), table)
    except BadInput as error:
        lines = tuple(f"{CONTROLLER}.{problem}" for problem in error.problems)
        raise BadInput(f"{file}: section {CONTROLLER} has errors", lines) from error


def _settled(sources: Sources, table: Mapping[str, Mapping[str, object]]) -> list[tuple[Setting, Settled]]:
    found: list[tuple[Setting, Settled]] = []
    wrong: list[BadInput] = []
    for setting in SETTINGS:
        raw, origin = _look(setting, sources, table)
        try:
            value = setting.default if raw is None else setting.read(raw, origin)
        except BadInput as error:
            wrong.append(error)
            continue
        found.append((setting, Settled(setting.name, value, "default" if raw is None else origin)))
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise BadInput("settings have errors", tuple(_lines(wrong)))
    return found


def _lines(wrong: Iterable[BadInput]) -> Iterable[str]:
    for error in wrong:
        yield f"{error.what}: {'; '.join(error.problems)}"


def _look(setting: Setting, sources: Sources, table: Mapping[str, Mapping[str, object]]) -> tuple[object, str]:
    """What the first source that says it holds, and how that source spells it; (None, "") when none does."""
    typed = sources.arguments.get(setting.argument.replace("-", "_")) if setting.argument else None
    if typed is not None:
        return typed, f"--{setting.argument}"
    for variable in setting.variables:
        if sources.environment.get(variable):
            return sources.environment[variable], variable
    return table.get(setting.section, {}).get(setting.key), f"{sources.file}: {setting.section}.{setting.key}"


def _read_toml(sources: Sources) -> dict[str, dict[str, object]]:
    try:
        table = tomli.loads(sources.toml)
    except tomli.TOMLDecodeError as error:
        raise BadInput(f"{sources.file} is no TOML", (str(error),)) from error
    problems: list[str] = []
    for name, section in table.items():
        allowed = FILE_KEYS.get(name, frozenset())
        if name not in FILE_KEYS:
            problems.append(f"{name}: unknown section{_did_you_mean(name, FILE_KEYS)}")
        elif not isinstance(section, dict):
            problems.append(f"{name}: must be a table")
        elif allowed is not None:
            unknown = sorted(cast("dict[str, object]", section).keys() - allowed)
            problems.extend(f"{name}.{key}: unknown key{_did_you_mean(key, allowed)}" for key in unknown)
    if problems:
        raise BadInput(f"{sources.file} has errors", problems)
    return table


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(names)}"


def flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Settings as slices read them: dotted keys, values as text; lists are separated by commas."""
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(cast("Mapping[str, object]", value), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(_text, cast("Sequence[object]", value)))
    return str(value)
