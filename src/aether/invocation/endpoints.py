"""Who can take a call, as a table rebuilt from rows.

Knows: instance, member, route, traffic and desired rows; which peers are connected; how near each endpoint is.
Never: watches, transports; whoever owns them calls `rebuild` with what it sees.
Holds: only an ACTIVE row whose incarnation is that of its member's row, on this node or a connected peer, is an
       endpoint; one on a draining member only while no other is there. Rebuilding from the same rows gives the same
       table (level over edge).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

import attrs

from aether.model.artifact import Artifact, ArtifactBase
from aether.model.health import share_of
from aether.model.ids import InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import CALL_DEADLINE_S, SLICE_CONCURRENCY_DEFAULT, SLICE_QUEUE_DEFAULT
from aether.model.rows import ZONE_LABEL, DesiredRow, InstanceRow, MemberRow, RouteRow, TrafficRow
from aether.model.scale import IDLE
from aether.model.serving import serving
from aether.model.traffic_rules import TrafficRule, parse_rule
from aether.model.version import Version


class Nearness(enum.IntEnum):
    """How far a call travels; the lower, the nearer."""

    HERE = 0  # this process
    HOST = 1  # another process of this machine
    ZONE = 2
    FAR = 3


@attrs.frozen(order=True)
class Endpoint:
    """One instance that takes calls."""

    instance: InstanceId
    node: NodeId
    artifact: Artifact
    nearness: Nearness = Nearness.FAR


@attrs.frozen(kw_only=True)
class View:
    """What the registry is rebuilt from. `connected`: peers that calls can be sent to, without this node."""

    instances: Iterable[InstanceRow] = ()
    members: Iterable[MemberRow] = ()
    routes: Iterable[RouteRow] = ()
    traffic: Iterable[TrafficRow] = ()
    desired: Iterable[DesiredRow] = ()
    connected: AbstractSet[NodeId] = frozenset()


@attrs.frozen
class Terms:
    """What callers may know of a contract: methods that may be repeated, and default deadlines in seconds.

    affinity     method -> the parameter whose value decides the instance
    concurrency  calls that one instance runs at the same time; queue  that wait for it
    only         method -> versions that have it, of a method that not all versions with instances have
    versions     terms of each version, while two versions differ in them
    """

    idempotent: frozenset[str] = frozenset()
    deadline_s: float = CALL_DEADLINE_S
    deadlines_s: Mapping[str, float] = attrs.field(factory=dict[str, float])
    affinity: Mapping[str, str] = attrs.field(factory=dict[str, str])
    concurrency: int = SLICE_CONCURRENCY_DEFAULT
    queue: int = SLICE_QUEUE_DEFAULT
    only: Mapping[str, AbstractSet[Version]] = attrs.field(factory=dict[str, AbstractSet[Version]])
    versions: Mapping[Version, Terms] = attrs.field(factory=dict[Version, "Terms"])

    def deadline_of(self, method: str) -> float:
        return self.deadlines_s.get(method, self.deadline_s)


_NO_TERMS: Final = Terms()
NO_INSTANCE: Final[tuple[str, str]] = ("UNSATISFIED", "no instance yet")


@attrs.frozen
class Traffic:
    """How the versions of an artifact share its calls.

    weights  whole parts; a version that is not named, or has 0, gets no call; {} = each instance counts the same
    sticky   the parameter whose value decides the version; "" = by turns
    rules    calls that go to one version whatever the weights say
    share    its name, of the update that shares them; "" = of none
    """

    weights: Mapping[Version, int]
    sticky: str = ""
    rules: tuple[tuple[TrafficRule, Version], ...] = ()
    share: str = ""

    def takes(self, version: Version) -> bool:
        """Whether it gets calls that no rule speaks of."""
        return not self.weights or version in self.weights

    def knows(self, version: Version) -> bool:
        """Whether it gets any call."""
        return self.takes(version) or any(version == ruled for _, ruled in self.rules)


class Known(NamedTuple):
    """All that a call looks up of the artifact that it is for."""

    endpoints: tuple[Endpoint, ...] = ()
    terms: Terms = _NO_TERMS
    traffic: Traffic | None = None


_UNKNOWN: Final = Known()


class EndpointRegistry:
    """The table of endpoints by artifact, read by every call and replaced as a whole by `rebuild`."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self._endpoints: Mapping[ArtifactBase, tuple[Endpoint, ...]] = {}
        self._waiting: Mapping[ArtifactBase, tuple[str, str]] = {}
        self._terms: Mapping[ArtifactBase, Terms] = {}
        self._traffic: Mapping[ArtifactBase, Traffic] = {}
        self._sleepers: Mapping[ArtifactBase, bool] = {}
        self._known: Mapping[ArtifactBase, Known] = {}
        self.ruled_fields: frozenset[str] = frozenset()
        """Parts of requests over HTTP that some rule looks at: `header:x-beta`."""

    def rebuild(self, view: View) -> bool:
        """Replace the table by what `view` shows; True when anything changed."""
        reachable = view.connected | {self._node}
        live = {row.node: row.incarnation for row in view.members if row.node in reachable}
        rows = sorted(view.instances, key=lambda row: row.instance)
        found: dict[ArtifactBase, list[Endpoint]] = {}
        desired = tuple(view.desired)
        waiting: dict[ArtifactBase, tuple[str, str]] = {row.artifact.base: NO_INSTANCE for row in desired}
        sleepers = {row.artifact.base: row.instances == 0 for row in desired if row.instances_min == 0}
        nearness = _nearness(self._node, view.members)
        for row in rows:
            base = row.artifact.base
            if live.get(row.node) != row.incarnation:
                waiting[base] = ("LOST", f"instance {row.instance} was on {row.node}, which is not reachable")
            elif row.state is not SliceState.ACTIVE:
                if row.state is not SliceState.FAILED or waiting.get(base, NO_INSTANCE) == NO_INSTANCE:
                    waiting[base] = (row.state.value, row.reason)
            else:
                endpoint = Endpoint(row.instance, row.node, row.artifact, nearness[row.node])
                found.setdefault(base, []).append(endpoint)
        draining = {row.node for row in view.members if row.draining}
        traffic = {row.artifact: t for row in view.traffic if (t := _traffic(row)) is not None}
        for base in found.keys() & traffic.keys():
            found[base] = [e for e in found[base] if traffic[base].knows(e.artifact.version)]
            waiting[base] = ("ACTIVE", "but no instance of a version that has traffic")
        endpoints = {base: _staying(listed, draining) for base, listed in found.items() if listed}
        terms = _all_terms(view, endpoints)
        self.ruled_fields = frozenset(rule.field for t in traffic.values() for rule, _ in t.rules) - {""}
        table = (endpoints, waiting, terms, traffic, sleepers)
        changed = table != (self._endpoints, self._waiting, self._terms, self._traffic, self._sleepers)
        self._endpoints, self._waiting, self._terms, self._traffic, self._sleepers = table
        if changed:
            self._known = {
                base: Known(endpoints.get(base, ()), terms.get(base, _NO_TERMS), traffic.get(base))
                for base in endpoints.keys() | terms.keys() | traffic.keys()
            }
        return changed

    def known(self, base: ArtifactBase) -> Known:
        """`endpoints`, `terms` and `traffic` by one look."""
        return self._known.get(base, _UNKNOWN)

    def endpoints(self, base: ArtifactBase) -> tuple[Endpoint, ...]:
        """The instances that take calls now, in the order of their ids."""
        return self._endpoints.get(base, ())

    def elsewhere(self, base: ArtifactBase) -> int:
        """How many instances on other nodes take calls now."""
        return sum(endpoint.node != self._node for endpoint in self.endpoints(base))

    def instances(self) -> Iterator[InstanceId]:
        """Every instance that takes calls."""
        return (endpoint.instance for endpoints in self._endpoints.values() for endpoint in endpoints)

    def artifacts(self) -> Iterator[Artifact]:
        """Every version that takes calls; one as often as it has instances."""
        return (endpoint.artifact for endpoints in self._endpoints.values() for endpoint in endpoints)

    def state(self, base: ArtifactBase) -> tuple[str, str]:
        """(state, reason) for whoever finds no endpoint: a lifecycle state, LOST, UNSATISFIED, UNKNOWN; IDLE of a slice
        that may sleep, unless all its instances FAILED: a call for it is held.
        """
        if base in self._endpoints:
            return ("ACTIVE", "")
        state, reason = self._waiting.get(base, ("UNKNOWN", "it is not deployed"))
        if self.is_asleep(base):
            return (IDLE, "it sleeps, and the next call wakes it")
        if self.may_sleep(base) and state != SliceState.FAILED:
            return (IDLE, f"it wakes; an instance is {state}{reason and ': '}{reason}")
        return (state, reason)

    def may_sleep(self, base: ArtifactBase) -> bool:
        """Whether it may have no instance at all while nobody calls it."""
        return base in self._sleepers

    def is_asleep(self, base: ArtifactBase) -> bool:
        """Whether it has none now, so that a call must wake it."""
        return self._sleepers.get(base, False)

    def terms(self, base: ArtifactBase, version: Version | None = None) -> Terms:
        """What is known of its contract, or of a version's; the default when it has no route row yet."""
        terms = self._terms.get(base, _NO_TERMS)
        return terms.versions.get(version, terms) if version is not None and terms.versions else terms

    def traffic(self, base: ArtifactBase) -> Traffic | None:
        """How its versions share its calls; None: each instance counts the same, whatever its version."""
        return self._traffic.get(base)

    def shares(self) -> Mapping[ArtifactBase, str]:
        """The share of the calls that each slice goes by that is updated."""
        return {base: traffic.share for base, traffic in self._traffic.items() if traffic.share}


