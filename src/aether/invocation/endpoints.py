"""Who can take a call, as a table rebuilt from rows.

Knows: instance, member, route and desired rows; which peers are connected.
Never: watches, transports; whoever owns them calls `rebuild` with what it sees.
Holds: only an ACTIVE row whose incarnation is that of its member's row, on this node or a connected peer, is an
       endpoint; one on a draining member only while no other is there. Rebuilding from the same rows gives the same
       table (level over edge).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import attrs

from aether.model.artifact import Artifact, ArtifactBase
from aether.model.ids import InstanceId, NodeId
from aether.model.lifecycle import SliceState
from aether.model.limits import CALL_DEADLINE_S
from aether.model.rows import DesiredRow, InstanceRow, MemberRow, RouteRow


@attrs.frozen(order=True)
class Endpoint:
    """One instance that takes calls."""

    instance: InstanceId
    node: NodeId
    artifact: Artifact


@attrs.frozen(kw_only=True)
class View:
    """What the registry is rebuilt from. `connected`: peers that calls can be sent to, without this node."""

    instances: Iterable[InstanceRow] = ()
    members: Iterable[MemberRow] = ()
    routes: Iterable[RouteRow] = ()
    desired: Iterable[DesiredRow] = ()
    connected: AbstractSet[NodeId] = frozenset()


@attrs.frozen
class Terms:
    """What callers may know of a contract: methods that may be repeated, and default deadlines in seconds."""

    idempotent: frozenset[str] = frozenset()
    deadline_s: float = CALL_DEADLINE_S
    deadlines_s: Mapping[str, float] = attrs.field(factory=dict[str, float])

    def deadline_of(self, method: str) -> float:
        return self.deadlines_s.get(method, self.deadline_s)


_NO_TERMS: Final = Terms()


class EndpointRegistry:
    """The table of endpoints by artifact, read by every call and replaced as a whole by `rebuild`."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self._endpoints: Mapping[ArtifactBase, tuple[Endpoint, ...]] = {}
        self._waiting: Mapping[ArtifactBase, tuple[str, str]] = {}
        self._terms: Mapping[ArtifactBase, Terms] = {}

    def rebuild(self, view: View) -> bool:
        """Replace the table by what `view` shows; True when anything changed."""
        reachable = view.connected | {self._node}
        live = {row.node: row.incarnation for row in view.members if row.node in reachable}
        rows = sorted(view.instances, key=lambda row: row.instance)
        found: dict[ArtifactBase, list[Endpoint]] = {}
        waiting = {row.artifact.base: ("UNSATISFIED", "no instance yet") for row in view.desired}
        for row in rows:
            base = row.artifact.base
            if live.get(row.node) != row.incarnation:
                waiting[base] = ("LOST", f"instance {row.instance} was on {row.node}, which is not reachable")
            elif row.state is not SliceState.ACTIVE:
                waiting[base] = (row.state.value, row.reason)
            else:
                found.setdefault(base, []).append(Endpoint(row.instance, row.node, row.artifact))
        draining = {row.node for row in view.members if row.draining}
        endpoints = {base: _staying(listed, draining) for base, listed in found.items()}
        terms = {row.artifact: Terms(frozenset(row.idempotent), row.deadline_s, row.deadlines_s) for row in view.routes}
        changed = (endpoints, waiting, terms) != (self._endpoints, self._waiting, self._terms)
        self._endpoints, self._waiting, self._terms = endpoints, waiting, terms
        return changed

    def endpoints(self, base: ArtifactBase) -> tuple[Endpoint, ...]:
        """The instances that take calls now, in the order of their ids."""
        return self._endpoints.get(base, ())

    def instances(self) -> Iterator[InstanceId]:
        """Every instance that takes calls."""
        return (endpoint.instance for endpoints in self._endpoints.values() for endpoint in endpoints)

    def state(self, base: ArtifactBase) -> tuple[str, str]:
        """(state, reason) for whoever finds no endpoint: ACTIVE, a lifecycle state, LOST, UNSATISFIED, UNKNOWN."""
        if base in self._endpoints:
            return ("ACTIVE", "")
        return self._waiting.get(base, ("UNKNOWN", "it is not deployed"))

    def terms(self, base: ArtifactBase) -> Terms:
        """What is known of its contract; the default when it has no route row yet."""
        return self._terms.get(base, _NO_TERMS)


def _staying(endpoints: Sequence[Endpoint], draining: AbstractSet[NodeId]) -> tuple[Endpoint, ...]:
    """Those on nodes that stay; all when none stays: a draining instance serves until its successor does."""
    return tuple(e for e in endpoints if e.node not in draining) or tuple(endpoints)
