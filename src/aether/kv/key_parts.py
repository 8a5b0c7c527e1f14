"""The parts of keys: typed values <-> escaped text.

Knows: how each type of part is spelt, which texts are the one spelling of it.
Never: which keys exist.
Holds: text -> part -> text is the identity; a part holds no `/`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final, Generic, TypeVar
from urllib.parse import quote_from_bytes, unquote_to_bytes

import attrs

from aether.errors import BadInput
from aether.model.artifact import ArtifactBase
from aether.model.ids import InstanceId, NodeId, is_name, node_id
from aether.model.version import Version

T = TypeVar("T")

_SAFE: Final = ":"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def escape(part: bytes) -> str:
    """`part` as one segment of a key."""
    if part.isalnum():  # ASCII letters and digits, for bytes; most parts are, and quoting costs ten times as much
        return part.decode("ascii")
    return quote_from_bytes(part, safe=_SAFE)


def unescape(text: str) -> bytes:
    """The part spelt by `text`. Raises BadInput when `text` is not the one spelling of it."""
    part = unquote_to_bytes(text)
    if escape(part) != text:
        raise BadInput(f"{text!r} is no key part", ("escape each byte but letters, digits and - . _ ~ : as %XX",))
    return part


@attrs.frozen
class Part(Generic[T]):
    spell: Callable[[T], str]
    read: Callable[[str], T]


@functools.lru_cache(maxsize=1_024)  # maps are few, their entries many
def spell_name(name: str) -> str:
    if not name:
        raise BadInput("an empty name in a key", ("give it at least one character",))
    return escape(name.encode())


def _read_name(text: str) -> str:
    name = unescape(text).decode()
    if not name:
        raise BadInput("an empty name in a key", ("give it at least one character",))
    return name


def _spell_node(node: NodeId) -> str:
    return node_id(node)


def _spell_base(base: ArtifactBase) -> str:
    return str(base)


def _spell_instance(instance: InstanceId) -> str:
    return _read_instance(instance)


def _read_instance(text: str) -> InstanceId:
    if not is_name(text):
        raise BadInput(f"{text!r} is no instance id", ("use letters, digits, and inner . _ - ; at most 63 characters",))
    return InstanceId(text)


def _read_number(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise BadInput(f"{text!r} is no number of a revision", ("count from 1, without leading zeros",))
    return int(text)


def _spell_number(number: int) -> str:
    text = str(number)
    _read_number(text)
    return text


def _spell_version(version: Version) -> str:
    return escape(str(version).encode())


def _read_version(text: str) -> Version:
    return Version.parse(unescape(text).decode())


NAME: Final = Part(spell_name, _read_name)
NODE: Final = Part(_spell_node, node_id)
BASE: Final = Part(_spell_base, ArtifactBase.parse)
INSTANCE: Final = Part(_spell_instance, _read_instance)
COUNT: Final = Part(_spell_number, _read_number)
VERSION: Final = Part(_spell_version, _read_version)
USER_KEY: Final = Part(escape, unescape)
