"""Structured keys <-> text, in one table.

Knows: the spelling of every key, the type of its value.
Never: who writes a row, or when.
Holds: two different keys never share a text; text -> key -> text is the identity.

A part is percent-escaped: everything but ASCII letters, digits and `- . _ ~ :` becomes `%XX`, so `/` only separates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import attrs

from aether.errors import BadInput
from aether.kv.codec import BYTES, Codec, row_codec
from aether.kv.key_parts import BASE, COUNT, INSTANCE, NAME, NODE, USER_KEY, VERSION, Part, escape, spell_name
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.duty import DutyRow
from aether.model.ids import ClusterUuid, InstanceId, NodeId
from aether.model.limits import KEY_BYTES_MAX, MAP_BYTES_MAX_DEFAULT, MAP_ENTRIES_MAX_DEFAULT
from aether.model.rollout import RolloutRow
from aether.model.rows import (
    ApplyRow,
    BlueprintRow,
    CallKeyRow,
    ContractRow,
    DesiredRow,
    HandoverRow,
    InstanceRow,
    LeadershipRow,
    MemberRow,
    OverrideRow,
    RemovedRow,
    RoleRow,
    RouteRow,
    SingletonRow,
    TrafficRow,
    UnsatisfiedRow,
)

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


# --- the table ------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Kind(Generic[T]):
    """One line of the table: `head/part/part` with values of one type. Head and number of parts make it unique."""

    head: str
    parts: tuple[Part[Any], ...]
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
_MEMBER: Final = _Kind("members", (NODE,), row_codec(MemberRow))
_REMOVED: Final = _Kind("removed", (NODE,), row_codec(RemovedRow))
_ROLE: Final = _Kind("roles", (NODE,), row_codec(RoleRow))
_HANDOVER: Final = _Kind("handover", (), row_codec(HandoverRow))
_DUTY: Final = _Kind("duty", (NODE,), row_codec(DutyRow))
_DESIRED: Final = _Kind("desired", (BASE,), row_codec(DesiredRow))
_OVERRIDE: Final = _Kind("overrides", (BASE,), row_codec(OverrideRow))
_ROLLOUT: Final = _Kind("rollouts", (BASE, NAME), row_codec(RolloutRow))
_INSTANCES: Final = _Kind("instances", (BASE, INSTANCE), row_codec(InstanceRow))
_SINGLETON: Final = _Kind("singletons", (BASE,), row_codec(SingletonRow))
_ROUTES: Final = _Kind("routes", (BASE,), row_codec(RouteRow))
_TRAFFIC: Final = _Kind("traffic", (BASE,), row_codec(TrafficRow))
_CONTRACT: Final = _Kind("contracts", (BASE, VERSION), row_codec(ContractRow))
_BLUEPRINT: Final = _Kind("blueprints", (NAME, COUNT), row_codec(BlueprintRow))
_BLUEPRINT_CURRENT: Final = _Kind("blueprint-current", (NAME,), row_codec(int))
_APPLY: Final = _Kind("applies", (NAME,), row_codec(ApplyRow))
_UNSATISFIED: Final = _Kind("unsatisfied", (BASE,), row_codec(UnsatisfiedRow))
_CALL: Final = _Kind("calls", (BASE, NAME, NAME), row_codec(CallKeyRow))
MAP_DEFINITION: Final = row_codec(MapRow)
_MAP: Final = _Kind("maps", (NAME,), MAP_DEFINITION)
_MAP_ENTRY: Final = _Kind("maps", (NAME, USER_KEY), BYTES)

_TABLE: Final[tuple[_Kind[Any], ...]] = (
    _CLUSTER,
    _LEADERSHIP,
    _FEATURE_LEVEL,
    _MEMBER,
    _REMOVED,
    _ROLE,
    _HANDOVER,
    _DUTY,
    _DESIRED,
    _OVERRIDE,
    _ROLLOUT,
    _INSTANCES,
    _SINGLETON,
    _ROUTES,
    _TRAFFIC,
    _CONTRACT,
    _BLUEPRINT,
    _BLUEPRINT_CURRENT,
    _APPLY,
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
DUTIES: Final[Prefix[DutyRow]] = _DUTY.prefix()
SINGLETONS: Final[Prefix[SingletonRow]] = _SINGLETON.prefix()
OVERRIDES: Final[Prefix[OverrideRow]] = _OVERRIDE.prefix()
ROLLOUTS: Final[Prefix[RolloutRow]] = _ROLLOUT.prefix()
DESIRED: Final[Prefix[DesiredRow]] = _DESIRED.prefix()
INSTANCES: Final[Prefix[InstanceRow]] = _INSTANCES.prefix()
ROUTES: Final[Prefix[RouteRow]] = _ROUTES.prefix()
TRAFFIC: Final[Prefix[TrafficRow]] = _TRAFFIC.prefix()
CONTRACTS: Final[Prefix[ContractRow]] = _CONTRACT.prefix()
BLUEPRINTS: Final[Prefix[BlueprintRow]] = _BLUEPRINT.prefix()
BLUEPRINTS_CURRENT: Final[Prefix[int]] = _BLUEPRINT_CURRENT.prefix()
APPLIES: Final[Prefix[ApplyRow]] = _APPLY.prefix()
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


def duty(node: NodeId) -> Key[DutyRow]:
    return _DUTY.key(node)


def override(base: ArtifactBase) -> Key[OverrideRow]:
    return _OVERRIDE.key(base)


def singleton(base: ArtifactBase) -> Key[SingletonRow]:
    return _SINGLETON.key(base)


def rollout(base: ArtifactBase, id: str) -> Key[RolloutRow]:  # noqa: A002 - the row's own field name
    return _ROLLOUT.key(base, id)


def rollouts_of(base: ArtifactBase) -> Prefix[RolloutRow]:
    return _ROLLOUT.prefix(base)


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


def atomic_apply(id: str) -> Key[ApplyRow]:  # noqa: A002
    """Of a blueprint that is not ACTIVE yet."""
    return _APPLY.key(id)


def unsatisfied(base: ArtifactBase) -> Key[UnsatisfiedRow]:
    return _UNSATISFIED.key(base)


def call_key(base: ArtifactBase, method: str, digest: str) -> Key[CallKeyRow]:
    """digest  of the idempotency key, as text"""
    return _CALL.key(base, method, digest)


def map_definition(map_name: str) -> Key[MapRow]:
    return _MAP.key(map_name)


def map_entry(map_name: str, key: bytes) -> Key[bytes]:
    text = f"{MAPS}{spell_name(map_name)}/{escape(key)}"  # as the table spells it; every access to a map pays for this
    return _MAP_ENTRY.made(text, (map_name, key))


def map_entries(map_name: str) -> Prefix[bytes]:
    return _MAP_ENTRY.prefix(map_name)
