"""Structured keys <-> text, in one table.

Knows: the spelling of every key, the type of its value.
Never: who writes a row, or when.
Holds: two different keys never share a text; text -> key -> text is the identity.

A part is percent-escaped: everything but ASCII letters, digits and `- . _ ~ :` becomes `%XX`, so `/` only separates.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast
from urllib.parse import quote_from_bytes, unquote_to_bytes

import attrs

from aether.errors import BadInput
from aether.kv.codec import BYTES, Codec, row_codec
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import ClusterUuid, InstanceId, NodeId, is_name, node_id
from aether.model.limits import KEY_BYTES_MAX, MAP_BYTES_MAX_DEFAULT, MAP_ENTRIES_MAX_DEFAULT
from aether.model.rows import (
    BlueprintRow,
    CallKeyRow,
    ContractRow,
    DesiredRow,
    HandoverRow,
    InstanceRow,
    LeadershipRow,
    MemberRow,
    RemovedRow,
    RoleRow,
    RouteRow,
    TrafficRow,
    UnsatisfiedRow,
)
from aether.model.version import Version

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class ClusterRow:
    """Who this cluster is, written once. Key `cluster`."""

    uuid: ClusterUuid
    name: str


@attrs.frozen(kw_only=True)
class MapRow:
    """Limits of one user map, all its entries together. Key `maps/{name}`; without it the defaults hold.

    bytes_max  of key texts and values
    """

    entries_max: int = MAP_ENTRIES_MAX_DEFAULT
    bytes_max: int = MAP_BYTES_MAX_DEFAULT


class Key(NamedTuple, Generic[T]):
    """A typed key. `text` is its one spelling; `head` its kind (such as `instances`); `parts` its typed parts.

    A NamedTuple, because each access to a map makes one.
    """

    text: str
    head: str
    parts: tuple[object, ...]
    codec: Codec[T]

    def encode(self, value: T) -> bytes:
        """`value` as stored."""
        return self.codec.encode(value)

    def decode(self, raw: bytes) -> T:
        """The value in `raw`. Raises BadInput that names this key and each wrong field."""
        try:
            return self.codec.decode(raw)
        except BadInput as error:
            raise BadInput(f"{self.text}: {error.what}", error.problems) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self[0] == other[0]

    def __ne__(self, other: object) -> bool:  # a tuple has its own, which would compare the codecs
        return not self == other

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text


_new_key: Final = cast("Callable[[tuple[Any, ...]], Key[Any]]", functools.partial(cast("Any", tuple).__new__, Key))


class Prefix(str, Generic[T]):
    """The start of keys whose values are all T. Is text itself: fits wherever a prefix is asked for."""

    codec: Codec[T]

    def __new__(cls, text: str, codec: Codec[T]) -> Prefix[T]:
        prefix = super().__new__(cls, text)
        prefix.codec = codec
        return prefix


# --- parts: typed value <-> escaped text ----------------------------------------------------------------------------

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
class _Part(Generic[T]):
    spell: Callable[[T], str]
    read: Callable[[str], T]


@functools.lru_cache(maxsize=1_024)  # maps are few, their entries many
def _spell_name(name: str) -> str:
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


_NAME: Final = _Part(_spell_name, _read_name)
_NODE: Final = _Part(_spell_node, node_id)
_BASE: Final = _Part(_spell_base, ArtifactBase.parse)
_INSTANCE: Final = _Part(_spell_instance, _read_instance)
_COUNT: Final = _Part(_spell_number, _read_number)
_VERSION: Final = _Part(_spell_version, _read_version)
_USER_KEY: Final = _Part(escape, unescape)


# --- the table ------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Kind(Generic[T]):
    """One line of the table: `head/part/part` with values of one type. Head and number of parts make it unique."""

    head: str
    parts: tuple[_Part[Any], ...]
    codec: Codec[T]

    def key(self, *parts: object) -> Key[T]:
        spelt = [part.spell(value) for part, value in zip(self.parts, parts, strict=True)]
        return self.made("/".join((self.head, *spelt)), parts)

    def read(self, text: str, parts: list[str]) -> Key[T]:
        return self.made(text, tuple(part.read(spelt) for part, spelt in zip(self.parts, parts, strict=True)))

    def prefix(self, *parts: object) -> Prefix[T]:
        spelt = [part.spell(value) for part, value in zip(self.parts, parts, strict=False)]
        return Prefix("/".join((self.head, *spelt, "")), self.codec)

    def made(self, text: str, parts: tuple[object, ...]) -> Key[T]:
        if len(text) > KEY_BYTES_MAX:  # ASCII: characters are bytes
            raise BadInput(
                f"a key of {len(text)} bytes", (f"keys have at most {KEY_BYTES_MAX} bytes, escapes included",)
            )
        return _new_key((text, self.head, parts, self.codec))


_CLUSTER: Final = _Kind("cluster", (), row_codec(ClusterRow))
_LEADERSHIP: Final = _Kind("leadership", (), row_codec(LeadershipRow))
_FEATURE_LEVEL: Final = _Kind("feature-level", (), row_codec(int))
_MEMBER: Final = _Kind("members", (_NODE,), row_codec(MemberRow))
_REMOVED: Final = _Kind("removed", (_NODE,), row_codec(RemovedRow))
_ROLE: Final = _Kind("roles", (_NODE,), row_codec(RoleRow))
_HANDOVER: Final = _Kind("handover", (), row_codec(HandoverRow))
_DESIRED: Final = _Kind("desired", (_BASE,), row_codec(DesiredRow))
_INSTANCES: Final = _Kind("instances", (_BASE, _INSTANCE), row_codec(InstanceRow))
_ROUTES: Final = _Kind("routes", (_BASE,), row_codec(RouteRow))
_TRAFFIC: Final = _Kind("traffic", (_BASE,), row_codec(TrafficRow))
_CONTRACT: Final = _Kind("contracts", (_BASE, _VERSION), row_codec(ContractRow))
_BLUEPRINT: Final = _Kind("blueprints", (_NAME, _COUNT), row_codec(BlueprintRow))
_BLUEPRINT_CURRENT: Final = _Kind("blueprint-current", (_NAME,), row_codec(int))
_UNSATISFIED: Final = _Kind("unsatisfied", (_BASE,), row_codec(UnsatisfiedRow))
_CALL: Final = _Kind("calls", (_BASE, _NAME, _NAME), row_codec(CallKeyRow))
MAP_DEFINITION: Final = row_codec(MapRow)
_MAP: Final = _Kind("maps", (_NAME,), MAP_DEFINITION)
_MAP_ENTRY: Final = _Kind("maps", (_NAME, _USER_KEY), BYTES)

_TABLE: Final[tuple[_Kind[Any], ...]] = (
    _CLUSTER,
    _LEADERSHIP,
    _FEATURE_LEVEL,
    _MEMBER,
    _REMOVED,
    _ROLE,
    _HANDOVER,
    _DESIRED,
    _INSTANCES,
    _ROUTES,
    _TRAFFIC,
    _CONTRACT,
    _BLUEPRINT,
    _BLUEPRINT_CURRENT,
    _UNSATISFIED,
    _CALL,
    _MAP,
    _MAP_ENTRY,
)
_BY_SHAPE: Final = {(kind.head, len(kind.parts)): kind for kind in _TABLE}
assert len(_BY_SHAPE) == len(_TABLE)

cluster: Final[Key[ClusterRow]] = _CLUSTER.key()
leadership: Final[Key[LeadershipRow]] = _LEADERSHIP.key()
feature_level: Final[Key[int]] = _FEATURE_LEVEL.key()
"""In force (model.features); absent is 1."""

handover: Final[Key[HandoverRow]] = _HANDOVER.key()

MEMBERS: Final[Prefix[MemberRow]] = _MEMBER.prefix()
REMOVED: Final[Prefix[RemovedRow]] = _REMOVED.prefix()
ROLES: Final[Prefix[RoleRow]] = _ROLE.prefix()
DESIRED: Final[Prefix[DesiredRow]] = _DESIRED.prefix()
INSTANCES: Final[Prefix[InstanceRow]] = _INSTANCES.prefix()
ROUTES: Final[Prefix[RouteRow]] = _ROUTES.prefix()
TRAFFIC: Final[Prefix[TrafficRow]] = _TRAFFIC.prefix()
CONTRACTS: Final[Prefix[ContractRow]] = _CONTRACT.prefix()
BLUEPRINTS: Final[Prefix[BlueprintRow]] = _BLUEPRINT.prefix()
BLUEPRINTS_CURRENT: Final[Prefix[int]] = _BLUEPRINT_CURRENT.prefix()
UNSATISFIED: Final[Prefix[UnsatisfiedRow]] = _UNSATISFIED.prefix()
CALLS: Final[Prefix[CallKeyRow]] = _CALL.prefix()
MAPS: Final = "maps/"
"""Definitions and entries of all user maps: no one type of value, so plain text."""


def parse(text: str) -> Key[Any]:
    """The key spelt by `text`. Raises BadInput for text that no key has."""
    head, *parts = text.split("/")
    kind = _BY_SHAPE.get((head, len(parts)))
    if kind is None or len(text) > KEY_BYTES_MAX:
        raise BadInput(f"{text[:80]!r} is no key", ("see the table of keys: head, then one part for each /",))
    try:
        return kind.read(text, parts)
    except UnicodeDecodeError as error:
        raise BadInput(f"{text!r} is no key", (str(error),)) from error


def member(node: NodeId) -> Key[MemberRow]:
    return _MEMBER.key(node)


def removed(node: NodeId) -> Key[RemovedRow]:
    return _REMOVED.key(node)


def role(node: NodeId) -> Key[RoleRow]:
    return _ROLE.key(node)


def desired(base: ArtifactBase) -> Key[DesiredRow]:
    return _DESIRED.key(base)


def instance(base: ArtifactBase, instance: InstanceId) -> Key[InstanceRow]:
    return _INSTANCES.key(base, instance)


def instances_of(base: ArtifactBase) -> Prefix[InstanceRow]:
    return _INSTANCES.prefix(base)


def routes(base: ArtifactBase) -> Key[RouteRow]:
    return _ROUTES.key(base)


def traffic(base: ArtifactBase) -> Key[TrafficRow]:
    return _TRAFFIC.key(base)


def contract(artifact: Artifact) -> Key[ContractRow]:
    return _CONTRACT.key(artifact.base, artifact.version)


def contracts_of(base: ArtifactBase) -> Prefix[ContractRow]:
    return _CONTRACT.prefix(base)


def blueprint(id: str, number: int) -> Key[BlueprintRow]:  # noqa: A002 - the row's own field name
    return _BLUEPRINT.key(id, number)


def blueprints_of(id: str) -> Prefix[BlueprintRow]:  # noqa: A002
    return _BLUEPRINT.prefix(id)


def blueprint_current(id: str) -> Key[int]:  # noqa: A002
    """The number of the blueprint in force."""
    return _BLUEPRINT_CURRENT.key(id)


def unsatisfied(base: ArtifactBase) -> Key[UnsatisfiedRow]:
    return _UNSATISFIED.key(base)


def call_key(base: ArtifactBase, method: str, digest: str) -> Key[CallKeyRow]:
    """digest  of the idempotency key, as text"""
    return _CALL.key(base, method, digest)


def map_definition(map_name: str) -> Key[MapRow]:
    return _MAP.key(map_name)


def map_entry(map_name: str, key: bytes) -> Key[bytes]:
    text = f"{MAPS}{_spell_name(map_name)}/{escape(key)}"  # as the table spells it; every access to a map pays for this
    return _MAP_ENTRY.made(text, (map_name, key))


def map_entries(map_name: str) -> Prefix[bytes]:
    return _MAP_ENTRY.prefix(map_name)
