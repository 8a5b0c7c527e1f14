"""Blueprints as TOML text.

Knows: the spelling of a blueprint; every problem is reported at once, with the path of its key.
Never: which artifacts exist.
Holds: an unknown key is refused with the nearest known one, for a misspelt limit must not pass as no limit.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Final, cast

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.blueprint import ADHOC, APP, Blueprint, Mode, SliceWish, is_blueprint_id
from aether.model.blueprint_slice_toml import parse_target, read_wish
from aether.model.limits import BLUEPRINT_BYTES_MAX, BLUEPRINT_RULES_MAX, BLUEPRINT_SLICES_MAX, DEPLOYMENT_S
from aether.model.rollout import Strategy
from aether.model.toml_words import (
    PROBLEMS_MAX,
    Table,
    checked,
    seconds,
    shown,
    table_at,
    texts_at,
    unknown_keys,
    word,
)
from aether.model.version import Version

__all__ = ["parse_blueprint", "parse_target"]

_TOP: Final = ("id", "slices", "bind", "deployment", "security")
_DEPLOYMENT: Final = ("mode", "strategy", "timeout")
_STRATEGIES: Final = (Strategy.ROLLING, Strategy.IMMEDIATE, Strategy.CANARY, Strategy.BLUE_GREEN)
_ROUTE: Final = re.compile(r"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|\*) /[!-~]{0,500}")
_RULE: Final = re.compile(r"public|authenticated|deny|role:[a-z][a-z0-9_-]{0,62}")
_WHERE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_KEY_NAMES_MAX: Final = 128  # dotted words of one key; a text may hold dots as well, so this is generous
_DEEP_KEY = re.compile(  # possessive, and begun at the start of a word only: its time grows with the text, no faster
    rf"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{_KEY_NAMES_MAX},}}"""
)


def parse_blueprint(text: str, default_id: str = APP) -> Blueprint:
    """The blueprint in `text`. Raises BadInput that lists every problem as `path: what is wrong`.

    A syntax error is reported alone, as `line L, column C: what is wrong`.
    default_id  used when the text has no `id`
    """
    top = blueprint_table(text)
    problems: list[str] = []
    problems += unknown_keys("", top, _TOP)
    identity = _identity(top.get("id", default_id), problems)
    slices = tuple(_slices(top, problems))
    bind = _bind(top.get("bind", {}), problems)
    security = _security(top.get("security"), problems)
    mode, strategy, timeout_s = _deployment(top.get("deployment"), problems)
    if problems:
        raise BadInput("the blueprint is not valid", tuple(problems[:PROBLEMS_MAX]))
    return Blueprint(
        id=identity[0],
        version=identity[1],
        slices=slices,
        bind=bind,
        mode=mode,
        timeout_s=timeout_s,
        strategy=strategy,
        security=security,
    )


# --- the document -----------------------------------------------------------------------------------------------------


