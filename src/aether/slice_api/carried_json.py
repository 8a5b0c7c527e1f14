"""JSON from outside, as values that rows and messages can carry.

Knows: which values of JSON fit no row: too deep, too large a number, half a character.
Never: what the values mean.
Holds: whatever the text is, reading it raises BadInput and nothing else, and takes time in proportion to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, cast

from aether.errors import BadInput

DEPTH_MAX: Final = 100
_WHOLE_MAX: Final = 2**63


def read_json(text: str, what: str) -> object:
    """The value of `text`. what  names it in the error"""
    try:
        whole: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{what} that is no JSON", (str(error)[:200],)) from None
    level: list[object] = [whole]
    for _ in range(DEPTH_MAX):
        if not level:
            return whole
        for each in level:
            problem = _problem(each)
            if problem:
                raise BadInput(f"{what} that no row can hold", (problem,))
        level = [inner for each in level for inner in _inside(each)]
    raise BadInput(f"{what} that no row can hold", (f"it is nested more than {DEPTH_MAX} deep",))


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        table = cast("dict[str, object]", value)
        return (*table.keys(), *table.values())
    return cast("list[object]", value) if isinstance(value, list) else ()


def _problem(value: object) -> str:
    if isinstance(value, int) and not -_WHOLE_MAX <= value < _WHOLE_MAX:
        return f"a whole number of {value.bit_length()} bits; 64 are the most"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"{value!r:.60} holds half a character (a lone surrogate)"
    return ""
