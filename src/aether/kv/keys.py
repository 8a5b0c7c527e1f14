"""Structured keys <-> text, in one table.

Knows: the spelling of every key, the type of its value.
Never: who writes a row, or when.
Holds: two different keys never share a text; text -> key -> text is the identity.

A part is percent-escaped: everything but ASCII letters, digits and `- . _ ~ :` becomes `%XX`, so `/` only separates.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from aether.errors import BadInput
from aether.kv.codec import BYTES, row_codec
from aether.kv.key_kinds import Key, Kind, Prefix
from aether.kv.key_parts import BASE, COUNT, INSTANCE, NAME, NODE, USER_KEY, VERSION, escape, spell_name
from aether.model.access import ApiTokenRow, AuditRow, DenialsRow
from aether.model.alerts import AlertRow, AlertSinksRow, AlertsToldRow, ThresholdRow
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.certificates import RevokedRow, SpentTokenRow
from aether.model.decision import DecisionRow
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
from aether.model.setting import SettingRow


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


# --- the table ------------------------------------------------------------------------------------------------------

_CLUSTER: Final = Kind("cluster", (), row_codec(ClusterRow))
_LEADERSHIP: Final = Kind("leadership", (), row_codec(LeadershipRow))
_FEATURE_LEVEL: Final = Kind("feature-level", (), row_codec(int))
_MEMBER: Final = Kind("members", (NODE,), row_codec(MemberRow))
_REMOVED: Final = Kind("removed", (NODE,), row_codec(RemovedRow))
_ROLE: Final = Kind("roles", (NODE,), row_codec(RoleRow))
_HANDOVER: Final = Kind("handover", (), row_codec(HandoverRow))
_DUTY: Final = Kind("duty", (NODE,), row_codec(DutyRow))
_DESIRED: Final = Kind("desired", (BASE,), row_codec(DesiredRow))
_OVERRIDE: Final = Kind("overrides", (BASE,), row_codec(OverrideRow))
_ROLLOUT: Final = Kind("rollouts", (BASE, NAME), row_codec(RolloutRow))
_INSTANCES: Final = Kind("instances", (BASE, INSTANCE), row_codec(InstanceRow))
_SINGLETON: Final = Kind("singletons", (BASE,), row_codec(SingletonRow))
_ROUTES: Final = Kind("routes", (BASE,), row_codec(RouteRow))
_TRAFFIC: Final = Kind("traffic", (BASE,), row_codec(TrafficRow))
_CONTRACT: Final = Kind("contracts", (BASE, VERSION), row_codec(ContractRow))
_BLUEPRINT: Final = Kind("blueprints", (NAME, COUNT), row_codec(BlueprintRow))
_BLUEPRINT_CURRENT: Final = Kind("blueprint-current", (NAME,), row_codec(int))
_APPLY: Final = Kind("applies", (NAME,), row_codec(ApplyRow))
_UNSATISFIED: Final = Kind("unsatisfied", (BASE,), row_codec(UnsatisfiedRow))
_CALL: Final = Kind("calls", (BASE, NAME, NAME), row_codec(CallKeyRow))
_SETTING: Final = Kind("settings", (NAME,), row_codec(SettingRow))
_DECISION: Final = Kind("decisions", (BASE, COUNT), row_codec(DecisionRow))
_THRESHOLD: Final = Kind("thresholds", (NAME,), row_codec(ThresholdRow))
_ALERT: Final = Kind("alerts", (NAME, NAME), row_codec(AlertRow))
_ALERT_SINKS: Final = Kind("alert-sinks", (), row_codec(AlertSinksRow))
_ALERTS_TOLD: Final = Kind("alerts-told", (), row_codec(AlertsToldRow))
_TOKEN: Final = Kind("tokens", (NAME,), row_codec(ApiTokenRow))
_AUDIT: Final = Kind("audit", (NAME,), row_codec(AuditRow))
_DENIALS: Final = Kind("denials", (COUNT,), row_codec(DenialsRow))
_REVOKED: Final = Kind("revoked", (NAME,), row_codec(RevokedRow))
_SPENT_TOKEN: Final = Kind("spent-tokens", (NAME,), row_codec(SpentTokenRow))
MAP_DEFINITION: Final = row_codec(MapRow)
_MAP: Final = Kind("maps", (NAME,), MAP_DEFINITION)
_MAP_ENTRY: Final = Kind("maps", (NAME, USER_KEY), BYTES)

_TABLE: Final[tuple[Kind[Any], ...]] = (
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
    _SETTING,
    _DECISION,
    _THRESHOLD,
    _ALERT,
    _ALERT_SINKS,
    _ALERTS_TOLD,
    _TOKEN,
    _AUDIT,
    _DENIALS,
    _REVOKED,
    _SPENT_TOKEN,
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
alert_sinks: Final[Key[AlertSinksRow]] = _ALERT_SINKS.key()
alerts_told: Final[Key[AlertsToldRow]] = _ALERTS_TOLD.key()

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
SETTINGS: Final[Prefix[SettingRow]] = _SETTING.prefix()
DECISIONS: Final[Prefix[DecisionRow]] = _DECISION.prefix()
THRESHOLDS: Final[Prefix[ThresholdRow]] = _THRESHOLD.prefix()
ALERTS: Final[Prefix[AlertRow]] = _ALERT.prefix()
TOKENS: Final[Prefix[ApiTokenRow]] = _TOKEN.prefix()
AUDIT: Final[Prefix[AuditRow]] = _AUDIT.prefix()
DENIALS: Final[Prefix[DenialsRow]] = _DENIALS.prefix()
REVOKED: Final[Prefix[RevokedRow]] = _REVOKED.prefix()
SPENT_TOKENS: Final[Prefix[SpentTokenRow]] = _SPENT_TOKEN.prefix()
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


def setting(name: str) -> Key[SettingRow]:
    return _SETTING.key(name)


def decision(base: ArtifactBase, number: int) -> Key[DecisionRow]:
    return _DECISION.key(base, number)


def decisions_of(base: ArtifactBase) -> Prefix[DecisionRow]:
    return _DECISION.prefix(base)


def threshold(metric: str) -> Key[ThresholdRow]:
    return _THRESHOLD.key(metric)


def alert(metric: str, subject: str) -> Key[AlertRow]:
    return _ALERT.key(metric, subject)


def token(id: str) -> Key[ApiTokenRow]:  # noqa: A002 - the row's own field name
    return _TOKEN.key(id)


def audit(id: str) -> Key[AuditRow]:  # noqa: A002 - the row's own field name
    return _AUDIT.key(id)


def denials(minute: int) -> Key[DenialsRow]:
    return _DENIALS.key(minute)


def revoked(serial: str) -> Key[RevokedRow]:
    return _REVOKED.key(serial)


def spent_token(id: str) -> Key[SpentTokenRow]:  # noqa: A002 - the row's own field name
    return _SPENT_TOKEN.key(id)


def map_definition(map_name: str) -> Key[MapRow]:
    return _MAP.key(map_name)


def map_entry(map_name: str, key: bytes) -> Key[bytes]:
    text = f"{MAPS}{spell_name(map_name)}/{escape(key)}"  # as the table spells it; every access to a map pays for this
    return _MAP_ENTRY.made(text, (map_name, key))


def map_entries(map_name: str) -> Prefix[bytes]:
    return _MAP_ENTRY.prefix(map_name)
