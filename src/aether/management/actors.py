"""Whoever carries mutations out, gathered for the endpoints.

Knows: one protocol for each subject.
Never: HTTP; what an endpoint asks for.
"""

from __future__ import annotations

import attrs

from aether.management.access_view import Audit, Certificates, Tokens
from aether.management.alerting import Alerting
from aether.management.called import Calls
from aether.management.controller_view import Controller
from aether.management.event_source import EventSource
from aether.management.invocation_view import Exposition, Invocations
from aether.management.live_service import Live
from aether.management.metrics_view import KnownFigures
from aether.management.process_view import LogLevelKeeper
from aether.management.rollout_wish import Rollouts
from aether.management.trace_view import TraceSource
from aether.management.view import Blueprints, Duties, Members, Operator, Placements, Trees


@attrs.frozen(kw_only=True)
class Actors:
    """Whoever carries mutations out, each for its own subject.

    figures  of nodes;  live  answers that last: streams and WebSockets
    """

    operator: Operator
    members: Members
    duties: Duties
    trees: Trees
    blueprints: Blueprints
    placements: Placements
    rollouts: Rollouts
    events: EventSource
    tokens: Tokens
    audit: Audit
    certificates: Certificates
    calls: Calls
    traces: TraceSource
    log_levels: LogLevelKeeper
    figures: KnownFigures
    invocations: Invocations
    controller: Controller
    exposition: Exposition
    alerts: Alerting
    live: Live = attrs.field(factory=Live)