def blueprint_table(text: str) -> Table:
    """The document alone: that it is TOML, and no larger than one may be. Raises BadInput."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > BLUEPRINT_BYTES_MAX:
        raise BadInput(f"the blueprint has {size} bytes; at most {BLUEPRINT_BYTES_MAX} are allowed")
    if size and any("\ud800" <= character <= "\udfff" for character in {*text}):
        raise BadInput("the blueprint is no text", ("it holds half a character (a lone surrogate)",))
    if (deep := _DEEP_KEY.search(text)) is not None:  # tomllib takes the square of a key's length
        line = text.count("\n", 0, deep.start()) + 1
        raise BadInput(
            "the blueprint is nested too deeply", (f"line {line}: more than {_KEY_NAMES_MAX} names in a key",)
        )
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise BadInput("the blueprint is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput("the blueprint is not TOML", (_syntax(text, str(error)),)) from error
    except ValueError as error:
        raise BadInput("the blueprint is not TOML", ("a number in it has too many digits",)) from error


def _syntax(text: str, message: str) -> str:
    match = _WHERE.fullmatch(message)
    if match is None:
        return message
    what, line, column = match.groups()
    if line is None:
        lines = text.split("\n")
        line, column = str(len(lines)), str(len(lines[-1]) + 1)
    return f"line {line}, column {column}: {what}"


def _identity(value: object, problems: list[str]) -> tuple[str, Version | None]:
    if not isinstance(value, str):
        problems.append(f'id: {shown(value)} is no text; write id = "my-app:1.0.0"')
        return APP, None
    name, colon, version = value.partition(":")
    if not is_blueprint_id(name):
        problems.append(f"id: {name!r} is no blueprint name; use lower-case letters, digits and -, a letter first")
    elif name == ADHOC:
        problems.append(f"id: {ADHOC!r} belongs to single deployments; choose another name")
    return name, checked("id", Version.parse, version, problems) if colon else None


def _bind(value: object, problems: list[str]) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        problems.append(f'bind: {shown(value)} is no table; write [bind] and lines such as Pricing = "shop:pricing"')
        return {}
    table = cast(Table, value)
    for name, target in table.items():
        if not isinstance(target, str):
            problems.append(f"bind.{name}: {shown(target)} is no text; write group:artifact")
        else:
            checked(f"bind.{name}", ArtifactBase.parse, target, problems)
    return {name: str(target) for name, target in table.items()}


def _deployment(value: object, problems: list[str]) -> tuple[Mode, Strategy, float]:
    table = table_at("deployment", value, '[deployment] and mode = "atomic"', problems)
    problems += unknown_keys("deployment", table, _DEPLOYMENT)
    mode = word("deployment.mode", table.get("mode"), list(Mode), Mode.BEST_EFFORT, problems)
    strategy = word("deployment.strategy", table.get("strategy"), _STRATEGIES, Strategy.ROLLING, problems)
    timeout_s = seconds("deployment.timeout", table.get("timeout"), problems)
    return Mode(mode), Strategy(strategy), DEPLOYMENT_S if timeout_s is None else timeout_s


def _security(value: object, problems: list[str]) -> Mapping[str, str]:
    table = texts_at("security", value, '[security] and lines such as "POST /orders" = "role:clerk"', problems)
    if len(table) > BLUEPRINT_RULES_MAX:
        problems.append(f"security: {len(table)} rules; one blueprint holds at most {BLUEPRINT_RULES_MAX}")
        return {}
    for route, rule in table.items():
        if _ROUTE.fullmatch(route) is None:
            problems.append(f'security: {shown(route)} is no route; write "POST /orders", or "* /orders/*" for more')
        if _RULE.fullmatch(rule) is None:
            problems.append(f"security: {shown(rule)} is no rule; write public, authenticated, deny or role:NAME")
    return table


# --- slices -----------------------------------------------------------------------------------------------------------


def _slices(top: Table, problems: list[str]) -> Iterator[SliceWish]:
    owner: dict[ArtifactBase, str] = {}
    entries = list(_entries(top, problems))
    if len(entries) > BLUEPRINT_SLICES_MAX:
        problems.append(f"slices: {len(entries)} slices; one blueprint holds at most {BLUEPRINT_SLICES_MAX}")
        return
    for path, entry in entries:
        wish = read_wish(path, entry, problems)
        if wish is None:
            continue
        first = owner.setdefault(wish.artifact, path)
        if first != path:
            problems.append(f"{path}.artifact: {wish.artifact} stands in {first} already; name each artifact once")
        yield wish


def _entries(top: Table, problems: list[str]) -> Iterator[tuple[str, object]]:
    """(path, value) of every slice, whether spelt `[[slices]]` or `[slices.NAME]`."""
    value = top.get("slices")
    if isinstance(value, list):
        yield from ((f"slices[{index}]", entry) for index, entry in enumerate(cast(list[object], value)))
    elif isinstance(value, Mapping):
        yield from ((f"slices.{name}", entry) for name, entry in cast(Table, value).items())
    elif value is None:
        problems.append('slices: there are none; write [[slices]] and below it artifact = "group:artifact:1.0.0"')
    else:
        problems.append(f"slices: {shown(value)} is no table; write [[slices]] above each slice")
