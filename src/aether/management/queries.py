"""The answers about health, this node and the members.

Knows: the shape of each answer; the field names of the original, and those added to them.
Never: waiting, mutations.
Holds: no key and no string value of an answer equals `error`: scripts of the original look for that word to see failure
       (the values of user maps are the users' own). Every answer names the revision it was read at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from aether.management.facts import Answer, Facts, SliceFacts, said, slice_facts
from aether.model.duty import Duty, still_there
from aether.model.ids import Incarnation, NodeId
from aether.model.lifecycle import SliceState
from aether.model.rows import MemberRow

_GOING: Final = frozenset({Duty.DRAINING, Duty.SHUTTING_DOWN})


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
        "metricsNodeCount": facts.measured(),
        "memberCount": sum(1 for _ in facts.view.members()),
        "sliceCount": sum(s.desired is not None for s in slices),
        "localSliceCount": sum(any(r.node == facts.local.node for r in s.instances) for s in slices),
        "problems": problems,
        "revision": facts.view.revision,
    }


def _node_problems(facts: Facts) -> Iterable[str]:
    if not facts.consensus.has_quorum:
        yield no_majority(facts)
    if facts.local.disk_is_full:
        yield "the disk of this node is full: it writes nothing and does not lead; free some, then it goes on by itself"
    if not facts.local.ready:
        yield "this node is still catching up"
    if facts.local.draining:
        yield "this node is draining"
    missing = sorted({row.node for row in facts.view.members()} - set(facts.reachable))
    yield from (f"node {node} is not reachable from here" for node in missing)


def no_majority(facts: Facts) -> str:
    """What to do about it: who sees every node running must not look for one to start, or think disks are lost."""
    voters = facts.consensus.voters
    connected = len(set(voters) & set(facts.reachable))
    if 2 * connected <= len(voters):
        return "no majority of the voters answers; start the missing nodes"
    return (
        f"no majority of the voters answers, though {connected} of {len(voters)} are connected: for a moment that is "
        "an election; when it stays, their disks are full or stand still, or their loops do: ask each for its health"
    )


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
    reasons = {row.artifact: said(row.reason) for row in facts.view.unsatisfied()}
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
    if row.draining:  # its own word, whatever an operator said
        return "DRAINING" if reachable else "STOPPED"
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
        "featureLevel": row.feature_level,
    }
