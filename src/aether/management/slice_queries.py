"""The answers about slices, their instances and routes.

Knows: the shape of each answer.
Never: waiting, mutations.
Holds: what queries.py says of every answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from aether.management.facts import Answer, Facts, SliceFacts, said, slice_facts
from aether.model.artifact import ArtifactBase
from aether.model.route import Route
from aether.model.rows import InstanceRow
from aether.web.router import parse_template


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
        shown["unsatisfied"] = {"missing": s.unsatisfied.missing, "reason": said(s.unsatisfied.reason)}
    return shown


def _instance(row: InstanceRow, state: str) -> Answer:
    return {
        "instance": row.instance,
        "instanceId": row.instance,
        "node": row.node,
        "nodeId": row.node,
        "state": state,
        "health": "HEALTHY" if state == "ACTIVE" else "UNHEALTHY" if state in ("FAILED", "LOST") else "PENDING",
        "reason": said(row.reason),
        "attempt": row.attempt,
        "since": row.since,
    }


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
