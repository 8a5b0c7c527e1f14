"""Blueprints as TOML text.

Knows: the spelling of a blueprint; every problem is reported at once, with the path of its key.
Never: which artifacts exist.
Holds: an unknown key is refused with the nearest known one, for a misspelt limit must not pass as no limit.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time
from itertools import islice
from typing import Final, TypeVar, cast

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.blueprint import ADHOC, APP, Blueprint, SliceWish, is_blueprint_id
from aether.model.hosts import WORKER, host_problem
from aether.model.limits import BLUEPRINT_BYTES_MAX, BLUEPRINT_SLICES_MAX, INSTANCES_MAX
from aether.model.version import Version, VersionRange

T = TypeVar("T")
Table = Mapping[str, object]

_TOP: Final = ("id", "slices", "bind")
_SLICE: Final = ("artifact", "instances", "max_per_node", "host", "memory_mb", "config")
_WHERE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_SHOWN_CHARS_MAX: Final = 60
_PROBLEMS_MAX: Final = 64
_DEPTH_MAX: Final = 32
_KEY_NAMES_MAX: Final = 128  # dotted words of one key; a text may hold dots as well, so this is generous
_DEEP_KEY = re.compile(  # possessive, and begun at the start of a word only: its time grows with the text, no faster
    rf"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{_KEY_NAMES_MAX},}}"""
)


def parse_blueprint(text: str, default_id: str = APP) -> Blueprint:
    """The blueprint in `text`. Raises BadInput that lists every problem as `path: what is wrong`.

    A syntax error is reported alone, as `line L, column C: what is wrong`.
    default_id  used when the text has no `id`
    """
    top = _toml(text)
    problems: list[str] = []
    problems += _unknown_keys("", top, _TOP)
    identity = _identity(top.get("id", default_id), problems)
    slices = tuple(_slices(top, problems))
    bind = _bind(top.get("bind", {}), problems)
    if problems:
        raise BadInput("the blueprint is not valid", tuple(problems[:_PROBLEMS_MAX]))
    return Blueprint(id=identity[0], version=identity[1], slices=slices, bind=bind)


# --- the document -----------------------------------------------------------------------------------------------------


def _toml(text: str) -> Table:
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
        problems.append(f'id: {_shown(value)} is no text; write id = "my-app:1.0.0"')
        return APP, None
    name, colon, version = value.partition(":")
    if not is_blueprint_id(name):
        problems.append(f"id: {name!r} is no blueprint name; use lower-case letters, digits and -, a letter first")
    elif name == ADHOC:
        problems.append(f"id: {ADHOC!r} belongs to single deployments; choose another name")
    return name, _checked("id", Version.parse, version, problems) if colon else None


def _bind(value: object, problems: list[str]) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        problems.append(f'bind: {_shown(value)} is no table; write [bind] and lines such as Pricing = "shop:pricing"')
        return {}
    table = cast(Table, value)
    for name, target in table.items():
        if not isinstance(target, str):
            problems.append(f"bind.{name}: {_shown(target)} is no text; write group:artifact")
        else:
            _checked(f"bind.{name}", ArtifactBase.parse, target, problems)
    return {name: str(target) for name, target in table.items()}


# --- slices -----------------------------------------------------------------------------------------------------------


def _slices(top: Table, problems: list[str]) -> Iterator[SliceWish]:
    owner: dict[ArtifactBase, str] = {}
    entries = list(_entries(top, problems))
    if len(entries) > BLUEPRINT_SLICES_MAX:
        problems.append(f"slices: {len(entries)} slices; one blueprint holds at most {BLUEPRINT_SLICES_MAX}")
        return
    for path, entry in entries:
        wish = _wish(path, entry, problems)
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
        problems.append(f"slices: {_shown(value)} is no table; write [[slices]] above each slice")


