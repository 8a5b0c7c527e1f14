"""Values as YAML text, in the subset that every reader agrees about.

Knows: objects, lists, texts, numbers, booleans; notes for people above a key.
Never: reading YAML, anchors, tags.
Holds: a text is read back as that text, whatever is in it: quoted unless it can mean nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

import attrs

Value = object
_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_STEP: Final = "  "
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


@attrs.frozen
class Noted:
    """`value`, with a note for people above the key that it belongs to."""

    note: str
    value: Value


def documents(*values: Value) -> str:
    """Several documents, one after the other."""
    return "---\n".join(yaml_text(value) for value in values)


def yaml_text(value: Value) -> str:
    """`value` as a document: objects (in order), lists, texts, whole numbers, booleans, `Noted` inside objects."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Value) -> Iterator[str]:
    keys, items = _keys(value), _items(value)
    for key, given in keys.items():
        noted = given if isinstance(given, Noted) else Noted("", given)
        yield from (f"# {line}" for line in noted.note.splitlines())
        yield from _under(f"{_scalar(key)}:", noted.value)
    for item in items:
        first, *rest = _lines(item) if _nests(item) else [_flat(item)]
        yield f"- {first}"
        yield from (f"{_STEP}{line}" if line else line for line in rest)
    if not keys and not items:
        yield _flat(value)


def _under(head: str, value: Value) -> Iterator[str]:
    if isinstance(value, str) and _is_block(value):
        yield f"{head} |"
        yield from (f"{_STEP}{line}" if line else line for line in value[:-1].split("\n"))
    elif _nests(value):
        yield head
        yield from (f"{_STEP}{line}" if line else line for line in _lines(value))
    else:
        yield f"{head} {_flat(value)}"


def _keys(value: Value) -> Mapping[str, Value]:
    return cast("Mapping[str, Value]", value) if isinstance(value, Mapping) else {}


def _items(value: Value) -> Sequence[Value]:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return cast("Sequence[Value]", value) if is_list else ()


def _nests(value: Value) -> bool:
    return bool(_keys(value) or _items(value))


def _flat(value: Value) -> str:
    if isinstance(value, str):
        return _scalar(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{}"
    return "[]" if isinstance(value, Sequence) else str(value)


def _is_block(text: str) -> bool:
    """Whether it can stand as lines: printable, ended by one line end, nothing that a reader would fold away."""
    lines = text.split("\n")
    return (
        len(lines) > 2
        and lines[-1] == ""
        and lines[-2] != ""
        and lines[0] != ""
        and not lines[0].startswith(" ")
        and all(line == line.rstrip() and line.isprintable() and line.isascii() for line in lines)
    )


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    number = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if 0x20 <= number < 0x7F:
        return character
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