def _all_terms(view: View, endpoints: Mapping[ArtifactBase, Sequence[Endpoint]]) -> dict[ArtifactBase, Terms]:
    desired = {row.artifact.base: row for row in view.desired}
    traffic = {row.artifact: row for row in view.traffic}
    return {
        row.artifact: _merged(
            serving(row, desired.get(row.artifact), traffic.get(row.artifact)) if row.others else (row,),
            row,
            {e.artifact.version for e in endpoints.get(row.artifact, ())} if row.others else set(),
        )
        for row in view.routes
    }


def _merged(speaking: Sequence[RouteRow], row: RouteRow, active: AbstractSet[Version]) -> Terms:
    """Terms of the version that speaks first, and where those of others that have instances differ."""
    terms = _terms(speaking[0])
    known = {Version.parse(r.version): r for r in (row, *row.others) if r.version}
    versions = {version: _terms(known[version]) for version in active if version in known}
    if len(active) < 2 or not versions:
        return terms
    # A version that said nothing of itself may have any method.
    methods = {method for version in versions for method in known[version].methods}
    having = {m: frozenset(v for v in active if v not in known or m in known[v].methods) for m in methods}
    only = {method: versions for method, versions in having.items() if versions != active}
    differ = any(other != terms for other in versions.values())
    return attrs.evolve(terms, only=only, versions=versions if differ else {})


