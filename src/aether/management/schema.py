"""What a body or a query may hold, as a table, with every problem said at once.

Knows: fields, their kinds and other spellings, ranges.
Never: what a value is for.
Holds: nothing unknown is ignored in silence, except what the original's clients send for features of their own.
"""

from __future__ import annotations

import difflib
import enum
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NoReturn, cast

import attrs

from aether.errors import BadInput

PROBLEMS_MAX: Final = 64
"""Problems said of one body; a hostile object of a hundred thousand names is not answered with as many lines."""
SHOWN_CHARS_MAX: Final = 80


class Kind(enum.Enum):
    """What a value must be."""

    TEXT = "text"
    WHOLE = "a whole number"
    SECONDS = "a number of seconds"
    NUMBER = "a number"
    FLAG = "true or false"
    ANY = "a JSON value"  # of a body only


@attrs.frozen
class Field:
    """One field. `also` are its other spellings; low and high bound numbers, and the length of text."""

    name: str
    kind: Kind
    required: bool = False
    also: tuple[str, ...] = ()
    low: float = 0
    high: float = math.inf
    about: str = ""


_Check = Callable[[Field, object, str, "list[str]"], object]


@attrs.frozen
class Schema:
    """The fields of one body or query. `ignored` are names that are accepted and not used."""

    fields: tuple[Field, ...] = ()
    ignored: tuple[str, ...] = ()

    def read_body(self, raw: bytes) -> dict[str, object]:
        """A JSON object by field name. Raises BadInput that lists every problem."""
        return self._read(parse_json_object(raw), "the body does not fit", _checked)

    def read_query(self, query: Mapping[str, Sequence[str]]) -> dict[str, object]:
        """Query parameters by field name; the last of a repeated one counts. Raises BadInput with every problem."""
        return self._read({name: values[-1] for name, values in query.items()}, "the query does not fit", _converted)

    def _read(self, given: Mapping[str, object], what: str, check: _Check) -> dict[str, object]:
        problems: list[str] = []
        found: dict[str, object] = {}
        spellings = {spelling: field for field in self.fields for spelling in (field.name, *field.also)}
        for name, value in given.items():
            if len(problems) >= PROBLEMS_MAX:
                raise BadInput(what, (*problems, "more of the kind follows; correct these first"))
            field = spellings.get(name)
            if field is None:
                problems.extend(() if name in self.ignored else (_unknown(name, spellings),))
            elif field.name in found:
                problems.append(f"{name}: given twice, also in another spelling; keep one")
            else:
                found[field.name] = check(field, value, name, problems)
        missing = (f for f in self.fields if f.required and f.name not in found)
        problems.extend(f"{field.name}: missing; give {field.kind.value}" for field in missing)
        if problems:
            raise BadInput(what, tuple(problems))
        return found


def parse_json_object(raw: bytes) -> dict[str, object]:
    """`raw` as a JSON object. Raises BadInput: not UTF-8, not JSON, no object, a name given twice, NaN."""
    try:
        value: object = json.loads(raw or b"{}", object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise BadInput("the body is no JSON", ("nested too deeply",)) from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise BadInput("the body is no JSON", (str(error),)) from error
    if not isinstance(value, dict):
        raise BadInput("the body does not fit", (f"an object is wanted, such as {{}}, not {_shown(value)}",))
    return cast("dict[str, object]", value)


def _unique(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:SHOWN_CHARS_MAX]!r} is given twice")
        found[name] = value
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _shown(value: object) -> str:
    """`value` as JSON, short: it came from outside, and may be large or nested deeply."""
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else json.dumps(value)[:SHOWN_CHARS_MAX]


def _unknown(name: str, known: Iterable[str]) -> str:
    name = name[:SHOWN_CHARS_MAX]
    close = difflib.get_close_matches(name, list(known), 1)
    if close:
        return f"{name}: unknown; did you mean {close[0]}?"
    return f"{name}: unknown; known are {', '.join(sorted(known)) or 'none'}"


def _checked(field: Field, value: object, name: str, problems: list[str]) -> object:
    """A JSON value, strictly: no text for a number, no truth for 1."""
    match field.kind:
        case Kind.TEXT:
            fits = isinstance(value, str) and _is_unicode(value)
        case Kind.WHOLE:
            fits = isinstance(value, int) and not isinstance(value, bool)
        case Kind.SECONDS | Kind.NUMBER:
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case Kind.FLAG:
            fits = isinstance(value, bool)
        case Kind.ANY:
            fits = _is_storable(value)
    if fits and field.kind is not Kind.ANY:
        problems.extend(_out_of_range(field, value, name))
    elif not fits:
        problems.append(f"{name}: {_shown(value)} is not {field.kind.value}")
    return value


def _converted(field: Field, value: object, name: str, problems: list[str]) -> object:
    """A query parameter: text, read as the kind says."""
    text = str(value)
    try:
        read = _READ[field.kind](text)
    except (ValueError, KeyError):
        problems.append(f"{name}: {text[:SHOWN_CHARS_MAX]!r} is not {field.kind.value}")
        return None
    problems.extend(_out_of_range(field, read, name))
    return read


def _is_storable(value: object) -> bool:
    """Whether every text in it is one: `parse_json_object` has bounded its depth."""
    if isinstance(value, str):
        return _is_unicode(value)
    if isinstance(value, dict):
        return all(map(_is_storable, [*cast("dict[str, object]", value), *cast("dict[str, object]", value).values()]))
    return all(map(_is_storable, cast("list[object]", value))) if isinstance(value, list) else True


def _is_unicode(text: str) -> bool:
    """Whether it can be stored and shown: JSON may spell half a character, as `\\ud800`."""
    return not _SURROGATE.search(text)


def _whole(text: str) -> int:
    if _DIGITS.fullmatch(text) is None:
        raise ValueError(text)
    return int(text)


def _seconds(text: str) -> float:
    """Digits, a point, an exponent: not all that `float` reads, such as `1_0` or `nan`."""
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(text)
    return float(text)


_SURROGATE = re.compile("[\ud800-\udfff]")
_DIGITS = re.compile(r"[0-9]{1,4000}")  # `int` refuses more than 4300
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?|-?inf")
_FLAGS = {"true": True, "false": False, "1": True, "0": False, "": True}
_READ: Mapping[Kind, Callable[[str], object]] = {
    Kind.TEXT: str,
    Kind.WHOLE: _whole,
    Kind.SECONDS: _seconds,
    Kind.NUMBER: _seconds,
    Kind.FLAG: lambda text: _FLAGS[text.lower()],
}


def _out_of_range(field: Field, value: object, name: str) -> Iterator[str]:
    if isinstance(value, str):
        if not field.low <= len(value) <= field.high:
            yield f"{name}: {len(value)} characters; allowed are {field.low:g} to {field.high:g}"
    elif isinstance(value, int | float) and not isinstance(value, bool) and not field.low <= value <= field.high:
        yield f"{name}: {_shown(value)} is out of range; allowed are {field.low:g} to {field.high:g}"
