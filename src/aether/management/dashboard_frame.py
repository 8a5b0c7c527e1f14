"""What the page of a cluster shows, as plain JSON.

Knows: the messages of the dashboard's WebSocket; which part of them changes each second, and which now and then.
Never: sockets, clocks, how often.
Holds: one message is bounded, however large the cluster: what does not fit is counted in `more`. No key and no string
       value of a message that reports no failure equals `error`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import attrs

from aether.management import queries, slice_queries
from aether.management.event_streams_service import encode
from aether.management.facts import Answer, Facts
from aether.management.metrics_view import NodeView
from aether.metrics.events import Event, EventType
from aether.metrics.history import shown
from aether.metrics.methods import MethodFigures
from aether.model.limits import DASHBOARD_METHODS_MAX, DASHBOARD_ROWS_MAX

_LISTS: Final = ("members", "slices", "routes", "updates")


@attrs.frozen
class Frame:
    """The cluster at one moment. at_ms  since 1970; state_number  another one for each other `state`

    figures  what changes each second; state  nodes, slices, routes, updates, thresholds
    """

    at_ms: int
    figures: Answer
    state: Answer
    state_number: int = 0
    _texts: dict[str, str] = attrs.field(factory=dict[str, str], init=False, eq=False, repr=False)

    def initial(self) -> str:
        """For whoever has nothing yet. Encoded once, as all of them."""
        metrics = {"load": self.figures["load"], "invocations": self.figures["invocations"]}
        return self._text("INITIAL_STATE", {**self.state, **self.figures, "metrics": metrics})

    def update(self, known: int) -> str:
        """For whoever has the state of number `known`."""
        if known == self.state_number:
            return self._text("METRICS_UPDATE", self.figures)
        return self._text("METRICS_UPDATE", {**self.state, **self.figures}, "with state")

    def _text(self, kind: str, data: Answer, form: str = "") -> str:
        made = self._texts.get(kind + form)
        if made is None:
            made = self._texts[kind + form] = message(kind, self.at_ms, data)
        return made


def message(kind: str, at_ms: int, data: Mapping[str, object]) -> str:
    """One message of the socket."""
    return encode({"type": kind, "timestamp": at_ms, "data": data})


def state_of(facts: Facts, updates: Sequence[Answer], thresholds: Mapping[str, object]) -> Answer:
    """What changes when somebody changes the cluster."""
    members = cast("list[Answer]", queries.members(facts, {})["members"])
    found: Answer = {
        "nodes": [{"id": node, "isLeader": node == facts.leader} for node in facts.reachable],
        "members": [{name: value for name, value in each.items() if name != "available"} for each in members],
        "slices": slice_queries.slices_status(facts, {})["slices"],
        "routes": slice_queries.routes(facts, {})["routes"],
        "updates": list(updates),
        "thresholds": thresholds,
        "peers": sorted(facts.peers),
        "clusterId": facts.view.cluster_uuid,
    }
    more: dict[str, int] = {}
    for name in _LISTS:
        rows = cast("list[object]", found[name])
        if len(rows) > DASHBOARD_ROWS_MAX:
            more[name] = len(rows) - DASHBOARD_ROWS_MAX
            found[name] = rows[:DASHBOARD_ROWS_MAX]
    return {**found, "more": more}


def state_key(facts: Facts) -> object:
    """Another one whenever `state_of` may say another thing."""
    consensus = facts.consensus
    return (facts.view.revision, facts.leader, facts.peers, consensus.configuration_index, frozenset(consensus.voters))


def figures_of(
    facts: Facts, view: NodeView, methods: Iterable[MethodFigures], alerts: Sequence[Answer], strategy: str
) -> Answer:
    """What changes each second. `load` has every figure of every live node; `invocations` the busiest methods."""
    nodes = view.nodes()
    busiest = sorted(methods, key=lambda each: (-each.rate, -each.calls, str(each.artifact), each.method))
    return {
        "nodeId": facts.local.node,
        "leader": facts.leader,
        "term": facts.consensus.term,
        "quorum": facts.consensus.has_quorum,
        "revision": facts.view.revision,
        "uptimeSeconds": round(facts.local.uptime_s, 1),
        "load": {node: {name: shown(value) for name, value in figures.items()} for node, figures in nodes.items()},
        "ageSeconds": {node: round(view.age_s(node), 1) for node in nodes},
        "invocations": [_method(each) for each in busiest[:DASHBOARD_METHODS_MAX]],
        "invocationsMore": max(0, len(busiest) - DASHBOARD_METHODS_MAX),
        "slowStrategy": strategy,
        "alerts": list(alerts),
    }


def _method(each: MethodFigures) -> Answer:
    return {
        "artifact": "" if each.artifact is None else str(each.artifact),
        "method": each.method,
        "count": each.calls,
        "successCount": each.calls - each.failures,
        "failureCount": each.failures,
        "slowInvocations": each.slow,
        "inFlight": each.in_flight,
        "requestsPerSecond": shown(each.rate),
        "failureRate": shown(each.failure_rate),
        "p50Ms": shown(each.p50_s * 1e3),
        "p95Ms": shown(each.p95_s * 1e3),
        "p99Ms": shown(each.p99_s * 1e3),
        "p999Ms": shown(each.p999_s * 1e3),
    }


# --- alerts -----------------------------------------------------------------------------------------------------------


def alert_message(event: Event, at_ms: int) -> str | None:
    """An alert that came, or is over; None for another event."""
    if event.type is EventType.ALERT_TRIGGERED:
        return message("ALERT", at_ms, alert_of(event))
    if event.type is EventType.ALERT_RESOLVED:
        return message("ALERT_RESOLVED", at_ms, alert_of(event))
    return None


def alert_of(event: Event) -> Answer:
    """Its facts, and what it says."""
    return {**event.details, "summary": event.summary, "eventId": event.id}
