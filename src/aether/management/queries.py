"""The answers of the GET paths, from rows and facts.

Knows: the shape of each answer; the field names of the original, and those added to them.
Never: waiting, mutations.
Holds: no key and no string value of an answer equals `error`: scripts of the original look for that word to see failure
       (the values of user maps are the users' own). Every answer names the revision it was read at.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from aether.errors import NotFound
from aether.management.shown import cursor_bytes, shown_row
from aether.management.view import ClusterView, ConsensusFacts, LocalNode
from aether.model.artifact import Artifact, ArtifactBase
from aether.model.duty import Duty, duties_of, still_there
from aether.model.ids import Incarnation, NodeId, Revision
from aether.model.lifecycle import SliceState
from aether.model.route import Route
from aether.model.rows import BlueprintRow, DesiredRow, InstanceRow, MemberRow, UnsatisfiedRow
from aether.model.scale import IDLE
from aether.web.router import parse_template

Answer = dict[str, object]
LIMIT_DEFAULT: Final = 100
PAGE_BYTES_MAX: Final = 2 * 2**20  # of keys and values in one answer of /maps: values may have half a megabyte each
PROGRESS: Final = (  # which state of many speaks for a slice that is not ACTIVE: the furthest on its way
    SliceState.ACTIVATING,
    SliceState.ACTIVATE,
    SliceState.LOADED,
    SliceState.LOADING,
    SliceState.LOAD,
    SliceState.DEACTIVATING,
    SliceState.DEACTIVATE,
    SliceState.UNLOADING,
    SliceState.UNLOAD,
    SliceState.FAILED,
)


_GOING: Final = frozenset({Duty.DRAINING, Duty.SHUTTING_DOWN})


@attrs.frozen
class Facts:
    """Everything a query may look at, at one moment. `peers` are connected; this node is not among them."""

    view: ClusterView
    consensus: ConsensusFacts
    peers: frozenset[NodeId]
    local: LocalNode

    @property
    def reachable(self) -> list[NodeId]:
        return sorted({*self.peers, self.local.node})

    @property
    def leader(self) -> str:
        return self.consensus.leader or ""

    def duties(self) -> dict[NodeId, Duty]:
        """Where each member stands."""
        return duties_of(self.view.members(), self.view.duties())


@attrs.frozen
class SliceFacts:
    """One exact slice, cluster-wide. `instances` are the rows of living node processes; `lost` those of dead ones."""

    artifact: Artifact
    desired: DesiredRow | None
    instances: tuple[InstanceRow, ...]
    lost: tuple[InstanceRow, ...]
    unsatisfied: UnsatisfiedRow | None

    @property
    def active(self) -> int:
        return sum(row.state is SliceState.ACTIVE for row in self.instances)

    @property
    def wanted(self) -> int:
        return self.desired.instances if self.desired is not None else 0

    @property
    def state(self) -> str:
        """ACTIVE: as many as wanted; DEGRADED: some; else the furthest state; without an instance PENDING, IDLE (it
        sleeps until a call wakes it) or AT_REST.
        """
        if self.active:
            return "ACTIVE" if self.active >= self.wanted else "DEGRADED"
        states = {row.state for row in self.instances}
        resting = IDLE if self.desired is not None and self.desired.instances_min == 0 else "AT_REST"
        return next((state.value for state in PROGRESS if state in states), "PENDING" if self.wanted else resting)


def slice_facts(view: ClusterView) -> list[SliceFacts]:
    """Every slice that is wanted or has instances, by artifact."""
    incarnations = {row.node: row.incarnation for row in view.members()}
    desired = {row.artifact: row for row in view.desired()}
    living: dict[Artifact, list[InstanceRow]] = defaultdict(list)
    lost: dict[Artifact, list[InstanceRow]] = defaultdict(list)
    for row in view.instances():
        alive = incarnations.get(row.node) == row.incarnation
        (living if alive else lost)[row.artifact].append(row)
    short = {row.artifact: row for row in view.unsatisfied()}
    return [
        SliceFacts(
            artifact,
            desired.get(artifact),
            tuple(living.get(artifact, ())),
            tuple(lost.get(artifact, ())),
            short.get(artifact.base) if artifact in desired else None,
        )
        for artifact in sorted(desired.keys() | living.keys() | lost.keys())
    ]


# --- health and status ----------------------------------------------------------------------------------------------


def health(facts: Facts, query: Mapping[str, object]) -> Answer:
    """`healthy`; `degraded`: it serves, and `problems` names what is missing; `unhealthy`: no majority confirmed."""
    slices = slice_facts(facts.view)
    problems = [*_node_problems(facts), *_slice_problems(slices)]
    quorum = facts.consensus.has_quorum
    return {
        "status": "unhealthy" if not quorum else "degraded" if problems else "healthy",
        "quorum": quorum,
        "ready": quorum and facts.local.ready,
        "nodeId": facts.local.node,
        "nodeCount": len(facts.reachable),
        "connectedPeers": len(facts.peers),
        "metricsNodeCount": len(facts.reachable),
        "memberCount": sum(1 for _ in facts.view.members()),
        "sliceCount": sum(s.desired is not None for s in slices),
        "localSliceCount": sum(any(r.node == facts.local.node for r in s.instances) for s in slices),
        "problems": problems,
        "revision": facts.view.revision,
    }


def _node_problems(facts: Facts) -> Iterable[str]:
    if not facts.consensus.has_quorum:
        yield "no majority of the voters answers; start the missing nodes"
    if not facts.local.ready:
        yield "this node is still catching up"
    if facts.local.draining:
        yield "this node is draining"
    missing = sorted({row.node for row in facts.view.members()} - set(facts.reachable))
    yield from (f"node {node} is not reachable from here" for node in missing)


def _slice_problems(slices: Iterable[SliceFacts]) -> Iterable[str]:
    for s in slices:
        if s.active < s.wanted:
            yield f"{s.artifact}: {s.active} of {s.wanted} instances ACTIVE"


def status(facts: Facts, query: Mapping[str, object]) -> Answer:
    local, consensus = facts.local, facts.consensus
    return {
        "nodeId": local.node,
        "status": "running",
        "isLeader": facts.leader == local.node,
        "leader": facts.leader,
        "role": getattr(consensus.role, "value", str(consensus.role)),
        "term": consensus.term,
        "quorum": consensus.has_quorum,
        "ready": local.ready,
        "draining": local.draining,
        "commitIndex": consensus.commit_index,
        "appliedIndex": consensus.applied_index,
        "revision": facts.view.revision,
        "voters": sorted(consensus.voters),
        "clusterId": facts.view.cluster_uuid,
        "handshakesRefused": dict(sorted(local.handshakes_refused.items())),
        "uptimeSeconds": round(local.uptime_s, 3),
        "loopLagMs": round(local.loop_lag_s * 1000, 3),
        "addresses": {
            "management": local.management_address,
            "http": local.http_address,
            "cluster": local.cluster_address,
        },
        "nodeCount": len(facts.reachable),
        "cluster": {"nodeCount": len(facts.reachable), "leaderId": facts.leader, "nodes": facts.reachable},
        "sliceCount": sum(1 for _ in facts.view.desired()),
    }


def nodes(facts: Facts, query: Mapping[str, object]) -> Answer:
    reachable = facts.reachable
    return {
        "nodes": reachable,
        "nodeCount": len(reachable),
        "members": [member for member in _members(facts) if member["reachable"]],
        "leader": facts.leader,
        "revision": facts.view.revision,
    }


def members(facts: Facts, query: Mapping[str, object]) -> Answer:
    return {
        "members": _members(facts),
        "leader": facts.leader,
        "configurationIndex": facts.consensus.configuration_index,
        "isChanging": facts.consensus.is_changing,
        "removed": sorted(row.node for row in facts.view.removed()),
        "revision": facts.view.revision,
    }


def _members(facts: Facts) -> list[Answer]:
    hosted: dict[NodeId, int] = defaultdict(int)
    for s in slice_facts(facts.view):
        for row in s.instances:
            hosted[row.node] += row.state is SliceState.ACTIVE
    reachable = set(facts.reachable)
    rows = {row.node: row for row in facts.view.members()}
    for node in facts.consensus.configuration.members():  # a founder that was never started has no row
        rows.setdefault(node, MemberRow(node=node, incarnation=Incarnation("")))
    roles = {row.node: "VOTER" if row.votes else "WORKER" for row in facts.view.roles()}
    leaving = {row.node for row in facts.view.removed()}
    duties = facts.duties()
    reasons = {row.artifact: _said(row.reason) for row in facts.view.unsatisfied()}
    remaining = {
        node: still_there(node, facts.view.instances(), reasons) for node, duty in duties.items() if duty in _GOING
    }
    return [
        _member(facts, row, duties.get(row.node), row.node in reachable, hosted[row.node])
        | {"ordered": roles.get(row.node), "leaving": row.node in leaving, "waitsFor": remaining.get(row.node, [])}
        for _, row in sorted(rows.items())
    ]


def _kind(facts: Facts, node: NodeId) -> str:
    """VOTER, WORKER, or OUTSIDE: not in the group yet, or no longer."""
    if node in facts.consensus.voters:
        return "VOTER"
    return "WORKER" if node in facts.consensus.configuration.learners else "OUTSIDE"


def _state(duty: Duty | None, row: MemberRow, reachable: bool) -> str:
    if row.draining:
        return "DRAINING"  # its own word, whatever an operator said
    return duty.value if duty is not None and reachable else "UNREACHABLE"


def _member(facts: Facts, row: MemberRow, duty: Duty | None, reachable: bool, active: int) -> Answer:
    return {
        "id": row.node,
        "nodeId": row.node,
        "reachable": reachable,
        "state": _state(duty, row, reachable),
        "duty": (duty or Duty.JOINING).value,
        "isLeader": row.node == facts.leader,
        "voter": row.node in facts.consensus.voters,
        "kind": _kind(facts, row.node),
        "ephemeral": row.ephemeral,
        "draining": row.draining,
        "incarnation": row.incarnation,
        "managementAddress": row.management_address,
        "httpAddress": row.http_address,
        "clusterAddress": row.cluster_address,
        "available": [str(artifact) for artifact in row.available],
        "instances": active,
        "labels": dict(row.labels),
    }


# --- slices and routes ------------------------------------------------------------------------------------------------


def slices(facts: Facts, query: Mapping[str, object]) -> Answer:
    found = [_slice(s) | {"nodes": sorted({row.node for row in s.instances})} for s in slice_facts(facts.view)]
    return {"slices": found, "revision": facts.view.revision}


def slices_status(facts: Facts, query: Mapping[str, object]) -> Answer:
    """As /slices, with one object per instance; those of dead node processes are shown as LOST."""
    found = [
        _slice(s)
        | {
            "desiredInstances": s.wanted,
            "instances": [_instance(row, row.state.value) for row in s.instances]
            + [_instance(row, "LOST") for row in s.lost],
        }
        for s in slice_facts(facts.view)
    ]
    return {"slices": found, "revision": facts.view.revision}


def _slice(s: SliceFacts) -> Answer:
    shown: Answer = {
        "artifact": str(s.artifact),
        "state": s.state,
        "instances": s.wanted,
        "activeInstances": s.active,
        "blueprint": s.desired.blueprint if s.desired is not None else "",
    }
    if s.unsatisfied is not None:
        shown["unsatisfied"] = {"missing": s.unsatisfied.missing, "reason": _said(s.unsatisfied.reason)}
    return shown


def _instance(row: InstanceRow, state: str) -> Answer:
    return {
        "instance": row.instance,
        "instanceId": row.instance,
        "node": row.node,
        "nodeId": row.node,
        "state": state,
        "health": "HEALTHY" if state == "ACTIVE" else "UNHEALTHY" if state in ("FAILED", "LOST") else "PENDING",
        "reason": _said(row.reason),
        "attempt": row.attempt,
        "since": row.since,
    }


def _said(reason: str) -> str:
    return "the reason given was the word error" if reason == "error" else reason


def routes(facts: Facts, query: Mapping[str, object]) -> Answer:
    rows = sorted(facts.view.routes(), key=lambda row: row.artifact)
    claimed: dict[tuple[str, tuple[str, ...]], str] = {}
    found = [_route(row.artifact, route, claimed) for row in rows for route in row.routes]
    return {"routes": found, "revision": facts.view.revision}


def _route(artifact: ArtifactBase, route: Route, claimed: dict[tuple[str, tuple[str, ...]], str]) -> Answer:
    """One route; `shadowedBy` when another slice, the first by name, answers the same verb and paths."""
    shown: Answer = {
        "method": route.verb,
        "path": route.template,
        "artifact": str(artifact),
        "sliceMethod": route.method,
        "idempotent": route.idempotent,
    }
    shape = tuple("{}" if is_variable else text for text, is_variable in parse_template(route.template))
    first = claimed.setdefault((route.verb, shape), str(artifact))
    return shown if first == str(artifact) else shown | {"shadowedBy": first}


# --- blueprints and maps ----------------------------------------------------------------------------------------------


def blueprints(facts: Facts, query: Mapping[str, object]) -> Answer:
    owned: dict[str, list[str]] = defaultdict(list)
    for row in facts.view.desired():
        owned[row.blueprint].append(str(row.artifact))
    found = [_blueprint(row) | {"slices": sorted(owned.pop(row.id, []))} for row in facts.view.blueprints()]
    # `app` of an opening process and `adhoc` own slices without a text: number 0.
    textless = (BlueprintRow(id=identity, number=0, text="") for identity in sorted(owned))
    found += [_blueprint(row) | {"slices": sorted(owned[row.id])} for row in textless]
    return {"blueprints": found, "revision": facts.view.revision}


def blueprint(facts: Facts, query: Mapping[str, object], identity: str) -> Answer:
    number = query.get("number")
    row = facts.view.blueprint(identity, number if isinstance(number, int) else None)
    if row is None:
        if number is None and any(wish.blueprint == identity for wish in facts.view.desired()):
            raise NotFound("text of blueprint", identity, "its slices are wanted by `deploy` or an opening process")
        raise NotFound("blueprint", identity if number is None else f"{identity}/{number}", "see /blueprints")
    return _blueprint(row) | {"toml": row.text, "revision": facts.view.revision}


def _blueprint(row: BlueprintRow) -> Answer:
    return {"id": row.id, "number": row.number, "appliedBy": _said(row.applied_by), "appliedAt": row.applied_at}


def _fitting(rows: Sequence[tuple[bytes, bytes, Revision]]) -> int:
    """How many of the first rows one answer may hold: one at least, then up to PAGE_BYTES_MAX."""
    sizes = itertools.accumulate(len(key) + len(value) for key, value, _ in rows)
    return max(1, sum(size <= PAGE_BYTES_MAX for size in sizes))


def map_page(facts: Facts, query: Mapping[str, object], name: str) -> Answer:
    """Entries after the cursor `after`, in key order; `next` is the cursor of the following page, null at the end."""
    rows = facts.view.map_rows(name)
    if rows is None:
        raise NotFound("map", name, "maps appear with their first entry")
    after = query.get("after")
    start = cursor_bytes(after) if isinstance(after, str) else None
    asked = query.get("limit")
    limit = asked if isinstance(asked, int) else LIMIT_DEFAULT
    page = heapq.nsmallest(limit + 1, (row for row in rows if start is None or row[0] > start))
    fitting = _fitting(page[:limit])
    entries = [shown_row(key, value, revision) for key, value, revision in page[:fitting]]
    following = entries[-1]["cursor"] if len(page) > fitting else None
    return {"map": name, "entries": entries, "next": following, "revision": facts.view.revision}
