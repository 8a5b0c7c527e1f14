"""A cluster of plain rows for the admin API, and a way to ask it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from aether.errors import AetherError, Conflict, NotFound
from aether.kv.history import ChangeHistory
from aether.management.access import AccessRules
from aether.management.actors import Actors
from aether.management.backup_source import OpenBackup
from aether.management.called import Called
from aether.management.live_service import Live
from aether.management.process_view import LevelsInForce, NodeSetting
from aether.management.service import ManagementApi
from aether.management.trace_view import ShownCall, ShownTrace
from aether.metrics.alert_sinks import check_webhooks
from aether.metrics.cluster_calls import ClusterCalls
from aether.metrics.deployments import Deployments
from aether.metrics.event_log import EventLog
from aether.metrics.figures_messages import NodeFigures
from aether.metrics.method_counters import MethodCounters
from aether.metrics.method_windows import MethodWindows
from aether.metrics.own_figures import row_of
from aether.metrics.slow_calls import DEFAULT
from aether.metrics.thresholds import DEFAULTS, check_threshold
from aether.metrics.view import FiguresView
from aether.model.access import ApiTokenRow, Role
from aether.model.alerts import AlertRow, AlertSinksRow, Severity, ThresholdRow
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.certificates import RevokedRow
from aether.model.duty import Duty, DutyRow
from aether.model.health import Health, VersionHealth
from aether.model.ids import Incarnation, InstanceId, NodeId, Revision
from aether.model.lifecycle import SliceState
from aether.model.rollout import RolloutRow
from aether.model.route import Route
from aether.model.rows import (
    ApplyRow,
    BlueprintRow,
    ContractRow,
    DesiredRow,
    InstanceRow,
    MemberRow,
    OverrideRow,
    RemovedRow,
    RoleRow,
    RouteRow,
    UnsatisfiedRow,
)
from aether.model.setting import SettingRow
from aether.model.version import Version
from aether.security.audit_log import AuditPage
from aether.security.token_keeper import IssuedToken
from aether.security.tokens import digest_of, token_text
from aether.web.problem import problem_of
from aether.web.request import Request, Response

TOKEN = "t0ken"
FIRST = Revision(42)
THIS = NodeId("node-1")
ORDERS = Artifact.parse("shop.orders:place-order:1.2.0")
PRICING = Artifact.parse("shop:pricing:1.0.0")


def member(name: str, **fields: object) -> MemberRow:
    return MemberRow(
        node=NodeId(name), incarnation=Incarnation(f"{name}.1"), management_address=f"{name}:8080", **fields
    )


def instance(name: str, artifact: Artifact, node: str, state: str, reason: str = "", born: int = 1) -> InstanceRow:
    return InstanceRow(
        instance=InstanceId(name),
        artifact=artifact,
        node=NodeId(node),
        incarnation=Incarnation(f"{node}.{born}"),
        state=SliceState(state),
        reason=reason,
        attempt=1,
        since=5.0,
    )


@attrs.define
class Changes:
    event: trio.Event = attrs.field(factory=trio.Event)

    async def changed(self) -> None:
        await self.event.wait()
        self.event = trio.Event()


@attrs.define
class Rows:
    """A ClusterView of lists."""

    revision: Revision = FIRST
    member_rows: list[MemberRow] = attrs.field(factory=list)
    removed_rows: list[RemovedRow] = attrs.field(factory=list)
    role_rows: list[RoleRow] = attrs.field(factory=list)
    duty_rows: list[DutyRow] = attrs.field(factory=list)
    cluster_uuid: str = "c0ffee"
    desired_rows: list[DesiredRow] = attrs.field(factory=list)
    instance_rows: list[InstanceRow] = attrs.field(factory=list)
    route_rows: list[RouteRow] = attrs.field(factory=list)
    contract_rows: list[ContractRow] = attrs.field(factory=list)
    setting_rows: dict[str, SettingRow] = attrs.field(factory=dict)
    unsatisfied_rows: list[UnsatisfiedRow] = attrs.field(factory=list)
    blueprint_rows: list[BlueprintRow] = attrs.field(factory=list)
    apply_rows: list[ApplyRow] = attrs.field(factory=list)
    maps: dict[str, list[tuple[bytes, bytes, Revision]]] = attrs.field(factory=dict)
    watchers: list[Changes] = attrs.field(factory=list)
    barriers: int = 0
    barrier_s: float = 0.0

    def members(self):
        return iter(self.member_rows)

    def removed(self):
        return iter(self.removed_rows)

    def duties(self):
        return iter(self.duty_rows)

    def roles(self):
        return iter(self.role_rows)

    def desired(self):
        return iter(self.desired_rows)

    def instances(self):
        return iter(self.instance_rows)

    def routes(self):
        return iter(self.route_rows)

    def settings(self):
        return iter(self.setting_rows.items())

    def contracts(self):
        return iter(self.contract_rows)

    def unsatisfied(self):
        return iter(self.unsatisfied_rows)

    def blueprints(self):
        newest = {row.id: row for row in sorted(self.blueprint_rows, key=lambda row: row.number)}
        return iter(newest.values())

    def blueprint(self, blueprint: str, number: int | None):
        found = [row for row in self.blueprint_rows if row.id == blueprint and number in (None, row.number)]
        return max(found, key=lambda row: row.number, default=None)

    def blueprint_history(self, blueprint: str):
        return [row for row in self.blueprint_rows if row.id == blueprint]

    def applies(self):
        return iter(self.apply_rows)

    def map_rows(self, name: str):
        return self.maps.get(name)

    @asynccontextmanager
    async def watch_instances(self) -> AsyncIterator[Changes]:
        changes = Changes()
        self.watchers.append(changes)
        try:
            yield changes
        finally:
            self.watchers.remove(changes)

    async def barrier(self) -> Revision:
        await trio.sleep(self.barrier_s)
        self.barriers += 1
        return self.revision

    async def wait_applied(self, revision: Revision) -> None:
        while self.revision < revision:
            await trio.sleep(0.1)

    def changed(self) -> None:
        for watcher in self.watchers:
            watcher.event.set()


@attrs.frozen
class Group:
    voters: tuple[str, ...] = ("node-1", "node-2", "node-3")
    learners: tuple[str, ...] = ()

    def members(self):
        return (*self.voters, *self.learners)


@attrs.define
class Consensus:
    configuration: Group = attrs.field(factory=Group)
    configuration_index: int = 0
    is_changing: bool = False
    role: str = "leader"
    term: int = 3
    leader: str | None = "node-1"
    commit_index: int = 43
    applied_index: int = 42
    voters: tuple[str, ...] = ("node-1", "node-2", "node-3")
    has_quorum: bool = True


@attrs.define
class Local:
    node: NodeId = THIS
    management_address: str = "127.0.0.1:8080"
    http_address: str = "127.0.0.1:8081"
    cluster_address: str = "127.0.0.1:8090"
    ready: bool = True
    draining: bool = False
    disk_is_full: bool = False
    handshakes_refused: dict[str, int] = attrs.field(factory=dict)
    trees: tuple[object, ...] = ()
    settings: tuple[NodeSetting, ...] = ()
    uptime_s: float = 12.5
    loop_lag_s: float = 0.002


@attrs.frozen
class MemberWished:
    node: NodeId
    revision: Revision
    missing: Callable[[], list[str]]


@attrs.define
class Members:
    """Remembers what it was asked. `pending` is what every wish lacks."""

    asked: list[tuple[str, ...]] = attrs.field(factory=list)
    pending: list[str] = attrs.field(factory=list)
    fails: AetherError | None = None

    async def _ask(self, *what: str) -> MemberWished:
        if self.fails is not None:
            raise self.fails
        self.asked.append(what)
        return MemberWished(NodeId(what[1]), FIRST, lambda: list(self.pending))

    async def add(self, name, address):
        return await self._ask("add", name, address)

    async def remove(self, name, by=""):
        return await self._ask("remove", name, by)

    async def promote(self, name):
        return await self._ask("promote", name)

    async def demote(self, name):
        return await self._ask("demote", name)

    async def transfer(self, name=""):
        return await self._ask("transfer", name)


@attrs.frozen
class DutyWished:
    node: NodeId
    duty: Duty
    revision: Revision
    missing: Callable[[], list[str]]
    changed: bool = True


@attrs.define
class Duties:
    """Remembers what it was asked. `pending` is what every word lacks."""

    asked: list[tuple[object, ...]] = attrs.field(factory=list)
    pending: list[str] = attrs.field(factory=list)
    fails: AetherError | None = None
    changed: bool = True

    async def _ask(self, duty: Duty, *what: object) -> DutyWished:
        if self.fails is not None:
            raise self.fails
        self.asked.append(what)
        return DutyWished(NodeId(str(what[1])), duty, FIRST, lambda: list(self.pending), self.changed)

    async def drain(self, name, *, by="", force=False):
        return await self._ask(Duty.DRAINING, "drain", name, by, force)

    async def activate(self, name, *, by=""):
        return await self._ask(Duty.ON_DUTY, "activate", name, by)

    async def shutdown(self, name, *, by="", force=False):
        return await self._ask(Duty.SHUTTING_DOWN, "shutdown", name, by, force)


@attrs.frozen
class Placed:
    artifact: Artifact
    instance: str
    node: NodeId
    count: int
    revision: int


@attrs.define
class Placements:
    """Remembers what it was asked."""

    asked: list[tuple[object, ...]] = attrs.field(factory=list)
    fails: AetherError | None = None

    def _placed(self, *what: object) -> Placed:
        if self.fails is not None:
            raise self.fails
        self.asked.append(what)
        return Placed(Artifact.parse("shop:pricing:1.0.0"), "x1", NodeId("n2"), 1, FIRST)

    async def place(self, artifact, node):
        return self._placed("place", artifact, node)

    async def move(self, instance, to):
        return self._placed("move", instance, to)

    async def unplace(self, instance, *, force=False):
        return self._placed("unplace", instance, force)


@attrs.frozen
class Wished:
    revision: Revision
    artifact: ArtifactBase
    row: DesiredRow | None
    changed: bool = True
    override: OverrideRow | None = None


@attrs.frozen
class BlueprintApplied:
    revision: Revision
    id: str
    number: int
    slices: tuple[Artifact, ...]
    rollouts: dict[ArtifactBase, str] = attrs.field(factory=dict)
    warnings: tuple[str, ...] = ()
    missing: Callable[[], list[str]] = list


@attrs.frozen
class BlueprintDeleted:
    revision: Revision
    slices: tuple[Artifact, ...]


@attrs.frozen
class SlicePlanned:
    artifact: ArtifactBase = ORDERS.base
    action: str = "change"
    old: Artifact | None = ORDERS
    new: Artifact | None = ORDERS
    instances: tuple[int, int] = (2, 3)
    changes: tuple[str, ...] = ("wished: 2 -> 3",)
    rollout: str = ""
    taken_back: str = "5 instances by ann"
    is_dependency: bool = False


@attrs.frozen
class BlueprintPlanned:
    id: str = "demo"
    number: int = 8
    slices: tuple[SlicePlanned, ...] = (SlicePlanned(),)
    warnings: tuple[str, ...] = ("mind the gap",)
    changes_something: bool = True


@attrs.define
class Operator:
    """Remembers what it was asked, and puts the wish into the rows."""

    rows: Rows
    asked: list[tuple[object, ...]] = attrs.field(factory=list)
    fails: AetherError | None = None

    def _ask(self, *what: object) -> Revision:
        if self.fails is not None:
            raise self.fails
        self.asked.append(what)
        self.rows.revision = Revision(self.rows.revision + 1)
        return self.rows.revision

    def _wish(self, artifact: Artifact, instances: int) -> DesiredRow:
        row = DesiredRow(artifact=artifact, instances=instances, blueprint="adhoc")
        kept = [r for r in self.rows.desired_rows if r.artifact.base != artifact.base]
        self.rows.desired_rows = [*kept, row]
        return row

    async def deploy(self, artifact: str, instances: int | None = None) -> Wished:
        revision = self._ask("deploy", artifact, instances)
        row = self._wish(Artifact.parse(artifact), 1 if instances is None else instances)
        return Wished(revision, row.artifact.base, row)

    async def scale(self, artifact: str, instances: int, *, by="", for_s=0.0, until=0.0, reason="") -> Wished:
        revision = self._ask("scale", artifact, instances)
        base = ArtifactBase.parse(":".join(artifact.split(":")[:2]))
        (row,) = [r for r in self.rows.desired_rows if r.artifact.base == base]
        override = OverrideRow(
            artifact=base, instances=instances, owner="operator", by=by, until=until or for_s, reason=reason
        )
        return Wished(revision, base, self._wish(row.artifact, instances), override=override)

    async def undeploy(self, artifact: str) -> Wished:
        revision = self._ask("undeploy", artifact)
        base = ArtifactBase.parse(":".join(artifact.split(":")[:2]))
        kept = [r for r in self.rows.desired_rows if r.artifact.base != base]
        changed = kept != self.rows.desired_rows
        self.rows.desired_rows = kept
        return Wished(revision, base, None, changed)

    # --- blueprints ---

    async def revision(self) -> Revision:
        return self.rows.revision

    async def plan(self, text: str, *, force: bool = False) -> BlueprintPlanned:
        self._ask("plan", text, force)
        return BlueprintPlanned()

    async def apply(self, text: str, applied_by: str = "", *, force: bool = False, if_number=None) -> BlueprintApplied:
        conditions = () if not force and if_number is None else (force, if_number)
        revision = self._ask("apply", text, applied_by, *conditions)
        return BlueprintApplied(revision, "demo", 7, (ORDERS, PRICING), {ORDERS.base: "u1"}, ("mind the gap",))

    async def rollback(self, identity: str, number: int | None = None, by: str = "") -> BlueprintApplied:
        return BlueprintApplied(self._ask("rollback", identity, number, by), identity, 8, (ORDERS,))

    async def delete(self, identity: str, by: str = "", *, force: bool = False) -> BlueprintDeleted:
        return BlueprintDeleted(self._ask("delete", identity, by, force), (ORDERS, PRICING))


@attrs.define
class Asked:
    """One answer of the API."""

    response: Response

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def json(self):
        return json.loads(self.response.body)


@attrs.define
class StoredRows:
    """A RowStore of a dict, with the real history."""

    found: dict[str, tuple[bytes, int]] = attrs.field(factory=dict)
    revision: Revision = FIRST
    history: ChangeHistory = attrs.field(factory=ChangeHistory)
    watchers: list[Changes] = attrs.field(factory=list)

    def change(self, key: str, raw: bytes | None) -> Revision:
        self.revision = Revision(self.revision + 1)
        if raw is None:
            self.found.pop(key, None)
        else:
            self.found[key] = (raw, self.revision)
        self.history.applied(self.revision, [key])
        for watcher in self.watchers:
            watcher.event.set()
        return self.revision

    def page(self, prefix: str, after: str, limit: int):
        keys = sorted(key for key in self.found if key.startswith(prefix) and key > after)
        return [(key, *self.found[key]) for key in keys[:limit]]

    def changed_after(self, revision: Revision, prefix: str):
        return self.history.after(revision, prefix)

    @asynccontextmanager
    async def watch(self, prefix: str) -> AsyncIterator[Changes]:
        changes = Changes()
        self.watchers.append(changes)
        try:
            yield changes
        finally:
            self.watchers.remove(changes)

    async def put(self, key, raw, if_version):
        version = self.found.get(key.text, (b"", 0))[1]
        if if_version not in (None, version):
            raise Conflict(key.text, f"its version is {version}")
        return self.change(key.text, raw)


@attrs.define
class Backups:
    """Gives three parts."""

    opened: int = 0

    async def open(self) -> OpenBackup:
        self.opened += 1
        return OpenBackup(FIRST, iter((b"a", b"b", b"c")))


@attrs.define
class Trees:
    """A directory of slices. asked  how often it was looked at"""

    found: list[object] = attrs.field(factory=list)
    asked: int = 0

    async def rescan(self) -> tuple[Revision, list[object]]:
        self.asked += 1
        return FIRST, self.found


@attrs.define
class Count:
    present: int = 3
    active: int = 2


@attrs.define
class Update:
    """What the stand-in answers, and what it was asked."""

    row: RolloutRow
    revision: int = 9
    changed: bool = True
    old: Count = attrs.field(factory=Count)
    new: Count = attrs.field(factory=Count)
    missing: object = list
    waits_for: str = ""


class Rollouts:
    """Carries out nothing; remembers what it was asked."""

    def __init__(self):
        artifact = Artifact.parse("shop:pricing:1.0.0")
        self.row = RolloutRow(id="r1", artifact=artifact.base, old=artifact.version, new=Version.parse("2.0.0"))
        self.asked = []
        self.fails = None

    def _answer(self, *asked):
        self.asked.append(asked)
        if self.fails is not None:
            raise self.fails
        return Update(self.row)

    async def start(self, artifact, version="", plan=None, by=""):
        return self._answer("start", artifact, version, plan, by)

    async def known(self):
        return [self._answer("known")]

    async def health(self, name):
        return self._answer("health", name), Health(new=VersionHealth(requests=4, errors=1, p99_ms=7.0))

    async def route(self, name, new, old):
        return self._answer("route", name, new, old)

    async def rollback(self, name, by=""):
        return self._answer("rollback", name, by)

    def __getattr__(self, word):
        async def ask(name):
            return self._answer(word, name)

        return ask


class SomeEvents:
    """An EventSource that nothing is added to while it is read."""

    def __init__(self) -> None:
        self.log = EventLog(THIS, Incarnation("node-1.1"))

    def select(self, since, wanted, limit):
        return self.log.select(since, wanted, limit)

    def follow(self, since=None):
        found = self.log.arrived_after(self.log.number_at(since)) or []
        return _Told([event for _, event in found])


class SomeAlerts:
    """An Alerting of lists."""

    def __init__(self) -> None:
        self.thresholds_set = dict(DEFAULTS)
        self.rows = [
            AlertRow(metric="cpu.usage", subject="n1", severity=Severity.WARNING, value=0.8, threshold=0.7, since=2.0)
        ]
        self.past = []
        self.told = AlertSinksRow()

    def thresholds(self):
        return self.thresholds_set

    def active(self):
        return self.rows

    def history(self):
        return self.past

    def sinks(self):
        return self.told

    async def set_threshold(self, metric, warning, critical, by=""):
        check_threshold(metric, warning, critical)
        self.thresholds_set[metric] = ThresholdRow(metric=metric, warning=warning, critical=critical, by=by)
        return FIRST

    async def remove_threshold(self, metric, by=""):
        self.thresholds_set.pop(metric, None)
        return FIRST

    async def clear(self):
        count, self.rows = len(self.rows), []
        return FIRST, count

    async def set_sinks(self, webhooks, *, log, severity, by=""):
        check_webhooks(webhooks)
        self.told = AlertSinksRow(webhooks=webhooks, log=log, severity=severity, by=by)
        return FIRST


class _Told:
    def __init__(self, events) -> None:
        self.events = list(events)

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.events:
            await trio.sleep_forever()
        return self.events.pop(0)


class Invocations:
    """The calls of one node that told nobody, and of those that a test lets it take."""

    def __init__(self):
        self.counters = MethodCounters()
        self.figures = ClusterCalls(THIS, self.counters, lambda: 100.0, lambda: 1_100.0)
        self.strategy = DEFAULT
        self.asked = []

    async def set_strategy(self, strategy, by):
        self.strategy = strategy
        self.asked.append((strategy, by))
        return Revision(FIRST + 1)

    def deployed(self):
        return [PRICING, ORDERS]


@attrs.define
class Tokens:
    """A keeper of tokens that keeps them in a dict."""

    kept: dict[str, ApiTokenRow] = attrs.field(factory=dict)
    revision: Revision = FIRST

    def rows(self):
        return tuple(self.kept.values())

    def find(self, identity):
        return self.kept.get(identity)

    def add(self, identity: str, role: Role, expires_at: float | None = None) -> str:
        """The text of a new one."""
        text = token_text(identity, identity.encode().ljust(32, b"."))
        self.kept[identity] = ApiTokenRow(id=identity, digest=digest_of(text), role=role, expires_at=expires_at)
        return text

    async def create(self, role, *, name="", life_s=None, roles=(), note="", by=""):
        text = self.add(name or "drawn", role, life_s)
        return IssuedToken(self.kept[name or "drawn"], text, FIRST)

    async def revoke(self, identity):
        self.kept.pop(identity, None)
        return FIRST


@attrs.define
class Certificates:
    """A keeper of revocations that keeps them in a list."""

    kept: list[RevokedRow] = attrs.field(factory=list)
    revision: Revision = FIRST

    def rows(self):
        return tuple(self.kept)

    async def revoke(self, serial, *, identity="", reason="", expires_at=None, by=""):
        self.kept.append(
            RevokedRow(serial=serial, identity=identity, reason=reason, expires_at=expires_at, by=by, at=1.0)
        )
        return FIRST


class Audit:
    """Nothing happened yet."""

    def page(self, since, limit):
        return AuditPage((), FIRST, FIRST)

    def refused_here(self):
        return ()

    def refused_by_minute(self):
        return {}


@attrs.define
class LogLevelsOfOneNode:
    levels: dict[str, str] = attrs.field(factory=dict)
    by: list[str] = attrs.field(factory=list)

    def in_force(self):
        return LevelsInForce(levels=self.levels, effective={"aether.kv": "INFO"}, revision=FIRST)

    async def set(self, logger, level, *, by):
        self.levels[logger] = level
        self.by.append(by)
        return FIRST

    async def reset(self, logger):
        if self.levels.pop(logger, None) is None:
            raise NotFound("level of logger", logger)
        return FIRST


@attrs.define
class Traces:
    lines: list[ShownCall] = attrs.field(factory=list)
    unheard: tuple[NodeId, ...] = ()

    def recent(self, limit):
        return self.lines[:limit]

    async def of(self, request_id):
        return ShownTrace(lines=[line for line in self.lines if line.request_id == request_id], unheard=self.unheard)


@attrs.define
class Calls:
    """Answers with what it was given; its method `refuse` ends in a Fault."""

    asked: list[tuple[object, ...]] = attrs.field(factory=list)

    async def call(self, slice_name, method, arguments, *, deadline_s, key=""):
        self.asked.append((slice_name, method, dict(arguments), deadline_s, key))
        fault = {"name": "SoldOut", "status": 409, "title": "Sold Out", "detail": "", "fields": {}}
        return Called(
            artifact=ORDERS.base,
            method=method,
            revision=Revision(7),
            result={"given": dict(arguments)},
            fault=fault if method == "refuse" else None,
        )


@attrs.define
class Figures:
    """The figures of nodes, as `tell` told them."""

    now: float = 10_000.0
    live: tuple[NodeId, ...] = (THIS, NodeId("node-2"))
    deployments: Deployments = attrs.field(factory=Deployments)
    windows: MethodWindows = attrs.field(factory=MethodWindows)
    view: FiguresView = attrs.field(
        default=attrs.Factory(
            lambda self: FiguresView(THIS, lambda: self.live, lambda: self.now, lambda: self.now), takes_self=True
        )
    )

    def tell(self, node: str, **values: float) -> None:
        """One row, now; `cpu__usage` stands for `cpu.usage`."""
        row = row_of([{name.replace("__", "."): value for name, value in values.items()}])
        self.view.take(NodeFigures(NodeId(node), int(self.now * 1000), 0.0, row))

    def methods(self):
        return self.windows.keys()

    def method_window(self, key, series, span_s):
        return self.windows.window(key, series, self.now - span_s, self.now)


class Shows:
    """Shows to Prometheus what it is asked for."""

    async def render(self, accept):
        return f"# accept {accept}\n".encode(), "text/plain; version=0.0.4; charset=utf-8"


@attrs.define
class Controller:
    """Keeps what it is asked."""

    asked: list[tuple[object, ...]] = attrs.field(factory=list[tuple[object, ...]])

    def config(self) -> Mapping[str, object]:
        return {"cpuScaleUpThreshold": 0.8, "evaluationIntervalMs": 5000}

    async def configure(
        self, given: Mapping[str, object], *, by: str = "", artifact: str = "", reset: bool = False
    ) -> Revision:
        self.asked.append(("configure", dict(given), by, artifact, reset))
        return Revision(41)

    async def status(self) -> Mapping[str, object]:
        return {"enabled": True, "config": self.config()}

    async def evaluate(self, *, acts: bool = True) -> Mapping[str, object]:
        self.asked.append(("evaluate", acts))
        return {"decisions": []}

    def history(self, artifact: str = "", limit: int = 50) -> Sequence[Mapping[str, object]]:
        self.asked.append(("history", artifact, limit))
        return [{"artifact": "shop:orders", "from": 2, "to": 4}]

    async def explain(self, artifact: str) -> Mapping[str, object]:
        self.asked.append(("explain", artifact))
        return {"artifact": artifact, "why": ["blueprint 'app' wants 2"]}

    async def recording(self) -> str:
        return '{"kind":"aether controller recording","version":1}'

    def revision(self) -> Revision:
        return Revision(40)


@attrs.define
class World:
    rows: Rows
    consensus: Consensus
    local: Local
    peers: set[NodeId]
    operator: Operator
    access: AccessRules
    stored: StoredRows = attrs.field(factory=StoredRows)
    members: Members = attrs.field(factory=Members)
    duties: Duties = attrs.field(factory=Duties)
    trees: Trees = attrs.field(factory=Trees)
    placements: Placements = attrs.field(factory=Placements)
    rollouts: Rollouts = attrs.field(factory=Rollouts)
    calls: Calls = attrs.field(factory=Calls)
    traces: Traces = attrs.field(factory=Traces)
    log_levels: LogLevelsOfOneNode = attrs.field(factory=LogLevelsOfOneNode)
    figures: Figures = attrs.field(factory=Figures)
    controller: Controller = attrs.field(factory=Controller)
    backups: Backups = attrs.field(factory=Backups)
    events: SomeEvents = attrs.field(factory=SomeEvents)
    invocations: Invocations = attrs.field(factory=Invocations)
    exposition: Shows = attrs.field(factory=Shows)
    alerts: SomeAlerts = attrs.field(factory=SomeAlerts)
    live: Live = attrs.field(factory=Live)
    tokens: Tokens = attrs.field(factory=Tokens)
    audit: Audit = attrs.field(factory=Audit)
    certificates: Certificates = attrs.field(factory=Certificates)

    def actors(self) -> Actors:
        return Actors(
            operator=self.operator,
            members=self.members,
            duties=self.duties,
            trees=self.trees,
            blueprints=self.operator,
            placements=self.placements,
            rollouts=self.rollouts,
            calls=self.calls,
            traces=self.traces,
            log_levels=self.log_levels,
            events=self.events,
            figures=self.figures,
            invocations=self.invocations,
            controller=self.controller,
            exposition=self.exposition,
            alerts=self.alerts,
            live=self.live,
            tokens=self.tokens,
            audit=self.audit,
            certificates=self.certificates,
        )

    async def ask(
        self,
        verb: str,
        target: str,
        body: object = None,
        *,
        headers: dict[str, str] | None = None,
        token: str | None = TOKEN,
        content_type: str | None = "application/json",
        host: str = "localhost:8080",
        client: str = "127.0.0.1",
    ) -> Asked:
        """One request; an AetherError is shown as the server shows it."""
        path, _, query = target.partition("?")
        fields = {"host": host, **(headers or {})}
        if content_type is not None and verb in ("POST", "PUT"):
            fields["content-type"] = content_type
        if token is not None:
            fields["authorization"] = f"Bearer {token}"
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = Request(
            verb=verb,
            path=path,
            query_text=query,
            headers=tuple(fields.items()),
            body=raw,
            request_id="r-1",
            client=client,
        )
        api = ManagementApi(
            view=self.rows,
            consensus=lambda: self.consensus,
            peers=lambda: self.peers,
            local=self.local,
            actors=self.actors(),
            rows=self.stored,
            backups=self.backups,
            access=self.access,
        )
        try:
            return Asked(await api(request))
        except AetherError as error:
            return Asked(problem_of(error, request.request_id))


WorldMaker = Callable[[], World]


@pytest.fixture
def world() -> World:
    """Three healthy nodes, one slice with two ACTIVE instances, one that still loads."""
    rows = Rows(
        member_rows=[member("node-1", available=(ORDERS, PRICING)), member("node-2"), member("node-3")],
        desired_rows=[
            DesiredRow(artifact=ORDERS, instances=2, blueprint="demo"),
            DesiredRow(artifact=PRICING, instances=1, blueprint="demo"),
        ],
        instance_rows=[
            instance("i1", ORDERS, "node-1", "ACTIVE"),
            instance("i2", ORDERS, "node-2", "ACTIVE"),
            instance("i3", PRICING, "node-3", "LOADING"),
        ],
        route_rows=[
            RouteRow(artifact=ORDERS.base, routes=(Route("POST", "/orders", "place", True),), idempotent=("place",))
        ],
        contract_rows=[
            ContractRow(artifact=Artifact.parse(f"shop.orders:place-order:{v}"), text='{"name": "PlaceOrder"}')
            for v in ("1.0.0", "1.2.0")
        ],
        blueprint_rows=[
            BlueprintRow(id="demo", number=1, text="old", applied_by="ann", applied_at=1.0),
            BlueprintRow(id="demo", number=2, text="new", applied_by="bob", applied_at=2.0),
        ],
        maps={"orders": [(f"k{n}".encode(), b"\x81\xa1n" + bytes([n]), Revision(10 + n)) for n in range(5)]},
    )
    return World(
        rows,
        Consensus(),
        Local(),
        {NodeId("node-2"), NodeId("node-3")},
        Operator(rows),
        AccessRules(token=TOKEN, hosts=frozenset({"node-1.example"})),
    )
