"""Words of a TOML table, read one by one; what does not fit is added to a list of problems.

Knows: kinds of value, and how each is refused with the path of its key.
Never: what a key is for.
Holds: nothing is converted in silence; what is shown of a value is short, whatever came in.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time
from itertools import islice
from typing import Final, TypeVar, cast

from aether.errors import BadInput
from aether.model.limits import DEPLOYMENT_S_MAX

T = TypeVar("T")
Table = Mapping[str, object]

SHOWN_CHARS_MAX: Final = 60
PROBLEMS_MAX: Final = 64
_DEPTH_MAX: Final = 32


def unknown_keys(path: str, table: Table, known: Iterable[str]) -> Iterator[str]:
    """A problem for each key that is not `known`, with the nearest one that is."""
    names = list(known)
    for name in islice((name for name in table if name not in names), PROBLEMS_MAX):
        short = name[:SHOWN_CHARS_MAX]
        near = difflib.get_close_matches(short, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(names)}"
        yield f"{path}{'.' if path else ''}{short}: unknown key; {hint}"


def checked(path: str, parse: Callable[[str], T], text: str, problems: list[str]) -> T | None:
    """What `parse` makes of `text`, or None and its problem."""
    try:
        return parse(text)
    except BadInput as error:
        problems.append(f"{path}: {error}")
        return None


def shown(value: object) -> str:
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
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}…"


def count(path: str, value: object, low: int, high: int, problems: list[str]) -> int | None:
    """A whole number; None also when there is none."""
    if value is None:
        return None
    if type(value) is int and low <= value <= high:
        return value
    problems.append(f"{path}: {shown(value)} is no whole number from {low} to {high}")
    return None


def seconds(path: str, value: object, problems: list[str]) -> float | None:
    """A span of time above 0; None also when there is none."""
    if value is None:
        return None
    if type(value) in (int, float) and 0 < cast(float, value) <= DEPLOYMENT_S_MAX:
        return float(cast(float, value))
    problems.append(f"{path}: {shown(value)} is no number of seconds above 0, to {DEPLOYMENT_S_MAX:.0f}")
    return None


def flag(path: str, value: object, problems: list[str]) -> bool:
    """Truth or not; False when there is none."""
    if isinstance(value, bool):
        return value
    if value is not None:
        problems.append(f"{path}: {shown(value)} is neither true nor false")
    return False


def word(path: str, value: object, words: Iterable[str], default: str, problems: list[str]) -> str:
    """One of `words`; `default` when there is none."""
    if value is None:
        return default
    known = list(words)
    if isinstance(value, str) and value.replace("-", "_") in known:
        return value.replace("-", "_")
    near = difflib.get_close_matches(value, known, n=1) if isinstance(value, str) else []
    hint = f"did you mean {near[0]}?" if near else f"write one of {', '.join(known)}"
    problems.append(f"{path}: {shown(value)} is unknown; {hint}")
    return default


def table_at(path: str, value: object, example: str, problems: list[str]) -> Table:
    """A table; an empty one when there is none."""
    if isinstance(value, Mapping):
        return cast(Table, value)
    if value is not None:
        problems.append(f"{path}: {shown(value)} is no table; write {example}")
    return {}


def texts_at(path: str, value: object, example: str, problems: list[str]) -> Mapping[str, str]:
    """A table whose values are all text."""
    table = table_at(path, value, example, problems)
    for name, item in table.items():
        if not isinstance(item, str):
            problems.append(f"{path}.{name[:SHOWN_CHARS_MAX]}: {shown(item)} is no text")
    return {name: item for name, item in table.items() if isinstance(item, str)}


def flat_texts(path: str, value: object, problems: list[str]) -> Mapping[str, str]:
    """Flat: `a.b = 1` and a table `a` with `b = 1` are the same."""
    if not isinstance(value, Mapping):
        problems.append(f"{path}: {shown(value)} is no table; write config = {{ name = value }}")
        return {}
    flat: dict[str, str] = {}
    for name, item in _flat("", cast(Table, value), _DEPTH_MAX):
        text = _text(item)
        if text is None:
            problems.append(f"{path}.{name[:SHOWN_CHARS_MAX]}: {shown(item)} is no text, number, truth value or date")
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
