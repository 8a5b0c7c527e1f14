"""What the parts of a node count of themselves, as figures; and the other nodes, as its figures reach them.

Knows: which part knows which figure.
Never: what figures are used for, how they travel.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Protocol

import trio

from aether.consensus.service import ConsensusService
from aether.consensus.values import Role
from aether.hosting.host import Hosting
from aether.invocation.service import Invoker
from aether.kv.service import KvService
from aether.metrics.call_rates import CallRates
from aether.metrics.events_service import Events
from aether.metrics.figures_service import Source
from aether.metrics.own_figures import Rates
from aether.model.ids import NodeId
from aether.model.limits import FIGURES_EVERY_S
from aether.node.facts import NodeFacts
from aether.transport.values import Transport

_ROLES: Final = {Role.LEADER: 2.0, Role.CANDIDATE: 1.0, Role.PRE_CANDIDATE: 1.0}


class HttpPorts(Protocol):
    """What is counted of the listeners (Ports)."""

    @property
    def connections(self) -> int: ...
    @property
    def in_flight(self) -> int: ...


def loop_source(facts: NodeFacts) -> Source:
    """The loop and its tasks."""

    def look(_: float) -> Mapping[str, float]:
        tasks = trio.lowlevel.current_statistics().tasks_living
        return {
            "loop.lag_s": facts.lag_since_s(FIGURES_EVERY_S),
            "loop.lag_mean_s": facts.mean_lag_since_s(FIGURES_EVERY_S),
            "tasks": float(tasks),
        }

    return look


def raft_source(consensus: ConsensusService, kv: KvService) -> Source:
    """Consensus, the disk under it, and the store above."""
    first_term = consensus.status.term

    def look(_: float) -> Mapping[str, float]:
        status = consensus.status
        return {
            "raft.term": float(status.term),
            "raft.role": _ROLES.get(status.role, 0.0),
            "raft.quorum": float(status.has_quorum),
            "raft.commit_lag": float(consensus.uncommitted),
            "raft.apply_lag": float(status.commit_index - status.applied_index),
            "raft.fsync_s": consensus.disk_writes.take_worst_s(),
            "raft.append_s": kv.proposals.take_worst_s(),
            "raft.elections": float(status.term - first_term),
        }

    return look


def transport_source(transport: Transport) -> Source:
    """Messages and connections to other nodes."""
    rates = Rates()

    def look(now_s: float) -> Mapping[str, float]:
        counted = transport.statistics()
        counters = {
            "transport.sent_bytes": sum(counted.sent_bytes.values()),
            "transport.received_bytes": sum(counted.received_bytes.values()),
            "transport.dropped": sum(counted.dropped.values()),
        }
        found = {name: rates.per_second(name, count, now_s) for name, count in counters.items()}
        return {
            "transport.peers": float(len(transport.connected())),
            "transport.queued_bytes": float(counted.queued_bytes),
            **{name: rate for name, rate in found.items() if rate is not None},
        }

    return look


def calls_source(invoker: Invoker, hosting: Hosting) -> Source:
    """Calls to slices, as callers on this node saw them; those that run and wait here."""
    rates = CallRates()

    def look(now_s: float) -> Mapping[str, float]:
        return {
            "calls.in_flight": float(invoker.in_flight),
            "calls.queued": float(hosting.waiting),
            **rates.figures(invoker.counters, now_s),
        }

    return look


def http_source(ports: HttpPorts) -> Source:
    """Requests over HTTP."""
    return lambda _: {"http.in_flight": float(ports.in_flight), "http.connections": float(ports.connections)}


def events_source(events: Events) -> Source:
    """Events of the cluster."""
    rates = Rates()

    def look(now_s: float) -> Mapping[str, float]:
        rate = rates.per_second("events", events.count, now_s)
        return {} if rate is None else {"events": rate}

    return look


class NodeNeighbours:
    """Implements metrics.exchange.Neighbours."""

    def __init__(self, transport: Transport, consensus: ConsensusService, kv: KvService) -> None:
        self._transport = transport
        self._consensus = consensus
        self._kv = kv

    def send(self, to: NodeId, message: object) -> bool:
        return self._transport.send(to, message)

    def connected(self) -> Collection[NodeId]:
        return self._transport.connected()

    def voters(self) -> Collection[NodeId]:
        return self._consensus.status.voters

    def leader(self) -> NodeId | None:
        return self._consensus.status.leader

    def leads(self) -> bool:
        return self._kv.leadership is not None