def _terms(row: RouteRow) -> Terms:
    return Terms(frozenset(row.idempotent), row.deadline_s, row.deadlines_s, row.affinity, row.concurrency, row.queue)


def _traffic(row: TrafficRow) -> Traffic | None:
    weights = {Version.parse(version): weight for version, weight in row.weights.items() if weight > 0}
    rules = tuple((parse_rule(text), Version.parse(row.rules[text])) for text in sorted(row.rules))
    share = share_of(row.update, row.weights) if row.update else ""
    return Traffic(weights, row.sticky, rules, share) if weights or rules else None


def _nearness(me: NodeId, members: Iterable[MemberRow]) -> Mapping[NodeId, Nearness]:
    rows = {row.node: row for row in members}
    own = rows.get(me)
    return {node: _near(me, own, row) for node, row in rows.items()}


def _near(me: NodeId, own: MemberRow | None, row: MemberRow) -> Nearness:
    if row.node == me:
        return Nearness.HERE
    if own is None:
        return Nearness.FAR
    if _host(own) and _host(own) == _host(row):
        return Nearness.HOST
    zone = own.labels.get(ZONE_LABEL)
    return Nearness.ZONE if zone and zone == row.labels.get(ZONE_LABEL) else Nearness.FAR


def _host(row: MemberRow) -> str:
    return row.cluster_address.rpartition(":")[0]


def _staying(endpoints: Sequence[Endpoint], draining: AbstractSet[NodeId]) -> tuple[Endpoint, ...]:
    """Those on nodes that stay; all when none stays: a draining instance serves until its successor does."""
    return tuple(e for e in endpoints if e.node not in draining) or tuple(endpoints)