def _wish(path: str, entry: object, problems: list[str]) -> SliceWish | None:
    if not isinstance(entry, Mapping):
        problems.append(f"{path}: {_shown(entry)} is no table; write [[slices]] above each slice")
        return None
    table = cast(Table, entry)
    problems += _unknown_keys(path, table, _SLICE)
    target = _target(f"{path}.artifact", table.get("artifact"), problems)
    instances = _count(f"{path}.instances", table.get("instances"), 0, problems)
    max_per_node = _count(f"{path}.max_per_node", table.get("max_per_node"), 1, problems)
    host, memory_mb = table.get("host"), table.get("memory_mb")
    lives = WORKER if host is None else host
    if problem := host_problem(lives, None):
        problems.append(f"{path}.host: {problem}")
    elif problem := host_problem(lives, memory_mb):
        problems.append(f"{path}.memory_mb: {problem}")
    config = _config(f"{path}.config", table.get("config", {}), problems)
    if target is None:
        return None
    return SliceWish(
        artifact=target[0],
        versions=target[1],
        instances=instances,
        max_per_node=max_per_node,
        host=None if host is None else str(host),
        memory_mb=memory_mb if isinstance(memory_mb, int) else None,
        config=config,
    )


def _target(path: str, value: object, problems: list[str]) -> tuple[ArtifactBase, VersionRange] | None:
    if not isinstance(value, str):
        what = "is missing" if value is None else f"{_shown(value)} is no text"
        problems.append(f'{path}: {what}; write artifact = "group:artifact:1.0.0"')
        return None
    return _checked(path, parse_target, value, problems)


def parse_target(text: str) -> tuple[ArtifactBase, VersionRange]:
    """Read `group:artifact:` and a version or range, such as `shop:pricing:^1.2`. Raises BadInput."""
    group, _, rest = text.partition(":")
    name, colon, versions = rest.partition(":")
    if not colon:
        raise BadInput(f"{text!r} has no version", ("write group:artifact:version, such as shop:pricing:1.2.0",))
    return ArtifactBase.parse(f"{group}:{name}"), VersionRange.parse(versions)


def _count(path: str, value: object, low: int, problems: list[str]) -> int | None:
    if value is None:
        return None
    if type(value) is int and low <= value <= INSTANCES_MAX:
        return value
    problems.append(f"{path}: {_shown(value)} is no whole number from {low} to {INSTANCES_MAX}")
    return None


# --- configuration ----------------------------------------------------------------------------------------------------


def _config(path: str, value: object, problems: list[str]) -> Mapping[str, str]:
    """Flat: `a.b = 1` and a table `a` with `b = 1` are the same."""
    if not isinstance(value, Mapping):
        problems.append(f"{path}: {_shown(value)} is no table; write config = {{ name = value }}")
        return {}
    flat: dict[str, str] = {}
    for name, item in _flat("", cast(Table, value), _DEPTH_MAX):
        text = _text(item)
        if text is None:
            problems.append(f"{path}.{name[:_SHOWN_CHARS_MAX]}: {_shown(item)} is no text, number, truth value or date")
        elif name in flat:
            problems.append(f"{path}.{name}: stands there twice, once quoted and once as a table")
        else:
            flat[name] = text
    return flat


def _flat(prefix: str, table: Table, depth: int) -> Iterator[tuple[str, object]]:
    """Every leaf with its dotted name. A table `depth` levels down is given as it is, and refused as no value."""
    for name, item in table.items():
        if isinstance(item, Mapping) and depth > 1:
            yield from _flat(f"{prefix}{name}.", cast(Table, item), depth - 1)
        else:
            yield f"{prefix}{name}", item


def _text(value: object) -> str | None:
    """As the textual converter of configuration reads it back."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 64:
        return None
    if isinstance(value, str | int | float):
        return str(value)
    return value.isoformat() if isinstance(value, datetime | date | time) else None


# --- words ------------------------------------------------------------------------------------------------------------


def _unknown_keys(path: str, table: Table, known: Iterable[str]) -> Iterator[str]:
    names = list(known)
    for name in islice((name for name in table if name not in names), _PROBLEMS_MAX):
        shown = name[:_SHOWN_CHARS_MAX]
        near = difflib.get_close_matches(shown, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(names)}"
        yield f"{path}{'.' if path else ''}{shown}: unknown key; {hint}"


def _checked(path: str, parse: Callable[[str], T], text: str, problems: list[str]) -> T | None:
    try:
        return parse(text)
    except BadInput as error:
        problems.append(f"{path}: {error}")
        return None


def _shown(value: object) -> str:
    """`value` as it may stand in a message: short, whatever came in."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value.isoformat() if isinstance(value, datetime | date | time) else repr(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}…"
